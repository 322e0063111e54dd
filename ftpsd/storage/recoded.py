"""
RecodedStorage: an old tree whose names on disk are not UTF-8, shown as if they were.

* A name on disk that is text in the tree's charset, is written just so and holds no control character (latin-1 has 32
  of them above ASCII) is shown as that text. Any other is shown byte for byte, as names that are not UTF-8 are
  everywhere. So every name on disk has exactly one spelling, and rules around this storage cannot be passed by with
  another.
* Each name that is asked for has to be the one under which its bytes are shown; else it is BAD_NAME. That a charset has
  bytes for it is not enough: in Shift JIS and EUC-JP two letters can share theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from ftpsd.storage.base import CachedFile, Kind, Listing, Sink, Source, Storage, StorageError, Terms
from ftpsd.storage.disk.names import decode_name, encode_name, is_reserved, unique_name
from ftpsd.storage.retold import RetoldSource
from ftpsd.values.entry import Entry
from ftpsd.values.path import PathError, VirtualPath
from ftpsd.values.quota import Standing

# Surrogates carry raw bytes, and to a name with a control character no path leads.
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class StoredNames:
    """The names of a tree; *encoding* is one that `ftpsd.wire.charset` accepts."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding

    def shown(self, name: str) -> str:
        """Return *name*, the bytes on disk as `decode_name` reads them, as the user sees it."""
        if name.isascii():
            return name
        data = encode_name(name)
        try:
            text = data.decode(self._encoding)
            if text.encode(self._encoding) == data and not _UNSHOWN.search(text):
                return text
        except UnicodeError:
            pass
        return data.decode("ascii", "surrogateescape")

    def stored(self, name: str) -> str:
        """Return *name* as it is on disk. Raises: BAD_NAME for one that nothing on this disk can have."""
        if name.isascii():
            return name
        found = self._written(name)
        if found is None or self.shown(found) != name:
            raise StorageError(Kind.BAD_NAME)
        return found

    def _written(self, name: str) -> str | None:
        """Return *name* in the charset, or as the raw bytes it stands for; None for neither."""
        for encoding, errors in ((self._encoding, "strict"), ("ascii", "surrogateescape")):
            try:
                return decode_name(name.encode(encoding, errors))
            except UnicodeError:
                continue
        return None


class RecodedStorage:
    """The tree *inner*, whose names on disk are in *encoding*."""

    def __init__(self, inner: Storage, encoding: str) -> None:
        self._inner = inner
        self._names = StoredNames(encoding)

    def stat(self, path: VirtualPath) -> Entry:
        """Describe *path*."""
        stored = self._stored(path)
        with self._shown_errors():
            return self._entry(self._inner.stat(stored))

    def read_entries(self, listing: Listing, count: int) -> list[Entry]:
        """Return up to *count* further entries of *listing*, which is of the inner tree."""
        with self._shown_errors():
            return [self._entry(entry) for entry in listing.read(count)]

    def list(self, path: VirtualPath) -> Listing:
        """Open the directory *path* for reading."""
        stored = self._stored(path)
        with self._shown_errors():
            return RecodedListing(self, self._inner.list(stored))

    def open_source(self, path: VirtualPath, offset: int = 0) -> Source:
        """Open the file *path* for sending."""
        stored = self._stored(path)
        with self._shown_errors():
            return RetoldSource(self._inner.open_source(stored, offset), partial(_about, path))

    def read_cached(self, path: VirtualPath, limit: int) -> CachedFile | None:
        """Return the small file *path* if that needs no waiting."""
        try:
            stored = self._stored(path)
        except StorageError:
            return None
        found = self._inner.read_cached(stored, limit)
        if found is not None:
            found.path = path
        return found

    def open_sink(self, path: VirtualPath, terms: Terms = Terms()) -> Sink:
        """Open an upload to *path*."""
        if terms.unique:
            # Made here: what is below would cut a long name between two bytes of a letter.
            try:
                path = path.parent / unique_name(path.name)
            except PathError:
                raise StorageError(Kind.BAD_NAME, path) from None
            terms = terms.under_new_name()
        stored = self._stored_new(path)
        with self._shown_errors():
            sink = self._inner.open_sink(stored, terms)
        sink.path = path
        return sink

    def make_directory(self, path: VirtualPath) -> None:
        """Make the directory *path*."""
        stored = self._stored_new(path)
        with self._shown_errors():
            self._inner.make_directory(stored)

    def make_link(self, path: VirtualPath, target: VirtualPath) -> None:
        """Make the link *path*, whose text is names as they are on disk."""
        stored, stored_target = self._stored_new(path), self._stored(target)
        with self._shown_errors():
            self._inner.make_link(stored, stored_target)

    def remove_directory(self, path: VirtualPath) -> None:
        """Remove the empty directory *path*."""
        stored = self._stored(path)
        with self._shown_errors():
            self._inner.remove_directory(stored)

    def remove_file(self, path: VirtualPath) -> None:
        """Remove the file *path*."""
        stored = self._stored(path)
        with self._shown_errors():
            self._inner.remove_file(stored)

    def rename(self, old: VirtualPath, new: VirtualPath, *, may_replace: bool = True, any_kind: bool = True) -> None:
        """Rename *old* to *new*."""
        source, target = self._stored(old), self._stored_new(new)
        with self._shown_errors():
            self._inner.rename(source, target, may_replace=may_replace, any_kind=any_kind)

    def set_modified(self, path: VirtualPath, modified_ns: int) -> int:
        """Set the modification time."""
        stored = self._stored(path)
        with self._shown_errors():
            return self._inner.set_modified(stored, modified_ns)

    def set_mode(self, path: VirtualPath, mode: int) -> int:
        """Set the permission bits."""
        stored = self._stored(path)
        with self._shown_errors():
            return self._inner.set_mode(stored, mode)

    def free_bytes(self, path: VirtualPath) -> int:
        """Return how much can be stored in the directory *path*."""
        stored = self._stored(path)
        with self._shown_errors():
            return self._inner.free_bytes(stored)

    def standing(self, path: VirtualPath) -> Standing | None:
        """Return how the quota stands."""
        stored = self._stored(path)
        with self._shown_errors():
            return self._inner.standing(stored)

    def close(self) -> None:
        """Release the tree."""
        self._inner.close()

    def _entry(self, entry: Entry) -> Entry:
        return entry if entry.name.isascii() else entry._replace(name=self._names.shown(entry.name))

    def _stored(self, path: VirtualPath) -> VirtualPath:
        """Return *path* as it is on disk. Raises: BAD_NAME for one that nothing there can have."""
        if all(name.isascii() for name in path.parts):
            return path
        try:
            return VirtualPath(tuple(map(self._names.stored, path.parts)))
        except (PathError, StorageError):
            raise StorageError(Kind.BAD_NAME, path) from None

    def _stored_new(self, path: VirtualPath) -> VirtualPath:
        """Return the same for something that is to be made. Raises: BAD_NAME also for the server's own names."""
        if is_reserved(path.name):
            raise StorageError(Kind.BAD_NAME, path)
        return self._stored(path)

    @contextmanager
    def _shown_errors(self) -> Iterator[None]:
        """Let errors speak of names as the user sees them."""
        try:
            yield
        except StorageError as error:
            if error.path is not None:
                with suppress(PathError, StorageError):
                    error.path = VirtualPath(tuple(map(self._names.shown, error.path.parts)))
            raise


class RecodedListing:
    """A directory of a recoded tree."""

    def __init__(self, storage: RecodedStorage, inner: Listing) -> None:
        self._storage = storage
        self._inner = inner

    def read(self, count: int) -> list[Entry]:
        """Return up to *count* further entries."""
        return self._storage.read_entries(self._inner, count)

    def close(self) -> None:
        """Let the directory go."""
        self._inner.close()


@contextmanager
def _about(path: VirtualPath) -> Iterator[None]:
    """Let errors speak of *path*, as the user calls the file."""
    try:
        yield
    except StorageError as error:
        error.path = path
        raise
