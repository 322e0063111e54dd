"""
Surveys: a bounded look at the files of encrypted trees, for what `check` and `doctor` say about keys and plain files.

Trees without a data key come first: in one there should be no sealed file, and where the directory of data keys is
empty, or an old one, those are the trees that show it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from ftpsd.storage.disk.descent import Descent
from ftpsd.storage.disk.names import is_reserved
from ftpsd.storage.sealing.damage import DamagedError, path_of
from ftpsd.storage.sealing.header import data_keys_of
from ftpsd.storage.sealing.layout import HEADER, MAGIC

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


@dataclass(slots=True)
class Survey:
    """
    The files that were looked at: *older* are those under another data key than the newest of their tree.

    *lost* has a file for each data key that is missing, *is_whole* is False where the bound was reached.
    """

    looked: int = 0
    sealed: int = 0
    plain: int = 0
    older: int = 0
    lost: dict[str, str] = field(default_factory=dict)
    is_whole: bool = True


def survey(
    trees: Mapping[str, Iterable[str]], known: frozenset[str], newest: frozenset[str], *, most: int, of_each: int
) -> Survey:
    """
    Look at *of_each* files of each of *trees* and *most* of all.

    *trees* has the data keys of each, *known* all that are there or were destroyed, *newest* those for new files.
    """
    found = Survey()
    for tree in sorted(trees, key=lambda each: (any(True for _ in trees[each]), each)):
        if found.looked >= most:
            found.is_whole = False
            break
        bound = min(of_each, most - found.looked)
        seen = 0
        for path, raw in islice(headers_in(tree), bound):
            seen += 1
            _note(found, path, raw, known, newest)
        found.is_whole = found.is_whole and seen < bound
    return found


def _note(found: Survey, path: str, raw: bytes, known: frozenset[str], newest: frozenset[str]) -> None:
    found.looked += 1
    try:
        ids = [number.hex() for _, _, number in data_keys_of(raw)]
    except DamagedError:
        found.plain += not raw.startswith(MAGIC)
        return
    found.sealed += 1
    if ids and known.isdisjoint(ids):
        found.lost.setdefault(ids[0], path)
    elif newest.isdisjoint(ids):
        found.older += 1


def headers_in(directory: str) -> Iterator[tuple[str, bytes]]:
    """Yield path and first bytes of each regular file below *directory*, no partials; those that cannot be read not."""
    try:
        for found in Descent(os.fsencode(directory)):
            name = found.entry.name
            if is_reserved(name):
                continue
            try:
                if not found.entry.is_file(follow_symlinks=False):
                    continue
                fd = os.open(name, _OPEN, dir_fd=found.directory)
            except OSError:
                continue
            try:
                if stat.S_ISREG(os.fstat(fd).st_mode):
                    yield path_of(fd), os.pread(fd, HEADER, 0)
            except OSError:
                continue
            finally:
                os.close(fd)
    except OSError:
        return


def holds_sealed(directory: str, most: int) -> bool:
    """Return whether one of the first *most* files below *directory* is sealed."""
    return any(raw.startswith(MAGIC) for _, raw in islice(headers_in(directory), most))
