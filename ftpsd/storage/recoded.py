"""
RecodedStorage: an old tree whose names on disk are not UTF-8, presented as if they were.

* A name on disk that is text in the tree's charset, is written just so and holds no control character (latin-1 has 32
  of them above ASCII) is presented as that text. Any other is presented byte for byte, as names that are not UTF-8 are
  everywhere. So every name on disk has exactly one spelling, and rules around this storage cannot be passed by with
  another.
* Each requested name has to be the one under which its bytes are presented; else it is BAD_NAME. It is not enough that
  a charset has bytes for it: in Shift JIS and EUC-JP two letters can share theirs.
"""

from __future__ import annotations

import re

from ftpsd.storage.base import Kind, Sink, Storage, StorageError, Terms
from ftpsd.storage.disk.names import decode_name, encode_name, is_reserved, unique_name
from ftpsd.storage.forwarding import ForwardingStorage
from ftpsd.values.entry import Entry
from ftpsd.values.path import PathError, VirtualPath

# Surrogates carry raw bytes, and no path leads to a name with a control character.
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
        """Return *name* as it is on disk. Raises: BAD_NAME for one that no file on this disk can have."""
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


class RecodedStorage(ForwardingStorage):
    """The tree *inner*, whose names on disk are in *encoding*."""

    def __init__(self, inner: Storage, encoding: str) -> None:
        super().__init__(inner)
        self._names = StoredNames(encoding)

    def inward(self, path: VirtualPath) -> VirtualPath:
        """Return *path* as it is on disk. Raises: BAD_NAME for one that no file there can have."""
        if all(name.isascii() for name in path.parts):
            return path
        try:
            return VirtualPath(tuple(map(self._names.stored, path.parts)))
        except (PathError, StorageError):
            raise StorageError(Kind.BAD_NAME, path) from None

    def new(self, path: VirtualPath) -> VirtualPath:
        """Return the same for a path that is to be made. Raises: BAD_NAME also for the server's own names."""
        if is_reserved(path.name):
            raise StorageError(Kind.BAD_NAME, path)
        return self.inward(path)

    def outward(self, path: VirtualPath) -> VirtualPath:
        """Return *path* as the user sees it."""
        return VirtualPath(tuple(map(self._names.shown, path.parts)))

    def shown(self, entry: Entry) -> Entry:
        """Return *entry* under the name that the user sees."""
        return entry if entry.name.isascii() else entry._replace(name=self._names.shown(entry.name))

    def open_sink(self, path: VirtualPath, terms: Terms = Terms()) -> Sink:
        """Open an upload to *path*."""
        if terms.unique:
            # Made here: the inner storage would cut a long name between two bytes of a letter.
            try:
                path, terms = path.parent / unique_name(path.name), terms.under_new_name()
            except PathError:
                raise StorageError(Kind.BAD_NAME, path) from None
        return super().open_sink(path, terms)
