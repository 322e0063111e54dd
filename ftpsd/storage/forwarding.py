"""
ForwardingStorage: the base of storages that are another one seen differently.

A wrapper defines how paths are spelt on the other side (`inward`, `new`), how they are spelt here (`outward`), and how
an entry is described here (`shown`). Paths in errors, and those of open sources, sinks and listings, are spelt as here.
A path that has no spelling here stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ftpsd.storage.base import Kind, Listing, Sink, Source, Storage, StorageError, Terms, Traits
from ftpsd.storage.cached_file import CachedFile
from ftpsd.values.entry import Entry
from ftpsd.values.path import ROOT, PathError, VirtualPath
from ftpsd.values.quota import Standing
from ftpsd.values.trace import Trace


class ForwardingStorage:
    """A tree that is another one seen differently: every call goes to *inner*."""

    def __init__(self, inner: Storage) -> None:
        self._inner = inner

    # --- the definitions of a wrapper

    def inward(self, path: VirtualPath) -> VirtualPath:
        """Return *path* as the inner storage spells it. Raises: StorageError."""
        return path

    def new(self, path: VirtualPath) -> VirtualPath:
        """Return the same for a path that is to be made. Raises: StorageError."""
        return self.inward(path)

    def outward(self, path: VirtualPath) -> VirtualPath:
        """Return *path* of the inner storage as it is spelt here. Raises: PathError, StorageError."""
        return path

    def shown(self, entry: Entry) -> Entry:
        """Return *entry* of the inner storage as it is described here."""
        return entry

    # --- the storage

    def traits(self, path: VirtualPath) -> Traits:
        """Return the traits of the tree of *path*; those of the root for a path that the inner storage cannot spell."""
        try:
            return self._inner.traits(self.inward(path))
        except StorageError:
            return self._inner.traits(ROOT)

    def stat(self, path: VirtualPath) -> Entry:
        """Describe *path*."""
        inner = self.inward(path)
        with self.respelt():
            return self.shown(self._inner.stat(inner))

    def list(self, path: VirtualPath) -> Listing:
        """Open the directory *path* for reading."""
        inner = self.inward(path)
        with self.respelt():
            return ForwardingListing(self, self._inner.list(inner))

    def open_source(self, path: VirtualPath, offset: int = 0) -> Source:
        """Open the file *path* for sending."""
        inner = self.inward(path)
        with self.respelt():
            return ForwardingSource(self, self._inner.open_source(inner, offset))

    def read_cached(self, path: VirtualPath, limit: int) -> CachedFile | None:
        """Return the small file *path* if that needs no waiting."""
        try:
            found = self._inner.read_cached(self.inward(path), limit)
        except StorageError:
            return None
        if found is not None:
            found.path = path
        return found

    def open_sink(self, path: VirtualPath, terms: Terms = Terms()) -> Sink:
        """Open an upload to *path*."""
        inner = self.new(path)
        with self.respelt():
            sink = self._inner.open_sink(inner, terms)
        try:
            return ForwardingSink(self, sink)
        except (PathError, StorageError):  # a unique name is longer than the one that was asked for
            sink.abort()
            raise StorageError(Kind.BAD_NAME, path) from None

    def make_directory(self, path: VirtualPath) -> None:
        """Make the directory *path*."""
        inner = self.new(path)
        with self.respelt():
            self._inner.make_directory(inner)

    def make_link(self, path: VirtualPath, target: VirtualPath) -> None:
        """Make the link *path*, which leads to *target*."""
        inner, inner_target = self.new(path), self.inward(target)
        with self.respelt():
            self._inner.make_link(inner, inner_target)

    def remove_directory(self, path: VirtualPath) -> None:
        """Remove the empty directory *path*."""
        inner = self.inward(path)
        with self.respelt():
            self._inner.remove_directory(inner)

    def remove_file(self, path: VirtualPath) -> None:
        """Remove the file *path*."""
        inner = self.inward(path)
        with self.respelt():
            self._inner.remove_file(inner)

    def rename(self, old: VirtualPath, new: VirtualPath, *, may_replace: bool = True, any_kind: bool = True) -> None:
        """Rename *old* to *new*."""
        source, target = self.inward(old), self.new(new)
        with self.respelt():
            self._inner.rename(source, target, may_replace=may_replace, any_kind=any_kind)

    def trace(self, path: VirtualPath, becoming: VirtualPath | None = None) -> Trace:
        """Return the trace of *path*, or the one that it will have as *becoming*."""
        source, target = self.inward(path), None if becoming is None else self.new(becoming)
        with self.respelt():
            return self._inner.trace(source, target)

    def set_modified(self, path: VirtualPath, modified_ns: int) -> int:
        """Set the modification time."""
        inner = self.inward(path)
        with self.respelt():
            return self._inner.set_modified(inner, modified_ns)

    def set_mode(self, path: VirtualPath, mode: int) -> int:
        """Set the permission bits."""
        inner = self.inward(path)
        with self.respelt():
            return self._inner.set_mode(inner, mode)

    def free_bytes(self, path: VirtualPath) -> int:
        """Return how much can be stored in the directory *path*."""
        inner = self.inward(path)
        with self.respelt():
            return self._inner.free_bytes(inner)

    def standing(self, path: VirtualPath) -> Standing | None:
        """Return the state of the quota."""
        inner = self.inward(path)
        with self.respelt():
            return self._inner.standing(inner)

    def close(self) -> None:
        """Release the tree."""
        self._inner.close()

    @contextmanager
    def respelt(self) -> Iterator[None]:
        """Spell paths in errors of the inner storage as they are spelt here."""
        try:
            yield
        except StorageError as error:
            if error.path is not None:
                with suppress(PathError, StorageError):
                    error.path = self.outward(error.path)
            raise


class ForwardingSource:
    """A download from the storage inside of *storage*."""

    def __init__(self, storage: ForwardingStorage, inner: Source) -> None:
        self._storage = storage
        self._inner = inner
        self.size = inner.size

    # Attributes of the protocol that change while the file is read.
    @property
    def offset(self) -> int:
        """The offset of the next read."""
        return self._inner.offset

    @property
    def sha256(self) -> str | None:
        """The digest of the file, where it is known."""
        return self._inner.sha256

    @property
    def digests(self) -> bool:
        """Whether the digest is known, or will be when all of the file has been read."""
        return self._inner.digests

    def read_into(self, buffer: memoryview) -> int:
        """Fill *buffer* from the offset on."""
        with self._storage.respelt():
            return self._inner.read_into(buffer)

    def fileno(self) -> int | None:
        """Return the descriptor."""
        return self._inner.fileno()

    def close(self) -> None:
        """Let the file go."""
        self._inner.close()


class ForwardingSink:
    """An upload into the storage inside of *storage*. Raises: PathError, StorageError for a path without a spelling."""

    def __init__(self, storage: ForwardingStorage, inner: Sink) -> None:
        self._storage = storage
        self._inner = inner
        self.path = storage.outward(inner.path)
        self.offset = inner.offset
        self.sha256 = inner.sha256
        self.conversion = inner.conversion
        self.is_hidden = inner.is_hidden
        if self.conversion is not None:
            self.conversion.sent_as = storage.outward(self.conversion.sent_as)

    @property
    def verdict(self) -> str | None:
        """The word of those who have judged it."""
        return self._inner.verdict

    def write(self, data: memoryview) -> bool | None:
        """Write all of *data*."""
        with self._storage.respelt():
            return self._inner.write(data)

    def prepare(self) -> bool:
        """Do a piece of the work of publishing."""
        with self._storage.respelt():
            return self._inner.prepare()

    def trace(self) -> Trace:
        """Return the trace of the file."""
        with self._storage.respelt():
            return self._inner.trace()

    def commit(self) -> None:
        """Publish."""
        with self._storage.respelt():
            self._inner.commit()
        self.sha256 = self._inner.sha256

    def abort(self) -> None:
        """Give up."""
        self._inner.abort()


class ForwardingListing:
    """A directory of the storage inside of *storage*."""

    def __init__(self, storage: ForwardingStorage, inner: Listing) -> None:
        self._storage = storage
        self._inner = inner

    def read(self, count: int) -> list[Entry]:
        """Return up to *count* further entries."""
        with self._storage.respelt():
            return [*map(self._storage.shown, self._inner.read(count))]

    def close(self) -> None:
        """Let the directory go."""
        self._inner.close()
