"""
Fakes: parts of the server that tests can do without.

MemoryStorage is held to the same contract as LocalJail (tests/contracts). It stores atomically.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from ftpsd.storage.base import Kind, Listing, Sink, Source, StorageError, Terms, Traits, UnfinishedUpload
from ftpsd.storage.disk.entries import PARTIAL_PERM, ROOT_PERM
from ftpsd.storage.disk.names import encode_name, is_reserved, unique_name
from ftpsd.storage.disk.walk import MAX_LINKS
from ftpsd.values.entry import Entry
from ftpsd.values.path import VirtualPath
from ftpsd.values.quota import Standing
from ftpsd.values.trace import Trace
from tests.memory import Directory, File, Link, MemoryListing, MemorySource, MemoryTree, entry_of, origin_of, trace_of

_NAME_MAX = 255
# Kept by ext4: 1901 to 2446.
FIRST_NS, LAST_NS = -(2**31) * 10**9, (2**34 - 2**31 - 1) * 10**9


class MemoryStorage:
    """A storage in memory."""

    def __init__(self, tree: MemoryTree | None = None, owner: str = "user") -> None:
        self.tree = MemoryTree() if tree is None else tree
        self._owner = owner
        self._is_closed = False

    def put(self, path: str, data: bytes) -> None:
        """Publish a file, and the directories above it, for a test to begin with."""
        target = VirtualPath.parse(path)
        directory = self.tree.root
        for name in target.parent.parts:
            below = directory.children.setdefault(name, Directory(modified_ns=self.tree.now_ns()))
            assert isinstance(below, Directory)
            directory = below
        directory.children[target.name] = File(data, self.tree.now_ns())

    def get(self, path: str) -> bytes:
        """Return what the file *path* holds."""
        found = self._node(VirtualPath.parse(path))
        assert isinstance(found, File)
        return found.data

    def traits(self, path: VirtualPath) -> Traits:
        """It can do everything."""
        return Traits()

    def stat(self, path: VirtualPath) -> Entry:
        """Describe *path*."""
        with self.tree.lock:
            try:
                return entry_of(path.name, self._node(path), ROOT_PERM if path.is_root else None)
            except StorageError as error:
                partial = None if error.kind is not Kind.NOT_FOUND else self._partial(path)
                if partial is None:
                    raise
                return entry_of(path.name, partial, PARTIAL_PERM)

    def list(self, path: VirtualPath) -> Listing:
        """Open the directory *path*."""
        with self.tree.lock:
            found = []
            for name in sorted(children := self._directory(path).children):
                node = children[name]
                with suppress(StorageError):  # a link that leads nowhere
                    found.append(entry_of(name, self._node(path / name) if isinstance(node, Link) else node))
            return MemoryListing(found)

    def open_source(self, path: VirtualPath, offset: int = 0) -> Source:
        """Open the file *path*."""
        with self.tree.lock:
            file = self._node(path)
            if isinstance(file, Directory):
                raise StorageError(Kind.IS_A_DIRECTORY, path)
            if not 0 <= offset <= len(file.data):
                raise StorageError(Kind.BAD_OFFSET, path)
            return MemorySource(file.data, offset)

    def read_cached(self, path: VirtualPath, limit: int) -> None: ...

    def open_sink(self, path: VirtualPath, terms: Terms = Terms()) -> Sink:
        """Open an upload to *path*."""
        if terms.unique:
            path, terms = path.parent / unique_name(path.name), terms.under_new_name()
        with self.tree.lock:
            if path.is_root:
                raise StorageError(Kind.IS_A_DIRECTORY, path)
            there = self._followed(path)
            directory = self._place_for_new(there)
            published = directory.children.get(there.name)
            assert not isinstance(published, Link)
            if isinstance(published, Directory):
                raise StorageError(Kind.IS_A_DIRECTORY, path)
            if published is None and not terms.may_create:
                raise StorageError(Kind.NOT_FOUND, path)
            if published is not None and not published.mode & 0o200:
                raise StorageError(Kind.DENIED, path)
            if published is not None and not terms.may_replace:
                raise StorageError(Kind.EXISTS, path)
            wanted = None if terms.append else terms.offset
            begun = self._begin(there, directory, published, wanted, resumable=terms.resumable)
            return MemorySink(self.tree, path, directory, (self._owner, there.name), begun, terms)

    def make_directory(self, path: VirtualPath) -> None:
        """Make the directory *path*."""
        with self.tree.lock:
            if path.is_root:
                raise StorageError(Kind.EXISTS, path)
            directory = self._place_for_new(path)
            if path.name in directory.children:
                raise StorageError(Kind.EXISTS, path)
            directory.children[path.name] = Directory(modified_ns=self.tree.now_ns())

    def make_link(self, path: VirtualPath, target: VirtualPath) -> None:
        """Make the link *path*."""
        with self.tree.lock:
            if path.is_root:
                raise StorageError(Kind.EXISTS, path)
            self._node(target)
            directory = self._place_for_new(path)
            if self._followed(path.parent).is_within(self._followed(target)):
                raise StorageError(Kind.CIRCULAR, path)
            if path.name in directory.children:
                raise StorageError(Kind.EXISTS, path)
            directory.children[path.name] = Link(target)

    def remove_directory(self, path: VirtualPath) -> None:
        """Remove the empty directory *path*."""
        with self.tree.lock:
            above = self._above(path)
            node = self._node(path)
            if isinstance(node, File) or isinstance(above.children[path.name], Link):
                raise StorageError(Kind.NOT_A_DIRECTORY, path)
            foreign = any(
                owner != self._owner or partial.inode in self.tree.active
                for (owner, _), partial in node.partials.items()
            )
            if node.children or foreign:
                raise StorageError(Kind.NOT_EMPTY, path)
            del above.children[path.name]

    def remove_file(self, path: VirtualPath) -> None:
        """Remove the file *path*."""
        with self.tree.lock:
            above = self._above(path)
            if isinstance(above.children.get(path.name), Directory):
                raise StorageError(Kind.IS_A_DIRECTORY, path)
            is_discarded = self._discard(above, path.name)
            if path.name not in above.children and not is_discarded:
                self._node(path)
            above.children.pop(path.name, None)

    def trace(self, path: VirtualPath, becoming: VirtualPath | None = None) -> Trace:
        """Return the trace of *path*, or the one that it will have as *becoming*."""
        with self.tree.lock:
            node = self._above(path).children.get(path.name)
            if node is None:
                raise StorageError(Kind.NOT_FOUND, path)
            return trace_of(path, node) if becoming is None else trace_of(becoming, node, path)

    def rename(self, old: VirtualPath, new: VirtualPath, *, may_replace: bool = True, any_kind: bool = True) -> None:
        """Rename *old* to *new*."""
        with self.tree.lock:
            source = self._above(old)
            if new.is_root:
                raise StorageError(Kind.EXISTS, new)
            node = source.children.get(old.name) or self._node(old)
            if not any_kind and not isinstance(node, File):
                raise StorageError(Kind.DENIED, old)
            target = self._place_for_new(new)
            there = target.children.get(new.name)
            if there is not None and not may_replace:
                raise StorageError(Kind.EXISTS, new)
            if isinstance(there, File) and there is not node and not there.mode & 0o200:
                raise StorageError(Kind.DENIED, new)
            if isinstance(node, Directory):
                if new != old and new.is_within(old):
                    raise StorageError(Kind.BAD_NAME, new)
                if isinstance(there, File | Link):
                    raise StorageError(Kind.NOT_A_DIRECTORY, new)
                if there is not None and there is not node and there.children:
                    raise StorageError(Kind.NOT_EMPTY, new)
            elif isinstance(there, Directory):
                raise StorageError(Kind.IS_A_DIRECTORY, new)
            self._discard(source, old.name)
            del source.children[old.name]
            target.children[new.name] = node

    def set_modified(self, path: VirtualPath, modified_ns: int) -> int:
        """Set the modification time."""
        with self.tree.lock:
            kept = self._node(path).modified_ns = min(max(modified_ns, FIRST_NS), LAST_NS)
            return kept

    def set_mode(self, path: VirtualPath, mode: int) -> int:
        """Set the permission bits."""
        with self.tree.lock:
            if mode & ~0o777:
                raise StorageError(Kind.DENIED, path)
            node = self._node(path)
            node.mode = mode | (0o700 if isinstance(node, Directory) else 0)
            return node.mode

    def free_bytes(self, path: VirtualPath) -> int:
        """Return the room that is left."""
        with self.tree.lock:
            self._directory(path)
            return 2**63 - 1 if self.tree.room is None else self.tree.room

    def standing(self, path: VirtualPath) -> Standing | None:
        """No quota holds here."""
        return None

    def close(self) -> None:
        """Refuse everything from now on."""
        self._is_closed = True

    def _node(self, path: VirtualPath) -> File | Directory:
        if self._is_closed:
            raise StorageError(Kind.IO, path)
        node: File | Directory = self.tree.root
        for name in self._followed(path).parts:
            if len(encode_name(name)) > _NAME_MAX:
                raise StorageError(Kind.BAD_NAME, path)
            if is_reserved(name):
                raise StorageError(Kind.NOT_FOUND, path)
            if isinstance(node, File):
                raise StorageError(Kind.NOT_A_DIRECTORY, path)
            if name not in node.children:
                raise StorageError(Kind.NOT_FOUND, path)
            below = node.children[name]
            assert not isinstance(below, Link)
            node = below
        return node

    def _followed(self, path: VirtualPath) -> VirtualPath:
        """Return where *path* leads."""
        for _ in range(MAX_LINKS + 1):
            link = self._first_link(path)
            if link is None:
                return path
            depth, target = link
            path = VirtualPath(target.parts + path.parts[depth:])
        raise StorageError(Kind.TOO_MANY_LINKS, path)

    def _first_link(self, path: VirtualPath) -> tuple[int, VirtualPath] | None:
        """Return the depth of the first link in *path*, and where it leads."""
        node: File | Directory | Link | None = self.tree.root
        for depth, name in enumerate(path.parts, 1):
            node = node.children.get(name) if isinstance(node, Directory) else None
            if isinstance(node, Link):
                return depth, node.target
        return None

    def _directory(self, path: VirtualPath) -> Directory:
        node = self._node(path)
        if isinstance(node, File):
            raise StorageError(Kind.NOT_A_DIRECTORY, path)
        return node

    def _above(self, path: VirtualPath) -> Directory:
        """Return the directory of what is to be removed or renamed."""
        if path.is_root:
            raise StorageError(Kind.DENIED, path)
        return self._directory(path.parent)

    def _place_for_new(self, path: VirtualPath) -> Directory:
        """Return the directory in which something is to be made."""
        if is_reserved(path.name) or len(encode_name(path.name)) > _NAME_MAX:
            raise StorageError(Kind.BAD_NAME, path)
        return self._directory(path.parent)

    def _partial(self, path: VirtualPath) -> File | None:
        """Return the owner's unfinished upload to *path*, where nothing is published, if it has a directory at all."""
        with suppress(StorageError):
            partial = self._directory(path.parent).partials.get((self._owner, path.name))
            return partial if partial is not None and partial.data and partial.origin is None else None
        return None

    def _discard(self, directory: Directory, name: str) -> bool:
        """Forget the owner's unfinished upload unless it is at work; tell whether it went."""
        partial = directory.partials.get((self._owner, name))
        if partial is None or partial.inode in self.tree.active:
            return False
        del directory.partials[self._owner, name]
        return True

    def _begin(
        self, path: VirtualPath, directory: Directory, published: File | None, wanted: int | None, *, resumable: bool
    ) -> _Begun:
        """Return the partial to go on with and where; *wanted* None is where it ends."""
        key = (self._owner, path.name)
        own = directory.partials.get(key)
        is_held = own is not None and own.inode in self.tree.active
        origin = origin_of(published)
        base, is_findable, is_same = b"", resumable, own is not None and own.origin == origin
        if wanted != 0 and published is not None and own is None:
            base, is_findable = published.data, False
        elif wanted != 0 and own is not None and is_same:
            base = own.data
        if wanted != 0 and published is not None and own is not None:
            if wanted is None or not resumable or not is_same or wanted > len(base):
                if is_held:
                    raise StorageError(Kind.BUSY, path)
                raise UnfinishedUpload(len(own.data), path, is_append=wanted is None)
        elif wanted is None and is_held and base:
            raise StorageError(Kind.BUSY, path)
        start = len(base) if wanted is None else wanted
        if not 0 <= start <= len(base):
            raise StorageError(Kind.BAD_OFFSET, path)
        partial = File(base[:start], self.tree.now_ns(), origin=origin)
        if is_findable and not is_held:
            directory.partials[key] = partial
        self.tree.active.add(partial.inode)
        is_resumed = is_findable and start > 0
        has_dropped = wanted == 0 and own is not None and not is_held
        return _Begun(
            partial, start, published, published.data if published else None, is_resumed, is_findable, has_dropped
        )


@dataclass(frozen=True)
class _Begun:
    partial: File
    start: int
    published: File | None
    published_data: bytes | None
    is_resumed: bool
    is_findable: bool
    has_dropped: bool


class MemorySink:
    """An upload into memory."""

    def __init__(
        self,
        tree: MemoryTree,
        path: VirtualPath,
        directory: Directory,
        key: tuple[str, str],
        begun: _Begun,
        terms: Terms,
    ) -> None:
        self._tree = tree
        self._directory = directory
        self._key = key
        self._name = key[1]
        self._begun = begun
        self._partial = begun.partial
        self._terms = terms
        self._is_over = False
        self._taken = 0
        self._is_refused = False
        self.path = path
        self.offset = begun.start
        self.sha256: str | None = None
        self.conversion = None
        self.is_hidden = False
        self.verdict = None

    def write(self, data: memoryview) -> None:
        """Add *data*."""
        with self._tree.lock:
            if self._is_over:
                raise StorageError(Kind.IO, self.path)
            if self._tree.room is not None:
                taken = data[: self._tree.room]
                self._tree.room -= len(taken)
                self._partial.data += bytes(taken)
                self._taken += len(taken)
                if len(taken) < len(data):
                    self._is_refused = True
                    raise StorageError(Kind.NO_SPACE, self.path)
            else:
                self._partial.data += bytes(data)

    def prepare(self) -> bool:
        """Nothing takes long."""
        return True

    def trace(self) -> Trace:
        """Return the trace of the file."""
        with self._tree.lock:
            return trace_of(self.path, self._partial)

    def commit(self) -> None:
        """Publish."""
        with self._tree.lock:
            if self._is_over:
                raise StorageError(Kind.IO, self.path)
            try:
                self._check_terms()
                if self._directory.partials.get(self._key) is self._partial:
                    del self._directory.partials[self._key]
                self.sha256 = sha256(self._partial.data).hexdigest()
                self._partial.modified_ns = self._tree.now_ns()
                replaced = self._directory.children.get(self._name)
                self._partial.mode = replaced.mode if isinstance(replaced, File) else 0o600
                self._directory.children[self._name] = self._partial
                self._end()
            finally:
                self.abort()

    def abort(self) -> None:
        """Keep what came in for its owner."""
        with self._tree.lock:
            if self._is_over:
                return
            self._end()
            begun, partials = self._begun, self._directory.partials
            came_in = begun.is_resumed or len(self._partial.data) > self.offset
            is_wanted = came_in or (begun.has_dropped and begun.published is not None)
            if self._is_refused and self._tree.room is not None:
                self._tree.room += self._taken + (begun.start if begun.is_resumed else 0)
                self._partial.data = b""
                is_wanted = begun.published is not None
            if begun.is_findable and is_wanted:
                partials.setdefault(self._key, self._partial)
            elif partials.get(self._key) is self._partial:
                del partials[self._key]

    def _end(self) -> None:
        self._is_over = True
        self._tree.active.discard(self._partial.inode)

    def _check_terms(self) -> None:
        now = self._directory.children.get(self._name)
        begun, terms = self._begun, self._terms
        if isinstance(now, Directory):
            raise StorageError(Kind.IS_A_DIRECTORY, self.path)
        if now is not None and not terms.may_replace:
            raise StorageError(Kind.EXISTS, self.path)
        is_same = now is begun.published and (now is None or now.data == begun.published_data)
        holds_published = begun.start > 0 and not begun.is_resumed
        if (terms.append or terms.over_same or holds_published) and not is_same:
            raise StorageError(Kind.BUSY, self.path)
        if now is None and not terms.may_create:
            raise StorageError(Kind.NOT_FOUND, self.path)
