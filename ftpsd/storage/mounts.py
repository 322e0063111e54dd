"""
MountedStorage: a home and several other trees under one virtual tree.

* The longest mount path that a path lies in decides which tree it belongs to. Each tree has its own rules around it,
  and sees paths as from its own root.
* A mount point is the root of its tree, whatever the home has under that name. The directories above it are always
  there: where the home has none, or does not let the user see it, they hold the mount points and nothing else.
* Neither a mount point nor a directory above one is deleted, renamed, replaced or made. A rename stays in one tree, and
  so does a link; no link leads to a directory above a mount point, where it would expose the files that the mount
  hides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from heapq import merge
from itertools import islice
from operator import attrgetter

from ftpsd.storage.base import Kind, Listing, Sink, Source, Storage, StorageError, Terms, Traits
from ftpsd.storage.cached_file import CachedFile
from ftpsd.storage.disk.names import RESERVED_PREFIX
from ftpsd.storage.forwarding import ForwardingStorage
from ftpsd.values.entry import Entry, EntryType
from ftpsd.values.path import ROOT, PathError, VirtualPath
from ftpsd.values.quota import Standing
from ftpsd.values.trace import Trace

# The permissions of a directory that is only there for the mounts below it: to enter and to list it.
_MADE_UP_PERM = "el"
# Entries that are read at a time.
_BATCH = 200
_name = attrgetter("name")
# The reason, for the log.
_HELD = "a mount point, or above one"
_NOT_THERE = frozenset({Kind.NOT_FOUND, Kind.NOT_A_DIRECTORY})


class MountPoints:
    """The borders between trees, by paths alone."""

    def __init__(self, points: Iterable[VirtualPath]) -> None:
        self._deepest_first = sorted(points, key=lambda point: len(point.parts), reverse=True)

    def find(self, path: VirtualPath) -> VirtualPath:
        """Return the mount point of the tree that *path* belongs to, the root for the home."""
        return next((point for point in self._deepest_first if path.is_within(point)), ROOT)

    def is_held(self, path: VirtualPath) -> bool:
        """Return whether *path* is a mount point, or a directory above one."""
        return any(point.is_within(path) for point in self._deepest_first)

    def names_in(self, path: VirtualPath) -> list[str]:
        """Return the names in the directory *path* that are, or lead to, mount points."""
        depth = len(path.parts)
        below = (point.parts for point in self._deepest_first if point.is_within(path))
        return sorted({parts[depth] for parts in below if len(parts) > depth})


def inside(path: VirtualPath, point: VirtualPath) -> VirtualPath:
    """Return *path* as it is seen from the root of the tree at *point*. Raises: BAD_NAME for names no path can hold."""
    if point.is_root:
        return path
    try:
        return VirtualPath(path.parts[len(point.parts) :])
    except PathError:
        raise StorageError(Kind.BAD_NAME, path) from None


class MountedTree(ForwardingStorage):
    """The tree *inner* as it is seen from the root of all: below *point*, where it is mounted."""

    def __init__(self, inner: Storage, point: VirtualPath) -> None:
        super().__init__(inner)
        self._point = point

    def inward(self, path: VirtualPath) -> VirtualPath:
        """Return *path* as it is seen from the root of the tree."""
        return inside(path, self._point)

    def outward(self, path: VirtualPath) -> VirtualPath:
        """Return *path* as it is seen from the root of all."""
        return VirtualPath(self._point.parts + path.parts)


class MountedStorage:
    """A home with other trees at the paths of *mounts*; closing it closes them all."""

    def __init__(self, home: Storage, mounts: Mapping[VirtualPath, Storage]) -> None:
        self._trees: dict[VirtualPath, Storage] = {point: MountedTree(tree, point) for point, tree in mounts.items()}
        self._trees[ROOT] = home
        self._points = MountPoints(mounts)
        # Things that a look at the mount points in a directory waits for.
        self._seen_in: dict[VirtualPath, frozenset[str]] = {}
        for point, tree in mounts.items():
            if seen := tree.traits(ROOT).waits_for:
                self._seen_in[point.parent] = self._seen_in.get(point.parent, frozenset()) | seen

    def traits(self, path: VirtualPath) -> Traits:
        """Return the traits of the tree of *path*; a listing looks at the roots of what is mounted in it, too."""
        traits = self._tree_of(path).traits(path)
        seen = self._seen_in.get(path)
        return traits if seen is None else replace(traits, waits_for=traits.waits_for | seen)

    def stat(self, path: VirtualPath) -> Entry:
        """Describe *path*; a mount point is the root of its tree."""
        is_above = bool(self._points.names_in(path))
        try:
            entry = self._tree_of(path).stat(path)
        except StorageError as error:
            if not is_above or error.kind not in _NOT_THERE:
                raise
            return _made_up(path)
        if is_above and entry.type is not EntryType.DIRECTORY:
            return _made_up(path)
        if path.is_root or not self._points.is_held(path):
            return entry
        return entry._replace(name=path.name, perm="".join(letter for letter in entry.perm if letter not in "df"))

    def list(self, path: VirtualPath) -> Listing:
        """Open the directory *path* for reading, with the mount points in it."""
        names = self._points.names_in(path)
        listing: Listing | None = None
        try:
            listing = self._tree_of(path).list(path)
        except StorageError as error:
            if not names or error.kind not in _NOT_THERE:
                raise
        if listing is not None and not names:
            return listing
        return MountedListing(listing, list(self._entries(path, names)), frozenset(names))

    def open_source(self, path: VirtualPath, offset: int = 0) -> Source:
        """Open the file *path* for sending."""
        if self._points.names_in(path):
            raise StorageError(Kind.IS_A_DIRECTORY, path)
        return self._tree_of(path).open_source(path, offset)

    def read_cached(self, path: VirtualPath, limit: int) -> CachedFile | None:
        """Return the small file *path* if that needs no waiting."""
        if self._points.names_in(path):
            return None
        return self._tree_of(path).read_cached(path, limit)

    def open_sink(self, path: VirtualPath, terms: Terms = Terms()) -> Sink:
        """Open an upload to *path*."""
        if self._points.is_held(path):
            raise self._in_the_way(path, Kind.IS_A_DIRECTORY, Kind.DENIED)
        with self._making(path):
            return self._tree_of(path).open_sink(path, terms)

    def make_directory(self, path: VirtualPath) -> None:
        """Make the directory *path*."""
        if self._points.is_held(path):
            raise self._in_the_way(path, Kind.EXISTS, Kind.DENIED)
        with self._making(path):
            self._tree_of(path).make_directory(path)

    def make_link(self, path: VirtualPath, target: VirtualPath) -> None:
        """
        Make the link *path*; a target in another tree, a mount point and a directory above one are as if not there.
        """
        if self._points.is_held(path):
            raise self._in_the_way(path, Kind.EXISTS, Kind.DENIED)
        point = self._points.find(path)
        if self._points.is_held(target) or self._points.find(target) != point:
            # Asked for a free name, the tree answers as for every such name: hidden mounts do not show.
            target = point / RESERVED_PREFIX
        with self._making(path):
            self._trees[point].make_link(path, target)

    def remove_directory(self, path: VirtualPath) -> None:
        """Remove the empty directory *path*."""
        self._changeable(path).remove_directory(path)

    def remove_file(self, path: VirtualPath) -> None:
        """Remove the file *path*."""
        self._changeable(path).remove_file(path)

    def rename(self, old: VirtualPath, new: VirtualPath, *, may_replace: bool = True, any_kind: bool = True) -> None:
        """Rename *old* to *new*. Raises: OTHER_TREE when that is in another tree."""
        tree = self._changeable(old)
        if self._points.is_held(new):
            raise self._in_the_way(new, Kind.EXISTS, Kind.DENIED)
        if self._tree_of(new) is not tree:
            raise StorageError(Kind.OTHER_TREE, new)
        with self._making(new):
            tree.rename(old, new, may_replace=may_replace, any_kind=any_kind)

    def trace(self, path: VirtualPath, becoming: VirtualPath | None = None) -> Trace:
        """Return the trace of *path*, or the one that it will have as *becoming*, in the same tree."""
        tree = self._tree_of(path)
        if becoming is not None and self._tree_of(becoming) is not tree:
            raise StorageError(Kind.OTHER_TREE, becoming)
        return tree.trace(path, becoming)

    def set_modified(self, path: VirtualPath, modified_ns: int) -> int:
        """Set the modification time."""
        return self._real(path).set_modified(path, modified_ns)

    def set_mode(self, path: VirtualPath, mode: int) -> int:
        """Set the permission bits."""
        return self._real(path).set_mode(path, mode)

    def free_bytes(self, path: VirtualPath) -> int:
        """Return how much can be stored in the directory *path*."""
        return self._real(path).free_bytes(path)

    def standing(self, path: VirtualPath) -> Standing | None:
        """Return the state of the quota of the tree that *path* is in."""
        return self._tree_of(path).standing(path)

    def close(self) -> None:
        """Release all trees."""
        for tree in self._trees.values():
            tree.close()

    def _tree_of(self, path: VirtualPath) -> Storage:
        """Return the tree *path* belongs to."""
        return self._trees[self._points.find(path)]

    def _changeable(self, path: VirtualPath) -> Storage:
        """Return the tree of a path to be removed or renamed. Raises: DENIED for a path that a mount holds."""
        if self._points.is_held(path):
            raise self._in_the_way(path, Kind.DENIED, Kind.NOT_FOUND)
        return self._tree_of(path)

    def _in_the_way(self, path: VirtualPath, seen: Kind, hidden: Kind) -> StorageError:
        """
        Return the refusal for a path that a mount holds: *seen*, or *hidden* where the user may not know of the mount.
        """
        try:
            self.stat(path)
        except StorageError as error:
            if error.kind is Kind.NOT_FOUND:
                return StorageError(hidden, path, why=_HELD)
        return StorageError(seen, path, why=_HELD)

    def _real(self, path: VirtualPath) -> Storage:
        """Return the tree of a path to be changed. Raises: DENIED for a directory that is only there for its mounts."""
        if self._is_made_up(path):
            raise StorageError(Kind.DENIED, path, why=_HELD)
        return self._tree_of(path)

    def _is_made_up(self, path: VirtualPath) -> bool:
        """Return whether the directory *path* is only there for the mounts below it."""
        if not self._points.names_in(path):
            return False
        try:
            return self._tree_of(path).stat(path).type is not EntryType.DIRECTORY
        except StorageError as error:
            return error.kind in _NOT_THERE

    @contextmanager
    def _making(self, path: VirtualPath) -> Iterator[None]:
        """Raise DENIED, not "no such directory", for a new name in a directory that is only there for mounts."""
        try:
            yield
        except StorageError as error:
            if error.kind in _NOT_THERE and self._is_made_up(path.parent):
                raise StorageError(Kind.DENIED, path, error.cause, why=_HELD) from error
            raise

    def _entries(self, path: VirtualPath, names: Sequence[str]) -> Iterator[Entry]:
        """Describe the entries that lead to mounts in the directory *path*, without those the user may not see."""
        for name in names:
            try:
                yield self.stat(path / name)
            except StorageError as error:
                if error.kind is not Kind.NOT_FOUND:
                    # Storage in trouble is not storage that is gone: a client that mirrors would delete its copy.
                    yield _made_up(path / name)


class MountedListing:
    """A directory of one tree, with the mount points in it instead of other entries of their names."""

    def __init__(self, inner: Listing | None, mounts: list[Entry], hidden: frozenset[str]) -> None:
        self._inner = inner
        self._hidden = hidden
        # Both are sorted by name, so this is too; a directory too large to be sorted keeps its order.
        self._entries = merge(self._others(), mounts, key=_name) if mounts else self._others()

    def read(self, count: int) -> list[Entry]:
        """Return up to *count* further entries."""
        return list(islice(self._entries, count))

    def _others(self) -> Iterator[Entry]:
        while self._inner is not None and (entries := self._inner.read(_BATCH)):
            for entry in entries:
                if entry.name not in self._hidden:
                    yield entry

    def close(self) -> None:
        """Let the directory go."""
        self._entries = iter(())
        if self._inner is not None:
            self._inner.close()


def _made_up(path: VirtualPath) -> Entry:
    """Describe a directory that is only there for the mounts below it."""
    return Entry(path.name, EntryType.DIRECTORY, 0, 0, 0o700, None, 1, _MADE_UP_PERM)
