"""
The files in the directory of a job, and with `recursive` in those below it, at either end.

* The directory of the archive is left out, wherever it is.
* Directories that are deeper than `depth`, or more than `MOST_DIRECTORIES`, and files above `MOST_SEEN` are left, as is
  a directory that cannot be listed: each is told as a failure, so that no run passes files by without a word.
* A file that is left like that is not gone: a list that is not whole makes a job forget nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar

from ftpsd.jobs.moving import OF_ALL, Attempt, below
from ftpsd.partners.contact import Fault, PartnerError, RemoteFile
from ftpsd.storage.base import StorageError
from ftpsd.values.entry import Entry, EntryType
from ftpsd.values.path import VirtualPath

# Entries of one run that are looked at, and directories.
MOST_SEEN: Final = 200_000
MOST_DIRECTORIES: Final = 10_000

F = TypeVar("F")
D = TypeVar("D")


@dataclass(slots=True)
class Listing(Generic[F]):
    """The *files* that were found, and what could not be looked at, by its path."""

    files: list[F] = field(default_factory=list)
    failed: dict[str, PartnerError | StorageError] = field(default_factory=dict)


@dataclass(slots=True)
class _Descent(Generic[D]):
    """The directories that are still to be listed, each with its depth, and how many there were."""

    most_deep: int
    waiting: deque[tuple[D, int]] = field(default_factory=deque)
    count: int = 0

    def enter(self, directory: D, depth: int) -> PartnerError | None:
        """List *directory* later; return why not, where that is so."""
        if depth > self.most_deep:
            return PartnerError(Fault.REFUSED, f"it is more than {self.most_deep} directories deep; see depth")
        if self.count >= MOST_DIRECTORIES:
            return PartnerError(Fault.REFUSED, f"there are more than {MOST_DIRECTORIES} directories")
        self.count += 1
        self.waiting.append((directory, depth))
        return None


_FULL: Final = f"there are more than {MOST_SEEN} files"


async def far_files(attempt: Attempt) -> Listing[RemoteFile]:
    """Return the files of the partner; the name of one is its path below the source. Raises: PartnerError."""
    moving, session = attempt.moving, attempt.session
    if not moving.recursive:
        return Listing(await session.list(moving.source))
    found: Listing[RemoteFile] = Listing()
    descent: _Descent[str] = _Descent(moving.depth)
    descent.enter("", 0)
    # Links to directories are directories in listings of most servers, and may lead upwards: each is entered once.
    seen: set[str] = set()

    def sort_out(listed: list[RemoteFile], inside: str, depth: int) -> None:
        for each in sorted(listed, key=lambda each: each.name):  # of two ways to a directory the same one each time
            name = f"{inside}/{each.name}" if inside else each.name
            path = below(moving.source, name)
            if not each.is_directory:
                if len(found.files) < MOST_SEEN:
                    found.files.append(replace(each, name=name))
                else:
                    found.failed[moving.source] = PartnerError(Fault.REFUSED, _FULL)
            elif path == moving.archive or each.unique in seen:
                continue
            else:
                if each.unique:
                    seen.add(each.unique)
                if (why := descent.enter(name, depth + 1)) is not None:
                    found.failed[path] = why

    while descent.waiting:
        inside, depth = descent.waiting.popleft()
        path = below(moving.source, inside) if inside else moving.source
        try:
            listed = await session.list(path, with_directories=True)
        except PartnerError as error:
            if not inside or error.fault in OF_ALL:
                raise
            found.failed[path] = error
        else:
            # In a worker, as all that is done with so many names.
            await attempt.tree.pool.run(sort_out, listed, inside, depth)
    return found


async def near_files(attempt: Attempt) -> Listing[tuple[VirtualPath, Entry]]:
    """Return the files of the user, each with its path. Raises: StorageError."""
    moving, tree = attempt.moving, attempt.tree
    found: Listing[tuple[VirtualPath, Entry]] = Listing()
    descent: _Descent[VirtualPath] = _Descent(moving.depth)
    source = VirtualPath.parse(moving.source)
    descent.enter(source, 0)
    top = await tree.entry(source)
    # Links to a directory of the same tree are directories here, and may lead upwards: each is entered once.
    seen: set[tuple[int, int] | None] = {None if top is None else top.file}

    def sort_out(entries: list[Entry], inside: VirtualPath, depth: int) -> None:
        for entry in sorted(entries):  # of two ways to a directory the same one is taken each time
            if entry.type is EntryType.FILE:
                found.files.append((inside / entry.name, entry))
            elif entry.type is EntryType.DIRECTORY and moving.recursive:
                path = inside / entry.name
                if str(path) == moving.archive or (entry.file is not None and entry.file in seen):
                    continue
                seen.add(entry.file)
                if (why := descent.enter(path, depth + 1)) is not None:
                    found.failed[str(path)] = why

    while descent.waiting:
        inside, depth = descent.waiting.popleft()
        room = MOST_SEEN - len(found.files)
        try:
            entries = await tree.entries(inside, room) if room else []
        except StorageError as error:
            if inside == source:
                raise
            found.failed[str(inside)] = error
        else:
            if len(entries) >= room:
                found.failed[moving.source] = PartnerError(Fault.REFUSED, _FULL)
            # In a worker, as all that is done with so many names.
            await tree.pool.run(sort_out, entries, inside, depth)
    return found
