"""
The directories that retention, encryption and OpenPGP use, tried as the user of this process: whether it can.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from ftpsd.config.encrypting.master_keys import fetch_master_keys
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError
from ftpsd.service.inspecting.access import unwritable
from ftpsd.storage.pgp.key_home import KEYRING, SECRET_KEYS

# Files of data keys that are tried; those of one server have one owner and mode.
MOST_TRIED = 10_000


def unusable_archives(config: Config) -> Iterator[ConfigError]:
    """Yield a warning about each archive of retention in which this process can store nothing: files stay then."""
    for number, rule in enumerate(config.retention):
        if rule.archive is not None and (why := unwritable(rule.archive)) is not None:
            message = f"{why}, so the files of this rule stay where they are; run: install -d -m 700 -o ftpsd -g ftpsd"
            yield config.complaint(("retention", number, "archive"), f"{message} {rule.archive}", "warning")


def unusable_keys_of(config: Config) -> Iterator[ConfigError]:
    """Yield an error about each key of encryption and OpenPGP that this process cannot get at. Blocks."""
    yield from fetch_master_keys(config)[1]
    section = config.encryption
    if section is not None:
        for key, directory in (("data_keys", section.data_keys), ("copy_of_data_keys", section.copy_of_data_keys)):
            if directory is not None:
                yield from _closed(config, ("encryption", key), directory, "*.key")
    if config.pgp and config.key_home is not None and config.key_home.is_dir():
        yield from _closed(config, ("pgp",), config.key_home, KEYRING)
        yield from _closed(config, ("pgp",), config.key_home / SECRET_KEYS, "*.key")


def _closed(config: Config, key: tuple[str, ...], directory: Path, pattern: str) -> Iterator[ConfigError]:
    why = unwritable(directory)
    if why is not None:
        yield config.complaint(key, why)
        return
    closed = 0
    for number, file in enumerate(sorted(directory.glob(pattern))):
        if number >= MOST_TRIED:
            break
        try:
            os.close(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC))
        except OSError as error:
            closed += error.errno in (errno.EACCES, errno.EPERM, errno.ELOOP)
    if closed:
        message = f"{closed} files of keys in {directory} cannot be read; run: chown -R ftpsd:ftpsd {directory}"
        yield config.complaint(key, message)
