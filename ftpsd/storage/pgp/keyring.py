"""
The keys in the key home: what there is, what each can do and until when; imports and removals, by gpg.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ftpsd.storage.pgp.gpg_status import lines_of
from ftpsd.storage.pgp.key_home import SECRET_KEYS, KeyHome

# Seconds for a gpg that reads or changes some keys.
PATIENCE = 30.0
LOCK = ".ftpsd-lock"
# Bytes of a file with keys.
LONGEST_IMPORT = 16 * 1024 * 1024

_USELESS = frozenset("ierdn")  # invalid, expired, revoked, disabled, not valid
_WORDS = {"e": "expired", "r": "revoked", "d": "disabled", "i": "invalid", "n": "not valid"}


class KeyTrouble(Exception):
    """gpg could not do it, in a sentence."""


@dataclass(frozen=True, slots=True)
class Part:
    """A primary key or a subkey: *abilities* are gpg's letters, *expires* a Unix time."""

    fingerprint: str
    validity: str
    abilities: str
    expires: int | None
    has_secret: bool

    def can(self, ability: str, now: float) -> bool:
        """Return whether it can be used for that *now*."""
        return ability in self.abilities and self.validity not in _USELESS and not self.is_over(now)

    def is_over(self, now: float) -> bool:
        """Return whether its time is over *now*."""
        return self.expires is not None and self.expires <= now


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key with its subkeys; the first part is the primary key."""

    user: str
    parts: tuple[Part, ...]

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the primary key."""
        return self.parts[0].fingerprint

    @property
    def has_secret(self) -> bool:
        """Whether a secret part of it is here."""
        return any(part.has_secret for part in self.parts)

    def is_called(self, name: str) -> bool:
        """Return whether *name* is its fingerprint or key id, or that of a subkey."""
        return any(part.fingerprint.endswith(name) for part in self.parts)

    def expiry(self, ability: str, now: float) -> float:
        """Return the Unix time until which it has the *ability*, infinity for ever, *now* at most for not any more."""
        whole = self.parts[0].expires
        ends = [part.expires for part in self.parts if ability in part.abilities and part.validity not in _USELESS]
        if not ends or self.parts[0].validity in _USELESS:
            return min(now, whole or now)
        latest = float("inf") if None in ends else float(max(end for end in ends if end is not None))
        return latest if whole is None else min(latest, whole)

    def fault(self, ability: str, now: float, *, secret: bool = False) -> str | None:
        """Return why it cannot be used for the *ability* `e` or `s`, None when it can."""
        primary = self.parts[0]
        if primary.is_over(now) or primary.validity in _USELESS:
            return f"is {'expired' if primary.is_over(now) else _WORDS[primary.validity]}"
        able = [part for part in self.parts if part.can(ability, now)]
        if not able:
            what = "encryption" if ability == "e" else "signing"
            return f"has no usable {what} subkey (none, or expired or revoked)"
        if secret and not any(part.has_secret for part in able):
            return "has no secret part in the key home"
        return None


def keys_in(home: KeyHome) -> list[PublicKey]:
    """Return all keys; none for a key home that is not there. Blocks. Raises: NoGnuPG, OSError, KeyTrouble."""
    if not home.keyring.exists():
        return []
    output = _run(home, "--with-colons", "--with-keygrip", "--fixed-list-mode", "--list-keys")[0]
    return list(_parsed(output.decode("utf-8", "replace"), home))


def find(keys: Sequence[PublicKey], name: str) -> PublicKey | None:
    """Return the key called *name*."""
    return next((key for key in keys if key.is_called(name)), None)


def import_keys(home: KeyHome, text: bytes) -> list[str]:
    """Import the keys in *text*; return their fingerprints. Blocks. Raises: NoGnuPG, OSError, KeyTrouble."""
    home.make()
    with _alone(home):
        _, status = _run(home, "--import-options=import-minimal", "--import", given=text, agent=True, may_fail=True)
        found = [words[2] for words in status if words[0] == "IMPORT_OK"]
        if not found:
            raise KeyTrouble("no key is in it that gpg can import")
        return list(dict.fromkeys(found))


def remove_key(home: KeyHome, fingerprint: str) -> None:
    """Remove the key, and its secret part. Blocks. Raises: NoGnuPG, OSError, KeyTrouble."""
    with _alone(home):
        key = find(keys_in(home), fingerprint)
        if key is None:
            raise KeyTrouble(f"there is no key {fingerprint}")
        _run(home, "--yes", "--delete-secret-and-public-key", key.fingerprint, agent=True)


def give_to(home: KeyHome, uid: int, gid: int) -> None:
    """Make that user the owner of everything in the key home. Raises: OSError."""
    for path in (home.directory, *home.directory.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)


@contextmanager
def _alone(home: KeyHome) -> Iterator[None]:
    """Keep other imports and removals out; readers see the keyring before or after, as gpg renames it."""
    fd = os.open(home.directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
        _tidy(home.directory)
    finally:
        os.close(fd)


def _tidy(directory: Path) -> None:
    """Remove gpg's copies of the keyring before the last change: a removed key is to be gone."""
    for copy in directory.glob("*~"):
        copy.unlink(missing_ok=True)
    with_keys = directory / SECRET_KEYS
    shutil.rmtree(directory / "openpgp-revocs.d", ignore_errors=True)
    with_keys.chmod(0o700)


def _run(
    home: KeyHome, *arguments: str, given: bytes = b"", agent: bool = False, may_fail: bool = False
) -> tuple[bytes, list[tuple[str, ...]]]:
    """Return the output and the status lines of a gpg."""
    view = home.view(needs_agent=agent)
    reading, writing = os.pipe()
    try:
        command = view.command(f"--status-fd={writing}", *arguments)
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(writing,),
            env=view.environment,
            cwd="/",
        ) as process:
            os.close(writing)
            writing = -1
            try:
                output, said = process.communicate(given, PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise KeyTrouble(f"gpg did not end within {PATIENCE:g} s") from None
        os.set_blocking(reading, False)
        status = lines_of(os.read(reading, 1 << 16))
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
        view.close()
    if process.returncode and not may_fail:
        last = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise KeyTrouble(last or f"gpg ended with {process.returncode}")
    return output, status


def _parsed(text: str, home: KeyHome) -> Iterator[PublicKey]:
    """Read gpg's lines with colons (doc/DETAILS of GnuPG)."""
    user = ""
    parts: list[Part] = []
    raw: list[str] = []
    for line in [*text.split("\n"), "pub::"]:
        fields = line.split(":")
        if fields[0] == "pub":
            if parts:
                yield PublicKey(user, tuple(parts))
            user, parts = "", []
        if fields[0] in ("pub", "sub") and len(fields) > 11:
            raw = fields
        elif fields[0] == "fpr" and raw:
            fingerprint = fields[9]
        elif fields[0] == "grp" and raw:
            abilities = "".join(letter for letter in raw[11] if letter.islower())
            expires = int(raw[6]) if raw[6] else None
            parts.append(Part(fingerprint, raw[1], abilities, expires, home.holds_secret(fields[9])))
            raw = []
        elif fields[0] == "uid" and not user:
            user = _unescaped(fields[9])


def _unescaped(text: str) -> str:
    r"""Undo gpg's \x3a in names."""
    return text.replace("\\x3a", ":").replace("\\x5c", "\\")
