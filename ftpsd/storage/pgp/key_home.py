"""
The key home: the directory that holds our OpenPGP keys, and how gpg and its agent are started upon it.

* gpg reads the keyring of the key home, and has a home of its own, a view: an empty directory in the folder for
  temporary files, with a link to the secret keys. Nothing is written to the key home but by `ftpsd keys`, gpg makes no
  locks and no databases there, and any number of them run at once.
* GnuPG reaches secret keys through an agent alone, and leaves it behind. Ours is started beside the one gpg that needs
  it, with a socket in its view, and ends with it. It makes no smart card daemon.
* Both get SIGKILL from the kernel when this process dies, however that happens (setpriv, of util-linux), where that is
  to be had; see `dies_with_us`.
* The argument vectors hold no secret; the environment is not ours.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

VIEW = "ftpsd-gpg-"
SECRET_KEYS = "private-keys-v1.d"
KEYRING = "pubring.kbx"
SOCKET = "S.gpg-agent"
HOME_MODE = 0o700

# LISTEN_PID is the agent's own number, which only it knows. The socket comes as its input, since shells copy
# descriptors of one digit alone, and is to be the third, as systemd's are.
_AGENT = 'exec 3<&0 </dev/null; LISTEN_PID=$$ exec "$@"'
# Seconds in which an agent ends; it holds nothing that is worth waiting for.
_AGENT_END = 2.0
_QUIET = (
    "--no-options",
    "--batch",
    "--no-tty",
    "--quiet",
    "--no-greeting",
    "--no-autostart",
    "--no-random-seed-file",
    "--no-permission-warning",
    "--no-default-keyring",
    "--trust-model=always",
    "--no-auto-key-locate",
    "--no-auto-key-retrieve",
    "--disable-dirmngr",
    "--no-symkey-cache",
    "--pinentry-mode=error",
)


class NoGnuPG(Exception):
    """gpg cannot be started, in a sentence with what to do."""


@dataclass(frozen=True, slots=True)
class KeyHome:
    """The key home *directory*."""

    directory: Path

    @property
    def keyring(self) -> Path:
        """The file with the public keys."""
        return self.directory / KEYRING

    def holds_secret(self, keygrip: str) -> bool:
        """Return whether the secret part of the key with that *keygrip* is here."""
        return (self.directory / SECRET_KEYS / f"{keygrip}.key").exists()

    def view(self, *, needs_agent: bool) -> View:
        """Make a home for one gpg. Raises: NoGnuPG, OSError."""
        return View(self, needs_agent=needs_agent)

    def make(self) -> None:
        """Make the directory, closed to others, where there is none. Raises: OSError."""
        self.directory.mkdir(mode=HOME_MODE, exist_ok=True)
        (self.directory / SECRET_KEYS).mkdir(mode=HOME_MODE, exist_ok=True)


class View:
    """The home of one gpg, and its agent where it needs one; close() ends and removes both."""

    def __init__(self, home: KeyHome, *, needs_agent: bool) -> None:
        self._home = home
        self._gpg = _program("gpg")
        self.directory = Path(tempfile.mkdtemp(prefix=f"{VIEW}{os.getpid()}-"))
        self._agent: subprocess.Popen[bytes] | None = None
        try:
            (self.directory / SECRET_KEYS).symlink_to(home.directory / SECRET_KEYS)
            if needs_agent:
                self._start_agent()
        except BaseException:
            self.close()
            raise

    def command(self, *arguments: str) -> list[str]:
        """Return the argument vector of a gpg on this view."""
        ring = f"--keyring={self._home.keyring}"
        return [*dies_with_us(), self._gpg, f"--homedir={self.directory}", *_QUIET, ring, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a gpg on this view."""
        return {"PATH": os.defpath, "LC_ALL": "C", "HOME": str(self.directory)}

    def close(self) -> None:
        """End the agent, and remove the view; idempotent."""
        agent, self._agent = self._agent, None
        if agent is not None:
            agent.kill()
            agent.wait(_AGENT_END)
        shutil.rmtree(self.directory, ignore_errors=True)  # links in it are removed, and not followed

    def _start_agent(self) -> None:
        program = _program("gpg-agent")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self.directory / SOCKET))
            listening.listen(8)  # gpg connects before the agent is there, and waits
            options = (f"--homedir={self.directory}", "--batch", "--no-allow-external-cache", "--disable-scdaemon")
            named = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "std"}
            self._agent = _start(
                [*dies_with_us(), "/bin/sh", "-c", _AGENT, "sh", program, *options, "--supervised"],
                {**self.environment, **named},
                listening,
            )


def version_of_gpg() -> str:
    """Return the first line of `gpg --version`. Blocks. Raises: NoGnuPG, OSError, SubprocessError."""
    command = [_program("gpg"), "--no-options", "--version"]
    environment = {"PATH": os.defpath, "LC_ALL": "C", "GNUPGHOME": "/nonexistent"}
    done = subprocess.run(command, capture_output=True, timeout=10, env=environment, check=True)
    return done.stdout.decode("utf-8", "replace").partition("\n")[0]


def sweep_views() -> int:
    """Remove the views of processes that were killed; return how many. They hold links and a socket."""
    removed = 0
    for view in Path(tempfile.gettempdir()).glob(f"{VIEW}*"):
        number = view.name.removeprefix(VIEW).partition("-")[0]
        try:
            is_ours = view.lstat().st_uid == os.geteuid() and view.is_dir() and not view.is_symlink()
        except OSError:
            continue
        if is_ours and number.isdigit() and not Path(f"/proc/{number}").exists():
            shutil.rmtree(view, ignore_errors=True)
            removed += 1
    return removed


def _start(command: Sequence[str], environment: dict[str, str], listening: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=listening.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd="/",
        start_new_session=True,
    )


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NoGnuPG(f"{name} is not installed; run: apt-get install gpg gpg-agent")
    return found


@lru_cache(maxsize=1)
def dies_with_us() -> tuple[str, ...]:
    """
    Return the words in front of a command that have the kernel end it with us; none where that is not to be had.

    setpriv calls capset also where there is nothing to change, which the filter of system calls of our unit refuses.
    There systemd ends the rest of the service with the daemon; a gpg ends with its pipes, an agent without its view.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    words = (setpriv, "--pdeathsig=KILL", "--")
    tried = subprocess.run([*words, "/bin/true"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
    return words if tried.returncode == 0 else ()
