"""
Rewrapping: the files of encrypted trees, one after the other, get their own keys wrapped by the newest data key.

Only headers are written, while clients work: the free slot first, then the used one is cleared, each behind a sync, so
that at any moment one of the two opens the file. A file that is done is known by its header, so that a run which ended
early, however it did, is simply begun again. Size, times and digests of the files stay.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from ftpsd.storage.base import StorageError
from ftpsd.storage.disk.descent import Descent
from ftpsd.storage.disk.names import is_reserved
from ftpsd.storage.sealing.damage import DamagedError, Reason, path_of
from ftpsd.storage.sealing.header import UNUSED, data_keys_of, open_header, pack_slot
from ftpsd.storage.sealing.layout import HEADER, MAGIC, SLOT
from ftpsd.storage.sealing.segments import write_at
from ftpsd.storage.sealing.vault import Vault
from ftpsd.storage.uploads.unfinished import PARTIAL_NAME

_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
# Troubles that are kept word by word.
MOST_TROUBLES = 100


@dataclass(slots=True)
class Progress:
    """The files so far: *done* are those that were wrapped anew, *current* had the newest key already."""

    looked: int = 0
    done: int = 0
    current: int = 0
    plain: int = 0  # files that are not encrypted
    busy: int = 0  # uploads under way, which take the newest key when they end
    failed: int = 0
    troubles: list[str] = field(default_factory=list)

    def trouble(self, text: str) -> None:
        """Note a file that was left as it is."""
        self.failed += 1
        if len(self.troubles) < MOST_TROUBLES:
            self.troubles.append(text)

    @property
    def is_complete(self) -> bool:
        """Return whether no file needs an older key any more."""
        return not self.failed and not self.busy


class Rewrapping:
    """The work on *trees*, the keys of each encrypted directory, out of *vault*."""

    def __init__(self, vault: Vault, trees: Mapping[str, str]) -> None:
        self._vault = vault
        self._trees = trees
        self.progress = Progress()

    def run(self) -> Iterator[Progress]:
        """Do all of it; yields after each file."""
        for directory in sorted(self._trees, reverse=True):
            yield from self._tree(directory)

    def renew_data_keys(self) -> int:
        """
        Wrap the data keys of older master keys by the newest of their sets; return how many.

        Backups of files that were taken earlier need these data keys. When this is done, no older master key is needed.
        """
        return self._vault.renew(self._trees)

    def _tree(self, directory: str) -> Iterator[Progress]:
        progress = self.progress
        try:
            for found in (descent := Descent(os.fsencode(directory))):
                name = found.entry.name
                if is_reserved(name) and not PARTIAL_NAME.fullmatch(name):
                    continue
                try:
                    if found.entry.is_file(follow_symlinks=False):
                        progress.looked += 1
                        self._file(found.directory, name, directory)
                        yield progress
                except FileNotFoundError:
                    continue  # deleted, renamed or published since
                except OSError as error:
                    progress.trouble(f"{directory}: {name}: {error.strerror}")
            if descent.unseen is not None:
                progress.trouble(f"{directory}: {descent.unseen} cannot be looked at")
        except OSError as error:
            progress.trouble(f"{directory}: {error.strerror}")

    def _file(self, folder: int, name: str, directory: str) -> None:
        try:
            fd = os.open(name, _OPEN, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                return
            raise
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return
            if PARTIAL_NAME.fullmatch(name) and not _locked(fd):
                self.progress.busy += 1
            elif status.st_size or not PARTIAL_NAME.fullmatch(name):
                self._header(fd, status, directory)
        except StorageError as error:
            if isinstance(error, DamagedError) and error.damage is Reason.DESTROYED_KEY:
                return
            self.progress.trouble(f"{path_of(fd)}: {error.reason}")
        finally:
            os.close(fd)

    def _header(self, fd: int, status: os.stat_result, directory: str) -> None:
        raw = os.pread(fd, HEADER, 0)
        if not raw.startswith(MAGIC):
            self.progress.plain += 1
            return
        header = open_header(fd, self._vault)
        holder = header.data_key.holder
        newest = self._vault.current(holder, self._trees.get(holder, self._trees[directory]))
        slots = list(data_keys_of(raw))
        if header.data_key.number == newest.number and len(slots) == 1:
            self.progress.current += 1
            return
        used, times = header.used, (status.st_atime_ns, status.st_mtime_ns)
        if header.data_key.number != newest.number:
            free = 1 - used
            self._put(fd, free, pack_slot(header.key, header.length, newest), times)
            os.fdatasync(fd)
            used = free
        # The other one is that of an older key, or what a crash has left of it.
        self._put(fd, 1 - used, UNUSED, times)
        os.fdatasync(fd)
        self.progress.done += 1

    @staticmethod
    def _put(fd: int, slot: int, data: bytes, times: tuple[int, int]) -> None:
        """Write a slot, and give the file its times back at once: for its clients it is the same file."""
        write_at(fd, data, len(MAGIC) + slot * SLOT)
        with suppress(PermissionError):
            os.utime(fd, ns=times)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
