"""
The master keys that a configuration names, fetched from files, credentials and programs. Blocks, within bounds.

A key is 32 bytes, as they are or written as 64 hexadecimal digits or in base64. No complaint repeats anything of what
was read, and no program gets anything of our environment but PATH and a language.
"""

from __future__ import annotations

import base64
import binascii
import os
import shlex
import signal
import stat
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from ftpsd.config.encrypting.encryption import Encryption, MasterKeySource
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError, Key

SIZE: Final = 32
# A key in base64 with a line end has 45 bytes.
_MOST: Final = 256
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAKE: Final = "make one with: openssl rand -hex 32"


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """The keys of each set, the newest first."""

    sets: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict, repr=False)


class _Unusable(Exception):
    """A key that cannot be had, with a sentence for the operator."""


def fetch_master_keys(config: Config) -> tuple[MasterKeys, list[ConfigError]]:
    """Fetch all keys, and return them with the complaints about those that cannot be had."""
    section = config.encryption
    if section is None:
        return MasterKeys(), []
    sets: dict[str, tuple[bytes, ...]] = {}
    errors = _about_directories(config, section)
    seen: dict[bytes, str] = {}
    for name, sources in section.keys.items():
        keys: list[bytes] = []
        for number, source in enumerate(sources):
            place: Key = ("encryption", "keys", name, number, *source.kinds[:1])
            try:
                key = _fetch(source)
                if key in seen:
                    raise _Unusable(f"the same key as {seen[key]}; each needs one of its own: {_MAKE}")
            except _Unusable as problem:
                errors.append(config.complaint(place, f"set {name}: {problem}"))
            else:
                seen[key] = f"encryption.keys.{name}[{number}]"
                keys.append(key)
        sets[name] = tuple(keys)
    return MasterKeys(sets), errors


def _fetch(source: MasterKeySource) -> bytes:
    if source.file is not None:
        return _decoded(_read(source.file), str(source.file))
    if source.credential is not None:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise _Unusable(
                f"systemd has passed no credentials, so there is no {source.credential}; start ftpsd by its unit, with "
                f"LoadCredential={source.credential}:/path, or set CREDENTIALS_DIRECTORY"
            )
        return _decoded(_read(Path(folder) / source.credential, is_passed=True), f"credential {source.credential}")
    assert source.program is not None
    return _decoded(_run(source.program, source.timeout), f"what {source.program[0]} has written")


def _decoded(data: bytes, where: str) -> bytes:
    if len(data) == SIZE:
        return data
    text = data.strip()
    with suppress(ValueError, binascii.Error):
        key = bytes.fromhex(text.decode("ascii")) if len(text) == 2 * SIZE else base64.b64decode(text, validate=True)
        if len(key) == SIZE:
            return key
    raise _Unusable(f"{where} is no key of {SIZE} bytes (raw, 64 hexadecimal digits or base64); {_MAKE}")


def _read(path: Path, *, is_passed: bool = False) -> bytes:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            status = os.fstat(stream.fileno())
            data = stream.read(_MOST + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise _Unusable(f"{path} cannot be read: {error.strerror}") from None
    if not is_passed and stat.S_IMODE(status.st_mode) & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        raise _Unusable(f"{path} is open to others on this machine; run: chmod o-rwx,g-w {shlex.quote(str(path))}")
    return data


def _run(program: tuple[str, ...], seconds: float) -> bytes:
    """Return what *program* writes; it gets no input, and what it writes elsewhere is dropped."""
    environment = {"PATH": _PATH, "LANG": "C.UTF-8"}
    with TemporaryFile() as output:
        try:
            child = subprocess.Popen(
                program,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise _Unusable(f"{program[0]} cannot be run: {error.strerror}") from None
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise _Unusable(f"{program[0]} did not end within {seconds:g} s; try it, or raise timeout") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # and what it has started
            child.wait()
        if code:
            raise _Unusable(f"{program[0]} has ended with {code}; try it as the daemon's user")
        output.seek(0)
        return output.read(_MOST + 1)


def _about_directories(config: Config, section: Encryption) -> list[ConfigError]:
    found: list[ConfigError] = []
    for key, path in (("data_keys", section.data_keys), ("copy_of_data_keys", section.copy_of_data_keys)):
        if path is None:
            continue
        quoted = shlex.quote(str(path))
        message = None
        try:
            status = os.stat(path)
        except OSError:
            # It is never made by us: an empty one in the place of one that is not mounted would look like a new server.
            message = f"{path} does not exist; run: install -d -m 700 -o ftpsd -g ftpsd {quoted}"
        else:
            if not stat.S_ISDIR(status.st_mode):
                message = f"{path} is not a directory; name one, or move the file away"
            elif stat.S_IMODE(status.st_mode) & 0o077:
                message = f"{path} is open to others on this machine; run: chmod 700 {quoted}"
            elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
                message = f"{path} cannot be written by user id {os.geteuid()}; run: chown ftpsd: {quoted}"
        if message is not None:
            found.append(config.complaint(("encryption", key), message))
    return found
