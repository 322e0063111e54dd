"""
A daemon under test: its configuration, users and process.

    daemon = Daemon(folder, {"limits": {"login_timeout": "1s"}})
    daemon.start()          ->  ready, or AssertionError with what it said
    daemon.stop()           ->  exit code 0 and no traceback, or AssertionError

Everything it writes is in its folder. Users are made up front; `account` hands out one after the other.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from ftpsd.demo.authority import Demonstration
from tests.e2e.forked import Command, ftpsd, nursery
from tests.e2e.polling import eventually
from tests.e2e.ports import PortBlock, claim_block
from tests.tools import ROOT

PASSWORD = "open-sesame-4711"
USERS = 40
SERVE = (sys.executable, "-m", "ftpsd", "serve", "--config")
ATTEMPTS = 5
# Variables of the environment that are read when they are wanted: a forked process has loaded its code before.
READ_LATE = frozenset({"JOURNAL_STREAM", "NOTIFY_SOCKET", "RUNTIME_DIRECTORY", "WATCHDOG_USEC"})
RELOADED = "ftpsd_config_last_reload_success_timestamp_seconds"

Settings = Mapping[str, Any]


# A text that JSON writes as it is.
PLAIN = re.compile(r"[A-Za-z0-9_. /:-]+")


def lines_with(text: str, *words: str) -> Iterator[str]:
    """Yield the lines of *text*, all ended, that hold all *words*; looking for one in the whole is faster."""
    if not words:
        yield from text.splitlines()
        return
    first, *others = words
    place = text.find(first)
    while place >= 0:
        start, end = text.rfind("\n", 0, place) + 1, text.index("\n", place)
        line = text[start:end]
        if all(word in line for word in others):
            yield line
        place = text.find(first, end)


@cache
def password_hash() -> str:
    """Return the hash all users share: Argon2id, as cheap as it can be made."""
    return Argon2id(salt=os.urandom(16), length=32, iterations=1, lanes=1, memory_cost=64).derive_phc_encoded(
        PASSWORD.encode()
    )


@dataclass(frozen=True, slots=True)
class Account:
    """A user nobody else uses, and the folder that is their root."""

    name: str
    home: Path
    password: str = PASSWORD


class Daemon:
    """
    A daemon in *folder*; *changes* are merged into its configuration.

    *command* starts it when the name of the configuration file is added; *environ* is added to its environment;
    *exit_code* is how it ends when all is well. Without a command, and with no more of an environment than `READ_LATE`,
    it is forked, see nursery.py.
    """

    def __init__(
        self,
        folder: Path,
        tls: Demonstration,
        changes: Settings | None = None,
        *,
        users: int = USERS,
        command: Sequence[str] | None = None,
        environ: Mapping[str, str] | None = None,
        exit_code: int = 0,
    ) -> None:
        self.folder = folder
        self.tls = tls
        self.ports: PortBlock = claim_block()
        # In a directory of its own: those of tests are too deep for the path of a socket.
        self.control_socket = Path(tempfile.mkdtemp(prefix="ftpsd-")) / "control.sock"
        self.process: subprocess.Popen[bytes] | None = None
        self._changes = changes or {}
        self._is_forked = command is None and READ_LATE.issuperset(environ or ())
        self._command = tuple(command or SERVE)
        self._environ = dict(environ or {})
        self._good_exit = exit_code
        self._handed_out = 0
        self._pass_fds: tuple[int, ...] = ()
        folder.mkdir(parents=True, exist_ok=True)
        self._users = {f"u{number:03}": self._user(f"u{number:03}") for number in range(users)}
        self.write_users(self._users)
        self.write_config()

    # --- files

    @property
    def config_file(self) -> Path:
        return self.folder / "ftpsd.yaml"

    @property
    def users_file(self) -> Path:
        return self.folder / "users.yaml"

    @property
    def users(self) -> dict[str, dict[str, Any]]:
        """The users as written to the file, to be written again with changes."""
        return {name: dict(user) for name, user in self._users.items()}

    def settings(self) -> dict[str, Any]:
        """Return the whole configuration."""
        ports = self.ports
        base: dict[str, Any] = {
            "listeners": [
                {"mode": "explicit", "port": ports.explicit},
                {"mode": "implicit", "port": ports.implicit},
            ],
            "tls": {"certificate": str(self.tls.certificate), "private_key": str(self.tls.private_key)},
            "passive": {"ports": f"{ports.passive[0]}-{ports.passive[-1]}"},
            "active": {"source_port": 0},
            "limits": {"connections_per_address": 500},
            # All clients of the tests are one client here. Penalties have tests of their own.
            "penalties": {"exempt": ["127.0.0.0/8", "::1"]},
            "audit": {"log": "audit.jsonl"},
            "metrics": {"port": ports.metrics},
            "control_socket": str(self.control_socket),
            "state": "state.db",
            "drain_timeout": "20s",
        }
        for key, value in self._changes.items():
            is_section = isinstance(value, Mapping) and isinstance(base.get(key), dict)
            base[key] = {**base[key], **value} if is_section else value
        return base

    def write_config(self) -> None:
        """Write ftpsd.yaml."""
        self.config_file.write_text(yaml.safe_dump(self.settings(), sort_keys=False))

    def write_users(self, users: Settings) -> None:
        """Write users.yaml; JSON is YAML, and thousands of users are written at once."""
        self.users_file.write_text(json.dumps({"users": dict(users)}, indent=1))
        self.users_file.chmod(0o600)

    def _user(self, name: str) -> dict[str, Any]:
        home = self.folder / "homes" / name
        home.mkdir(parents=True, exist_ok=True)
        return {"password": password_hash(), "home": str(home)}

    def account(self) -> Account:
        """Return a user nobody has used yet."""
        name = f"u{self._handed_out:03}"
        assert name in self._users, "more users are needed, see Daemon(users=...)"
        self._handed_out += 1
        return Account(name, Path(self._users[name]["home"]))

    # --- the process

    def start(self) -> None:
        """Start it and wait until it is ready; a port somebody else took meanwhile is replaced by another."""
        for _ in range(ATTEMPTS):
            self.spawn()
            eventually(lambda: self.is_ready or self.exit_code is not None, "ready or dead", 60)
            if self.exit_code is None:
                return
            if "in use" not in self.stderr or self._pass_fds:
                break
            self.ports.release()
            self.ports = claim_block()
            self.write_config()
        raise AssertionError(f"the daemon ended with {self.exit_code}:\n{self.stderr}")

    def spawn(self, *, pass_fds: Sequence[int] = (), before: Sequence[str] = ()) -> None:
        """Start it and wait for nothing; *before* is a program that starts it in its turn."""
        self._pass_fds = tuple(pass_fds)
        if self._is_forked and not pass_fds and not before:
            self.process = cast("subprocess.Popen[bytes]", nursery().start(self.folder, self.config_file, self.environ))
            return
        with open(self.folder / "stderr", "wb") as stderr, open(self.folder / "stdout", "wb") as stdout:
            self.process = subprocess.Popen(
                [*before, *self._command, str(self.config_file)],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=self._pass_fds,
            )

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which it is started."""
        environ = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        return {**environ, **self._environ}

    @property
    def exit_code(self) -> int | None:
        """The code that the daemon ended with, None while it runs."""
        assert self.process is not None
        return self.process.poll()

    @property
    def stderr(self) -> str:
        """All it has said on standard error."""
        return (self.folder / "stderr").read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def reload(self) -> None:
        """Let it read its files again, and wait until it has."""
        before = self.metrics()[RELOADED]
        self.signal(signal.SIGHUP)
        eventually(lambda: self.metrics()[RELOADED] > before, "reloaded")

    def ended(self, seconds: float = 60.0) -> int:
        """Wait for its end and return the exit code."""
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self) -> None:
        """End it as an operator does, and see that it ended well."""
        self.signal(signal.SIGTERM)
        code = self.ended()
        assert code == self._good_exit, f"exit code {code}:\n{self.stderr}"
        assert "Traceback" not in self.stderr, self.stderr

    def kill(self) -> None:
        """End it if it still runs, and give its ports back; for the end of a test that failed."""
        if self.process is not None and self.exit_code is None:
            self.process.kill()
            self.process.wait(30)
        self.ports.release()
        shutil.rmtree(self.control_socket.parent, ignore_errors=True)

    def order(self, *arguments: str, patience: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command of `ftpsd` with this configuration; return how it ended."""
        return ftpsd(*arguments, environ=self._environ_of_orders, patience=patience)

    def begin_order(self, *arguments: str) -> Command:
        """Start such a command, and wait for nothing."""
        return Command(*arguments, environ=self._environ_of_orders)

    @property
    def _environ_of_orders(self) -> dict[str, str]:
        return {**os.environ, "FTPSD_CONFIG": str(self.config_file), "PYTHONPATH": str(ROOT)}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start it, and stop it behind what is done with it; nothing of it stays where that fails."""
        try:
            self.start()
            yield
            self.stop()
        finally:
            self.kill()

    def start_order(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it as the installed program, and wait for nothing."""
        return subprocess.Popen(
            [sys.executable, "-m", "ftpsd", *arguments],
            env=self._environ_of_orders,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    # --- what it tells

    @property
    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a page of the admin endpoint."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports.metrics}{path}", timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """Return every sample of /metrics, by name and labels as they are spelt there."""
        lines = self.get("/metrics")[1].splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    def audit(self, *words: str) -> list[dict[str, Any]]:
        """Return the events logged so far, of those lines that hold all *words*."""
        return [json.loads(line) for line in lines_with(self.audit_text(), *words)]

    def audit_text(self, start: int = 0) -> str:
        """Return the audit log as it is, from its byte *start* on."""
        file = self.folder / "audit.jsonl"
        if not file.exists():
            return ""
        with file.open("rb") as stream:
            stream.seek(start)
            text = stream.read().decode()
        return text[: text.rfind("\n") + 1]

    def wait_for_event(self, name: str, /, **fields: object) -> dict[str, Any]:
        """Return the first event *name* with these *fields*, as soon as it is there."""

        def find() -> dict[str, Any] | None:
            wanted = {"event": name, **fields}
            return next((event for event in self.audit(*words) if wanted.items() <= event.items()), None)

        # The log of a shared daemon is long: look for the words before reading the line.
        plain = [str(value) for value in fields.values() if isinstance(value, str) and PLAIN.fullmatch(value)]
        words = [f'"{word}"' for word in (name, *plain)]

        found = eventually(find, f"an audit event {name} with {fields}")
        assert found is not None
        return found
