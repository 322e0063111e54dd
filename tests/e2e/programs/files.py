"""Files and trees to transfer, and their checksums."""

from __future__ import annotations

import hashlib
import os
import random
from functools import lru_cache
from pathlib import Path

MIB = 1024 * 1024
# Large enough to fill every buffer on the way, or with FTPSD_TESTS_LARGE=1 as large as what people transfer.
LARGE = 1024 * MIB if os.environ.get("FTPSD_TESTS_LARGE") == "1" else 64 * MIB


def make_file(path: Path, size: int) -> Path:
    """Write *size* bytes that repeat nowhere; return *path*."""
    block = _block(size)
    with path.open("wb") as file:
        for number in range(0, size, MIB):
            file.write((number.to_bytes(8, "big") + block[8:])[: size - number])
    return path


@lru_cache(maxsize=8)
def _block(size: int) -> bytes:
    return random.Random(size).randbytes(min(size, MIB))


def make_tree(folder: Path, files: int, folders: int = 20) -> Path:
    """Make a tree of *files* small files in *folders* with two in each, by names not all plain; return *folder*."""
    folder.mkdir()
    for number in range(files):
        place = folder / f"folder {number % folders}" / ("übung" if number % 3 else "plain")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"file {number:04}.dat").write_bytes(random.Random(number).randbytes(number * 7 % 5000))
    return folder


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below *folder*, by relative path."""
    return {str(path.relative_to(folder)): digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}
