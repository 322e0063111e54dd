"""
Sealed: the content of an encrypted tree, below the jail, so that all of the storage works on it.

The first write of an upload makes a random key for its file, and whatever is copied from another file (APPE, REST, SITE
CPTO) is encrypted anew with the new file's own. A segment of one version is thus of no use in another. `finish` makes
the file whole: only then does its header say how long it is, and only whole files are read under their name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.disk.content import Reading, Writing
from ftpsd.storage.sealing.ciphers import InvalidTag, cipher, derived, new_key, seal, unseal
from ftpsd.storage.sealing.damage import Alarm, Damage, DamagedError, Reason, ignore, path_of
from ftpsd.storage.sealing.header import DataKey, Header, open_header, pack
from ftpsd.storage.sealing.layout import SEGMENT, length_of, place_of, stored_for, stored_whole
from ftpsd.storage.sealing.segments import SegmentReader, SegmentWriter, segment_cipher, sound_length, write_at
from ftpsd.storage.sealing.vault import Vault, is_related

_ATTRIBUTES = b"ftpsd attributes 1"
# Bytes that are copied at a time.
_PIECE = 4 * SEGMENT
# A copy of a growing file may meet its last segment while it is written; it is looked at again so often.
_LOOKS = 20
_PAUSE = 0.005


class Sealed:
    """The content of the tree in *directory*, with the master keys called *keys*; *alarm* is told of all damage."""

    is_plain = False

    def __init__(self, vault: Vault, keys: str, directory: str, alarm: Alarm = ignore) -> None:
        self._vault = vault
        self._keys = keys
        self._directory = directory
        self._alarm = alarm

    # The lengths of files

    def length(self, stored: int) -> int:
        """See `Content.length`."""
        return length_of(stored)

    def stored(self, length: int) -> int:
        """See `Content.stored`."""
        return stored_for(length)

    def whole(self, length: int) -> int:
        """See `Content.whole`."""
        return stored_whole(length)

    def sound(self, fd: int, status: os.stat_result) -> int:
        """Return how many bytes can be gone on from: none where the header does not open, none of a torn segment."""
        if not status.st_size:
            return 0
        try:
            return sound_length(fd, segment_cipher(open_header(fd, self).key), status.st_size)
        except DamagedError:
            return 0

    # Files under their names, and growing ones

    def reading(self, fd: int) -> Reading:
        """Return a reader of a whole file. Raises: DamagedError."""
        return self._reader(fd, is_whole=True)

    def growing(self, fd: int) -> Reading:
        """Return a reader of an upload that is not over."""
        return self._reader(fd, is_whole=False)

    def _reader(self, fd: int, *, is_whole: bool) -> Reading:
        reader: SegmentReader | None = None
        if is_whole:
            with self._alarmed(fd):
                header = self._open(fd)
                self._require_whole(fd, header)
                reader = SegmentReader(fd, segment_cipher(header.key), header.length)

        def read(buffer: memoryview, offset: int) -> int:
            nonlocal reader
            with self._alarmed(fd):
                if reader is None:
                    if not os.fstat(fd).st_size:
                        return 0
                    reader = SegmentReader(fd, segment_cipher(self._open(fd).key), None)
                if not is_whole:
                    reader.forget()
                return reader.read(buffer, offset)

        return read

    def writing(self, fd: int, start: int) -> Writing:
        """See `Content.writing`: with a new key for a file that begins."""
        if not start:
            key = new_key()
            with self._alarmed(fd):
                header = pack(key, None, self._current())
            return SegmentWriter(fd, segment_cipher(key), 0, header).write
        with self._alarmed(fd):
            return self._writer(fd, start).write

    def truncate(self, fd: int, length: int) -> None:
        """See `Content.truncate`: the last segment is encrypted anew, shorter."""
        if not length:
            os.ftruncate(fd, 0)
            return
        with self._alarmed(fd):
            writer = self._writer(fd, length)
        os.ftruncate(fd, place_of(length // SEGMENT))
        writer.put_tail()

    def copy(self, source: int, target: int, length: int, *, growing: bool = False) -> None:
        """See `Content.copy`: decrypted, and encrypted with another key."""
        if not length:
            return
        read = self._reader(source, is_whole=not growing)
        write = self.writing(target, 0)
        buffer = memoryview(bytearray(min(_PIECE, length)))
        done = 0
        while done < length:
            part = buffer[: min(_PIECE, length - done)]
            count = self._patient(source, part, done) if growing else read(part, done)
            if not count:
                raise StorageError(Kind.BUSY)
            write(part[:count])
            done += count

    def finish(self, fd: int) -> None:
        """Write the length into the header, under the data key of now."""
        with self._alarmed(fd):
            stored = os.fstat(fd).st_size
            key = new_key() if not stored else self._open(fd).key
            write_at(fd, pack(key, length_of(stored), self._current()), 0)

    # Values that are kept with a file

    def conceal(self, fd: int, value: bytes) -> bytes:
        """Encrypt *value* for an attribute of the file: the digest of two files would say that they are the same."""
        return seal(self._attributes(fd), value, b"").hex().encode()

    def reveal(self, fd: int, value: bytes) -> bytes:
        """Return what `conceal` was given, nothing for anything else."""
        try:
            return unseal(self._attributes(fd), bytes.fromhex(value.decode("ascii")), b"")
        except (InvalidTag, ValueError, DamagedError):
            return b""

    # The data keys of the tree

    def find(self, number: bytes) -> DataKey:
        """Return the data key of a file of this tree; see `DataKeys`."""
        found = self._vault.find(number)
        if not is_related(found.holder, self._directory):
            raise DamagedError(Reason.FOREIGN, f"sealed in {found.holder}")
        return found

    def _current(self) -> DataKey:
        return self._vault.current(self._directory, self._keys)

    def _open(self, fd: int) -> Header:
        return open_header(fd, self)

    def _attributes(self, fd: int) -> AESGCM:
        return cipher(derived(self._open(fd).key, _ATTRIBUTES))

    @staticmethod
    def _require_whole(fd: int, header: Header) -> None:
        if header.length is None:
            raise DamagedError(Reason.UNFINISHED)
        stored = os.fstat(fd).st_size
        if stored != stored_whole(header.length):
            raise DamagedError(Reason.CUT, f"{stored} bytes in place of {stored_whole(header.length)}")

    def _writer(self, fd: int, start: int) -> SegmentWriter:
        header = self._open(fd)
        if header.length is not None:  # made whole by an attempt to publish it
            write_at(fd, pack(header.key, None, self._current()), 0)
        return SegmentWriter(fd, segment_cipher(header.key), start)

    def _patient(self, fd: int, buffer: memoryview, offset: int) -> int:
        """Read from a file that another upload may be writing to the end of."""
        for look in range(_LOOKS):
            try:
                return SegmentReader(fd, segment_cipher(self._open(fd).key), None).read(buffer, offset)
            except DamagedError:
                if look:
                    time.sleep(_PAUSE)
        raise StorageError(Kind.BUSY)

    @contextmanager
    def _alarmed(self, fd: int) -> Iterator[None]:
        """Raise the alarm about the file *fd* when it turns out to be damaged."""
        try:
            yield
        except DamagedError as error:
            self._alarm(Damage(error.damage, path_of(fd), error.detail))
            raise
