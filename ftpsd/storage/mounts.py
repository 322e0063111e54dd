"""
MountedStorage: a home and several other trees under one virtual tree.

* The longest mount path that a path lies in decides which tree it belongs to. Each tree has its own rules around it,
  and sees paths as from its own root.
* A mount point is the root of its tree, whatever the home has under that name. The directories above it are always
  there: where the home has none, or does not let the user see it, they hold the mount points and nothing else.
* Neither a mount point nor a directory above one is deleted, renamed, replaced or made. A rename stays in one tree, and
  so does a link; no link leads to what is above a mount point, where it would show what the mount hides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from heapq import merge
from itertools import islice
from operator import attrgetter

from ftpsd.storage.base import CachedFile, Kind, Listing, Sink, Source, Storage, StorageError, Terms
from ftpsd.storage.disk.names import RESERVED_PREFIX
from ftpsd.storage.retold import RetoldSource
from ftpsd.values.entry import Entry, EntryType
from ftpsd.values.path import ROOT, PathError, VirtualPath
from ftpsd.values.quota import Standing

# What a directory that is only there for the mounts below it allows: to enter and to list it.
_MADE_UP_PERM = "el"
# Entries that are read at a time.
_BATCH = 200
_name = attrgetter("name")
_NO_NAME = VirtualPath((RESERVED_PREFIX,))
# Why, for the log.
_HELD = "a mount point, or above one"
_NOT_THERE = frozenset({Kind.NOT_FOUND, Kind.NOT_A_DIRECTORY})


class MountPoints:
    """Where one tree ends and the next begins, by paths alone."""

    def __init__(self, points: Iterable[VirtualPath]) -> None:
        self._deepest_first = sorted(points, key=lambda point: len(point.parts), reverse=True)

    def find(self, path: VirtualPath) -> VirtualPath:
        """Return the mount point of the tree that *path* belongs to, the root for the home."""
        return next((point for point in self._deepest_first if path.is_within(point)), ROOT)

    def is_held(self, path: VirtualPath) -> bool:
        """Tell whether *path* is a mount point, or a directory above one."""
        return any(point.is_within(path) for point in self._deepest_first)

    def names_in(self, path: VirtualPath) -> list[str]:
        """Return the names in the directory *path* that are, or lead to, mount points."""
        depth = len(path.parts)
        below = (point.parts for point in self._deepest_first if point.is_within(path))
        return sorted({parts[depth] for parts in below if len(parts) > depth})


def inside(path: VirtualPath, point: VirtualPath) -> VirtualPath:
    """Return *path* as it is seen from the root of the tree at *point*. Raises: BAD_NAME for what no path holds."""
    if point.is_root:
        return path
    try:
        return VirtualPath(path.parts[len(point.parts) :])
    except PathError:
        raise StorageError(Kind.BAD_NAME, path) from None


class MountedStorage:
    """A home with other trees at the paths of *mounts*; closing it closes them all."""

    def __init__(self, home: Storage, mounts: Mapping[VirtualPath, Storage]) -> None:
        self._trees: dict[VirtualPath, Storage] = {**mounts, ROOT: home}
        self._points = MountPoints(mounts)

    def stat(self, path: VirtualPath) -> Entry:
        """Describe *path*; a mount point is the root of its tree."""
        is_above = bool(self._points.names_in(path))
        tree, inner, point = self._tree_of(path)
        try:
            with _seen_from(point):
                entry = tree.stat(inner)
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
        tree, inner, point = self._tree_of(path)
        listing: Listing | None = None
        try:
            with _seen_from(point):
                listing = tree.list(inner)
        except StorageError as error:
            if not names or error.kind not in _NOT_THERE:
                raise
        if listing is not None and not names and point.is_root:
            return listing
        return MountedListing(listing, point, list(self._entries(path, names)), frozenset(names))

    def open_source(self, path: VirtualPath, offset: int = 0) -> Source:
        """Open the file *path* for sending."""
        if self._points.names_in(path):
            raise StorageError(Kind.IS_A_DIRECTORY, path)
        tree, inner, point = self._tree_of(path)
        with _seen_from(point):
            source = tree.open_source(inner, offset)
        return source if point.is_root else RetoldSource(source, partial(_seen_from, point))

    def read_cached(self, path: VirtualPath, limit: int) -> CachedFile | None:
        """Return the small file *path* if that needs no waiting."""
        if self._points.names_in(path):
            return None
        tree, inner, point = self._tree_of(path)
        found = tree.read_cached(inner, limit)
        if found is not None and not point.is_root:
            found.path = path
        return found

    def open_sink(self, path: VirtualPath, terms: Terms = Terms()) -> Sink:
        """Open an upload to *path*."""
        if self._points.is_held(path):
            raise self._in_the_way(path, Kind.IS_A_DIRECTORY, Kind.DENIED)
        tree, inner, point = self._tree_of(path)
        with self._making(path), _seen_from(point):
            sink = tree.open_sink(inner, terms)
        return sink if point.is_root else _mounted(sink, point)

    def make_directory(self, path: VirtualPath) -> None:
        """Make the directory *path*."""
        if self._points.is_held(path):
            raise self._in_the_way(path, Kind.EXISTS, Kind.DENIED)
        tree, inner, point = self._tree_of(path)
        with self._making(path), _seen_from(point):
            tree.make_directory(inner)

    def make_link(self, path: VirtualPath, target: VirtualPath) -> None:
        """Make the link *path*; a target in another tree, a mount point and what is above one are as if not there."""
        if self._points.is_held(path):
            raise self._in_the_way(path, Kind.EXISTS, Kind.DENIED)
        tree, inner, point = self._tree_of(path)
        # Asked for a name that nothing has, the tree answers as it does for every such name: hidden mounts do not show.
        is_elsewhere = self._points.is_held(target) or self._points.find(target) != point
        with self._making(path), _seen_from(point):
            tree.make_link(inner, _NO_NAME if is_elsewhere else inside(target, point))

    def remove_directory(self, path: VirtualPath) -> None:
        """Remove the empty directory *path*."""
        tree, inner, point = self._changeable(path)
        with _seen_from(point):
            tree.remove_directory(inner)

    def remove_file(self, path: VirtualPath) -> None:
        """Remove the file *path*."""
        tree, inner, point = self._changeable(path)
        with _seen_from(point):
            tree.remove_file(inner)

    def rename(self, old: VirtualPath, new: VirtualPath, *, may_replace: bool = True, any_kind: bool = True) -> None:
        """Rename *old* to *new*. Raises: OTHER_TREE when that is in another tree."""
        tree, inner, point = self._changeable(old)
        if self._points.is_held(new):
            raise self._in_the_way(new, Kind.EXISTS, Kind.DENIED)
        if self._points.find(new) != point:
            raise StorageError(Kind.OTHER_TREE, new)
        with self._making(new), _seen_from(point):
            tree.rename(inner, inside(new, point), may_replace=may_replace, any_kind=any_kind)

    def set_modified(self, path: VirtualPath, modified_ns: int) -> int:
        """Set the modification time."""
        tree, inner, point = self._real(path)
        with _seen_from(point):
            return tree.set_modified(inner, modified_ns)

    def set_mode(self, path: VirtualPath, mode: int) -> int:
        """Set the permission bits."""
        tree, inner, point = self._real(path)
        with _seen_from(point):
            return tree.set_mode(inner, mode)

    def free_bytes(self, path: VirtualPath) -> int:
        """Return how much can be stored in the directory *path*."""
        tree, inner, point = self._real(path)
        with _seen_from(point):
            return tree.free_bytes(inner)

    def standing(self, path: VirtualPath) -> Standing | None:
        """Return how the quota of the tree stands that *path* is in."""
        tree, inner, point = self._tree_of(path)
        with _seen_from(point):
            return tree.standing(inner)

    def close(self) -> None:
        """Release all trees."""
        for tree in self._trees.values():
            tree.close()

    def _tree_of(self, path: VirtualPath) -> tuple[Storage, VirtualPath, VirtualPath]:
        """Return the tree *path* belongs to, the path in it, and where it is mounted."""
        point = self._points.find(path)
        return self._trees[point], inside(path, point), point

    def _changeable(self, path: VirtualPath) -> tuple[Storage, VirtualPath, VirtualPath]:
        """Return the tree of what is to be removed or renamed. Raises: DENIED for what is held by a mount."""
        if self._points.is_held(path):
            raise self._in_the_way(path, Kind.DENIED, Kind.NOT_FOUND)
        return self._tree_of(path)

    def _in_the_way(self, path: VirtualPath, seen: Kind, hidden: Kind) -> StorageError:
        """Return the refusal for what a mount holds: *seen*, or *hidden* where the user may not know of the mount."""
        try:
            self.stat(path)
        except StorageError as error:
            if error.kind is Kind.NOT_FOUND:
                return StorageError(hidden, path, why=_HELD)
        return StorageError(seen, path, why=_HELD)

    def _real(self, path: VirtualPath) -> tuple[Storage, VirtualPath, VirtualPath]:
        """Return the tree of what is to be described anew. Raises: DENIED for what is only there for its mounts."""
        if self._is_made_up(path):
            raise StorageError(Kind.DENIED, path, why=_HELD)
        return self._tree_of(path)

    def _is_made_up(self, path: VirtualPath) -> bool:
        """Tell whether the directory *path* is only there for the mounts below it."""
        if not self._points.names_in(path):
            return False
        tree, inner, _ = self._tree_of(path)
        try:
            return tree.stat(inner).type is not EntryType.DIRECTORY
        except StorageError as error:
            return error.kind in _NOT_THERE

    @contextmanager
    def _making(self, path: VirtualPath) -> Iterator[None]:
        """Say DENIED, not "no such directory", where something is made in a directory that is only there for mounts."""
        try:
            yield
        except StorageError as error:
            if error.kind in _NOT_THERE and self._is_made_up(path.parent):
                raise StorageError(Kind.DENIED, path, error.cause, why=_HELD) from error
            raise

    def _entries(self, path: VirtualPath, names: Sequence[str]) -> Iterator[Entry]:
        """Describe what leads to mounts in the directory *path*, without what the user may not see."""
        for name in names:
            try:
                yield self.stat(path / name)
            except StorageError as error:
                if error.kind is not Kind.NOT_FOUND:
                    # Storage in trouble is not storage that is gone: a client that mirrors would delete its copy.
                    yield _made_up(path / name)


class MountedListing:
    """A directory of one tree, with the mount points in it instead of what else has their names."""

    def __init__(self, inner: Listing | None, point: VirtualPath, mounts: list[Entry], hidden: frozenset[str]) -> None:
        self._inner = inner
        self._point = point
        self._hidden = hidden
        # Both are sorted by name, so this is too; a directory too large to be sorted keeps its order.
        self._entries = merge(self._others(), mounts, key=_name) if mounts else self._others()

    def read(self, count: int) -> list[Entry]:
        """Return up to *count* further entries."""
        return list(islice(self._entries, count))

    def _others(self) -> Iterator[Entry]:
        with _seen_from(self._point):
            while self._inner is not None and (entries := self._inner.read(_BATCH)):
                for entry in entries:
                    if entry.name not in self._hidden:
                        yield entry

    def close(self) -> None:
        """Let the directory go."""
        self._entries = iter(())
        if self._inner is not None:
            self._inner.close()


class MountedSink:
    """An upload into a mounted tree, which is published at *path*."""

    def __init__(self, inner: Sink, point: VirtualPath, path: VirtualPath) -> None:
        self._inner = inner
        self._point = point
        self.path = path
        self.offset = inner.offset
        self.replaces = inner.replaces
        self.sha256 = inner.sha256

    def write(self, data: memoryview) -> None:
        """Write all of *data*."""
        with _seen_from(self._point):
            self._inner.write(data)

    def prepare(self) -> bool:
        """Do a piece of what publishing needs."""
        with _seen_from(self._point):
            return self._inner.prepare()

    def commit(self) -> None:
        """Publish."""
        with _seen_from(self._point):
            self._inner.commit()
        self.sha256 = self._inner.sha256

    def abort(self) -> None:
        """Give up."""
        self._inner.abort()


def _mounted(sink: Sink, point: VirtualPath) -> MountedSink:
    """Return *sink* as it is seen from the root of all."""
    try:
        return MountedSink(sink, point, VirtualPath(point.parts + sink.path.parts))
    except PathError:  # a unique name is longer than the one that was asked for
        sink.abort()
        raise StorageError(Kind.BAD_NAME) from None


@contextmanager
def _seen_from(point: VirtualPath) -> Iterator[None]:
    """Let errors of the tree at *point* speak of paths as the user says them."""
    try:
        yield
    except StorageError as error:
        if error.path is not None and not point.is_root:
            with suppress(PathError):
                error.path = VirtualPath(point.parts + error.path.parts)
        raise


def _made_up(path: VirtualPath) -> Entry:
    """Describe a directory that is only there for the mounts below it."""
    return Entry(path.name, EntryType.DIRECTORY, 0, 0, 0o700, None, 1, _MADE_UP_PERM)
