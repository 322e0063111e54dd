"""Key homes of partners, made by the test's own gpg, and the messages that they make and read."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.tools import require_tool

PAST = "20200101T000000"


class Partner:
    """A GnuPG home of somebody else, in a folder of its own; sockets of agents need short paths."""

    def __init__(self) -> None:
        self.gpg_program = require_tool("gpg")
        require_tool("gpg-agent")
        self.home = Path(tempfile.mkdtemp(prefix="partner-"))

    def gpg(self, *arguments: str, given: bytes = b"") -> bytes:
        """Run gpg; return its output."""
        command = [self.gpg_program, "--homedir", str(self.home), "--batch", "--quiet", "--trust-model", "always"]
        done = subprocess.run([*command, *arguments], input=given, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def make_key(self, name: str, *, expires: str = "0", at: str | None = None, encrypts: bool = True) -> str:
        """Make a key pair without passphrase; return its fingerprint."""
        when = [] if at is None else ["--faked-system-time", at]
        self.gpg(*when, "--passphrase", "", "--quick-gen-key", name, "ed25519", "default", expires)
        fingerprint = self.fingerprint(name)
        if encrypts:
            self.gpg(*when, "--passphrase", "", "--quick-add-key", fingerprint, "cv25519", "encr", expires)
        return fingerprint

    def fingerprint(self, name: str) -> str:
        """Return the fingerprint of the key of *name*."""
        lines = self.gpg("--with-colons", "--list-keys", name).decode().splitlines()
        return next(line.split(":")[9] for line in lines if line.startswith("fpr"))

    def revoke(self, fingerprint: str) -> bytes:
        """Revoke the key of ours with that *fingerprint*; return it, as partners send it on."""
        prepared = (self.home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_bytes()
        # gpg puts a colon in front, so that nobody imports it by mistake.
        self.gpg("--import", given=prepared.replace(b":-----BEGIN", b"-----BEGIN"))
        return self.public(fingerprint)

    def public(self, *names: str) -> bytes:
        """Return public keys."""
        return self.gpg("--export", *names)

    def secret(self, name: str) -> bytes:
        """Return a secret key."""
        return self.gpg("--export-secret-keys", name)

    def close(self) -> None:
        """End the agent, and remove the home."""
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "gpg-agent"], check=False)
        shutil.rmtree(self.home, ignore_errors=True)


def gnupg_processes(marker: str) -> list[str]:
    """Return the command lines of living processes of GnuPG that hold *marker*."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if marker in words and "gpg" in words:
            found.append(words)
    return found


def gpgs_of(process: subprocess.Popen[bytes] | None) -> list[int]:
    """Return the processes of GnuPG that the daemon has."""
    assert process is not None
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            name = (path.parent / "comm").read_text().strip()
        except OSError:
            continue
        if fields[1] == str(process.pid) and name in ("gpg", "gpg-agent"):
            found.append(int(path.parent.name))
    return found
