"""
The place of hidden uploads: whole files that wait for their verdict, below the directory of the quarantine.

    hidden/<user>-<tree>/<incident>.json, <incident>.held      digests of whose they are, and of where they are to lie

* All of them have the bound of the quarantine together, and those of one user a `SHARE`th of it: one user alone leaves
  room for others.
* A record is read once by each instance, and again where it may have changed; what came and went is seen by the names.
* They count for the quota of the tree that they came to: `held_for` is for those who count it.

Every call blocks.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from threading import Lock

from ftpsd.scanning.quarantine import HELD, MOST_FILES, Full, Quarantine, Record, Sizes, is_replaced, replaced_by
from ftpsd.storage.disk.walk import Place

# Of the bound, the part that is one user's.
SHARE = 4
# Seconds within which the time of a directory does not tell two changes from each other.
_TICK_NS = 100_000_000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class OwnShareFull(Full):
    """There is no room for more of this user's."""


class HiddenPlace:
    """The hidden uploads in the quarantine in *outer*, of at most *most* bytes."""

    def __init__(self, outer: Path, most: int) -> None:
        self.directory = outer / "hidden"
        self.most = most
        self._outer = outer
        self._mutex = Lock()
        self._known: dict[str, tuple[str, Record]] = {}  # by incident: the leaf, and the record as it was read first
        self._sizes: dict[str, tuple[int, Sizes]] = {}  # by leaf: its time, and its contents then

    def take(self, record: Record, place: Place, fd: int) -> os.stat_result:
        """Take the file at *place*, open as *fd*, with *record*, durably. Raises: OSError, Full, and it is there."""
        with self._locked() as top:
            owner = _owner_key(record.host, record.owner)
            self._require_room(owner, os.fstat(fd).st_size)
            leaf = self._leaf(f"{owner}-{_tree_key(Path(record.tree))}")
            with suppress(FileExistsError):
                os.mkdir(leaf.directory, 0o700)
                os.fsync(top)
            end = leaf.begin(record, place, fd)
        return end()

    def leaf_of(self, incident: str) -> Quarantine:
        """Return the directory of *incident*, as a quarantine of its own."""
        with self._mutex:
            known = self._known.get(incident)
        if known is not None:
            return self._leaf(known[0])
        return next((leaf for leaf in map(self._leaf, self._leaves()) if leaf.find(incident)), self._leaf("gone"))

    def records(self) -> list[Record]:
        """Return the records of all, the oldest first, as they were when they were first read."""
        return self._records(self._leaves())

    def waiting_at(self, tree: Path, inner: str) -> list[Record]:
        """Return the records of those that are to lie at *inner* of *tree*, the oldest first; as `records` does."""
        found = self._records(self._leaves_of(tree))
        return [record for record in found if record.inner == inner]

    def retime(self, tree: Path, inner: str, before_ns: int, after_ns: int) -> None:
        """
        Have the records of files that are to replace the one at *inner* of *tree*, changed at *before_ns*, know that it
        will say *after_ns*. Raises: OSError.
        """
        # Both: its time is set behind this, or not at all.
        times = dict.fromkeys((replaced_by(before_ns), replaced_by(after_ns)))
        for waiting in self.waiting_at(tree, inner):
            leaf = self.leaf_of(waiting.incident)
            record = leaf.find(waiting.incident)
            if record is not None and is_replaced(record, before_ns):
                leaf.change(replace(record, replaces=" ".join(times)))

    def carry(self, owner: str, tree: Path, inner: str, modified_ns: int | None, mode: int | None) -> bool:
        """
        Have the last upload of *owner* to *inner* of *tree* get this time or mode when it is published.

        False where none waits. Raises: OSError.
        """
        mine = [record for record in self.waiting_at(tree, inner) if record.owner == owner]
        if not mine:
            return False
        leaf = self.leaf_of(mine[-1].incident)
        record = leaf.find(mine[-1].incident)
        if record is None:
            return False
        kept_time = record.modified_ns if modified_ns is None else modified_ns
        kept_mode = record.mode if mode is None else mode
        return leaf.change(replace(record, modified_ns=kept_time, mode=kept_mode))

    def held_for(self, tree: Path) -> Iterator[os.stat_result]:
        """Yield the status of each file that counts for the quota of *tree*. Raises: OSError."""
        for name in self._leaves_of(tree):
            with suppress(FileNotFoundError):  # emptied since
                yield from self._leaf(name).statuses()

    def size(self) -> Sizes:
        """Return how many files are there, and their bytes."""
        sizes = [self._leaf(name).size() for name in self._leaves()]
        return sum(count for count, _ in sizes), sum(size for _, size in sizes)

    def sweep(self) -> None:
        """Remove what crashes have left, and the directories in which nothing waits any more."""
        if not self.directory.is_dir():
            return
        for name in self._leaves():
            self._leaf(name).sweep(float("inf"))
            with self._locked(), suppress(OSError):
                os.rmdir(self.directory / name)

    def orphans(self) -> Iterator[tuple[Quarantine, str]]:
        """Yield the directory and the incident of each file without a record."""
        for name in self._leaves():
            leaf = self._leaf(name)
            yield from ((leaf, incident) for incident in leaf.orphans())

    def adopt(self, other: HiddenPlace, but: Container[str] = ()) -> tuple[set[str], int]:
        """
        Take what waits in the *other* place, *but* these, which are being settled there, and what follows them.

        Return the trees of what has come, and how many stay there for which there is no room.
        """
        left, trees = 0, set[str]()
        records = other.records()
        # What is to follow one of these under its name would get there first.
        staying = {(record.tree, record.inner) for record in records if record.incident in but}
        for record in records:
            if (record.tree, record.inner) in staying:
                continue
            leaf = other.leaf_of(record.incident)
            try:
                fd = leaf.open(record.incident)
            except FileNotFoundError:
                continue
            try:
                # A crash behind the copy of one, on another file system, has left both.
                if self.leaf_of(record.incident).find(record.incident) is None:
                    with leaf.place_of(record.incident) as place:
                        self.take(leaf.find(record.incident) or record, place, fd)
                leaf.remove(record.incident)
                leaf.remove_record(record.incident)
                trees.add(record.tree)
            except Full:
                left += 1
            finally:
                os.close(fd)
        return trees, left

    def _records(self, leaves: list[str]) -> list[Record]:
        """Return the records in *leaves*; those that came since the last look are read."""
        found: list[Record] = []
        for name in leaves:
            leaf = self._leaf(name)
            for incident in leaf.incidents():
                with self._mutex:
                    known = self._known.get(incident)
                if known is None or known[0] != name:
                    record = leaf.find(incident)
                    if record is None:
                        continue
                    known = name, record
                    with self._mutex:
                        self._known[incident] = known
                found.append(known[1])
        with self._mutex:
            if len(self._known) > 2 * MOST_FILES:
                there = {record.incident for record in found}
                self._known = {incident: known for incident, known in self._known.items() if incident in there}
        return sorted(found, key=lambda record: (record.time, record.incident))

    def _require_room(self, owner: str, stored: int) -> None:
        """Raises: Full. The place is locked."""
        count = size = own_count = own_size = 0
        for name in self._leaves():
            files, held = self._size_of(name)
            count, size = count + files, size + held
            if name.startswith(owner):
                own_count, own_size = own_count + files, own_size + held
        if count >= MOST_FILES or size + stored > self.most:
            raise Full
        if own_count >= MOST_FILES // SHARE or own_size + stored > self.most // SHARE:
            raise OwnShareFull

    def _size_of(self, name: str) -> Sizes:
        """Return the contents of a leaf, which are looked at anew when its time has changed."""
        changed = os.stat(self.directory / name).st_mtime_ns
        known = self._sizes.get(name)
        if known is not None and known[0] == changed:
            return known[1]
        found = self._leaf(name).size()
        if time.time_ns() - changed > _TICK_NS:
            self._sizes[name] = changed, found
        return found

    def _leaf(self, name: str) -> Quarantine:
        return Quarantine(self.directory / name, self.most)

    def _leaves(self) -> list[str]:
        try:
            with os.scandir(self.directory) as entries:
                leaves = {_leaf_with(entry) for entry in entries}
            return sorted(leaf for leaf in leaves if leaf is not None)
        except FileNotFoundError:
            return []

    def _leaves_of(self, tree: Path) -> list[str]:
        leaves = self._leaves()
        if not leaves:
            return []
        key = "-" + _tree_key(tree)
        return [name for name in leaves if name.endswith(key)]

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the place, made where it is missing; its descriptor is the lock."""
        for missing in (self._outer, self.directory):
            with suppress(FileExistsError):
                os.mkdir(missing, 0o700)
                _sync(missing.parent)
        directory = os.open(self.directory, _DIRECTORY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield directory
        finally:
            os.close(directory)


def _leaf_with(entry: os.DirEntry[str]) -> str | None:
    """Return the leaf in which *entry* of the place is; None for something else."""
    if entry.is_dir(follow_symlinks=False):
        return entry.name
    # Before there were leaves, files were in the place itself.
    return "." if entry.name.endswith(HELD) else None


def _sync(directory: Path) -> None:
    """Bring the names in *directory* to the disk, where it may be read."""
    with suppress(PermissionError):
        fd = os.open(directory, _DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _owner_key(host: str, owner: str) -> str:
    """Return the digest that stands for *owner* of *host*; no name has a NUL in it."""
    return sha256(f"{host}\0{owner}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _tree_key(tree: Path) -> str:
    """Return the digest that stands for the directory *tree*."""
    return sha256(os.fsencode(os.path.realpath(tree))).hexdigest()[:16]
