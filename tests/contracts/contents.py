"""Contents for tests: how bytes lie on the disk, and the ones that the contract is run over."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.disk.content import PLAIN, Content, Reading, Writing
from ftpsd.storage.sealing.damage import Alarm, ignore
from ftpsd.storage.sealing.key_files import KeyFiles
from ftpsd.storage.sealing.master import key_sets
from ftpsd.storage.sealing.sealed import Sealed
from ftpsd.storage.sealing.vault import Vault

FRAME = 7
_MASK = 0x5A


class Framed:
    """Frames of seven bytes, masked, each with a checksum; the last may be shorter. As encrypted files are made."""

    is_plain = False

    def length(self, stored: int) -> int:
        """Without the checksums."""
        frames, rest = divmod(stored, FRAME + 1)
        return frames * FRAME + max(0, rest - 1)

    def stored(self, length: int) -> int:
        """With them."""
        frames, rest = divmod(length, FRAME)
        return frames * (FRAME + 1) + (rest + 1 if rest else 0)

    def reading(self, fd: int) -> Reading:
        """Read whole frames, and check them."""

        def read(buffer: memoryview, offset: int) -> int:
            first, skipped = divmod(offset, FRAME)
            frames = (skipped + len(buffer) + FRAME - 1) // FRAME
            raw = os.pread(fd, frames * (FRAME + 1), first * (FRAME + 1))
            data = b"".join(_opened(raw[at : at + FRAME + 1]) for at in range(0, len(raw), FRAME + 1))
            piece = data[skipped : skipped + len(buffer)]
            buffer[: len(piece)] = piece
            return len(piece)

        return read

    whole = stored
    growing = reading

    def sound(self, fd: int, status: os.stat_result) -> int:
        """All of it."""
        return self.length(status.st_size)

    def finish(self, fd: int) -> None:
        """Nothing."""

    def conceal(self, fd: int, value: bytes) -> bytes:
        """As it is."""
        return value

    reveal = conceal

    def writing(self, fd: int, start: int) -> Writing:
        """Write the last frame anew, with what comes behind it."""
        position = start

        def write(data: memoryview) -> None:
            nonlocal position
            frame, head = self._last(fd, position)
            self._put(fd, frame, head + bytes(data))
            position += len(data)

        return write

    def truncate(self, fd: int, length: int) -> None:
        """Write the last frame anew, shorter."""
        frame, head = self._last(fd, length)
        os.ftruncate(fd, frame * (FRAME + 1))
        self._put(fd, frame, head)

    def copy(self, source: int, target: int, length: int, *, growing: bool = False) -> None:
        """Frame by frame."""
        buffer = memoryview(bytearray(length))
        if self.reading(source)(buffer, 0) < length:
            raise StorageError(Kind.BUSY)
        self._put(target, 0, bytes(buffer))

    def _last(self, fd: int, length: int) -> tuple[int, bytes]:
        """Return the number of the frame in which *length* bytes end, and its bytes before that."""
        frame, rest = divmod(length, FRAME)
        head = bytearray(rest)
        assert not rest or self.reading(fd)(memoryview(head), frame * FRAME) == rest
        return frame, bytes(head)

    def _put(self, fd: int, frame: int, data: bytes) -> None:
        raw = b"".join(_sealed(data[at : at + FRAME]) for at in range(0, len(data), FRAME))
        assert os.pwrite(fd, raw, frame * (FRAME + 1)) == len(raw)


def _sealed(data: bytes) -> bytes:
    return bytes(byte ^ _MASK for byte in data) + bytes([sum(data) % 256])


def _opened(raw: bytes) -> bytes:
    data = bytes(byte ^ _MASK for byte in raw[:-1])
    if sum(data) % 256 != raw[-1]:
        raise OSError(errno.EIO, "a frame is broken")
    return data


def sealed(keys: Path, tree: Path, alarm: Alarm = ignore, masters: Sequence[bytes] = (bytes(32),)) -> Sealed:
    """Return the content of the encrypted *tree*, with data keys in the directory *keys*; *masters* newest first."""
    keys.mkdir(exist_ok=True)
    return Sealed(Vault(KeyFiles(keys), key_sets({"main": masters})), "main", str(tree), alarm)


CONTENTS: dict[str, Callable[[Path], Content]] = {
    "plain": lambda tree: PLAIN,
    "framed": lambda tree: Framed(),
    "sealed": lambda tree: sealed(tree.parent / f"{tree.name}-keys", tree),
}
