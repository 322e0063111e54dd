"""
GuardedStorage: the one place that decides the rights of a user.

* The decision is made by the virtual path alone, before anything is looked at, so nothing can change between looking
  and doing. Conditions on the file (does the upload replace something?) are passed down as may_replace and may_create,
  and are kept there by a rename or an open that cannot do otherwise.
* A path that the user may neither list nor use as asked is NOT_FOUND: names cannot be probed. Making something new is
  DENIED, which discloses nothing about existing names.
* Rules are about the name by which the user reaches a file. A link is the operator's decision to serve a file under
  another name. Users make links only where all names have the same permissions: there a link gives nothing that its
  target does not give, wherever either of them is moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from ftpsd.storage.base import Kind, Listing, Sink, Source, Storage, StorageError, Terms, Traits
from ftpsd.storage.cached_file import CachedFile
from ftpsd.storage.disk.entries import PARTIAL_PERM
from ftpsd.storage.rules import Rules
from ftpsd.values.entry import Entry, EntryType
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import Permission
from ftpsd.values.quota import Standing
from ftpsd.values.rule import Rule
from ftpsd.values.trace import Trace

_DIRECTORY = EntryType.DIRECTORY


class GuardedStorage:
    """A storage behind rules; with *rules* None everything is allowed."""

    def __init__(self, inner: Storage, rules: Sequence[Rule] | None) -> None:
        self._inner = inner
        self._rules = Rules.of(rules)
        self._is_open = rules is None

    def stat(self, path: VirtualPath) -> Entry:
        """Describe *path*; needs list or read."""
        entry_rules = self._require_seen(path)
        entry = self._inner.stat(path)
        return entry if self._is_open else narrowed(entry, entry_rules)

    def list(self, path: VirtualPath) -> Listing:
        """Open the directory *path* for reading, without the entries that may not be listed."""
        rules = self._require(path, Permission.LIST)
        listing = self._inner.list(path)
        return listing if self._is_open else GuardedListing(listing, rules)

    def open_source(self, path: VirtualPath, offset: int = 0) -> Source:
        """Open *path* for sending; needs read."""
        self._require(path, Permission.READ)
        return self._inner.open_source(path, offset)

    def read_cached(self, path: VirtualPath, limit: int) -> CachedFile | None:
        """Return the small file *path* if that needs no waiting; needs read."""
        return self._inner.read_cached(path, limit) if self._at(path).allows(Permission.READ) else None

    def open_sink(self, path: VirtualPath, terms: Terms = Terms()) -> Sink:
        """Open an upload; needs upload for a new file, overwrite or append for one that exists."""
        allowed = self._at(path).allowed
        replacing = Permission.APPEND if terms.append else Permission.OVERWRITE
        may_create = terms.may_create and Permission.UPLOAD in allowed
        may_replace = terms.may_replace and replacing in allowed
        if not may_create and (terms.unique or not may_replace):
            raise StorageError(Kind.DENIED, path, why=_lacks(Permission.UPLOAD))
        # A copy takes 6 us, and nearly all users may do both.
        left = terms if may_create and may_replace else replace(terms, may_replace=may_replace, may_create=may_create)
        try:
            sink = self._inner.open_sink(path, left)
        except StorageError as error:
            if error.kind is Kind.NOT_FOUND and Permission.UPLOAD not in allowed:
                raise StorageError(Kind.DENIED, path, error.cause, why=_lacks(Permission.UPLOAD)) from error
            if error.kind is Kind.EXISTS and replacing not in allowed:
                error.why = _lacks(replacing)
            raise
        if terms.unique and Permission.UPLOAD not in self._at(sink.path).allowed:
            # The chosen name falls under another rule than the one that was asked for.
            sink.abort()
            with suppress(StorageError):
                self._inner.remove_file(sink.path)
            raise StorageError(Kind.DENIED, path, why=_lacks(Permission.UPLOAD))
        return sink

    def make_directory(self, path: VirtualPath) -> None:
        """Make the directory *path*; needs mkdir."""
        if not self._at(path).allows(Permission.MKDIR):
            raise StorageError(Kind.DENIED, path, why=_lacks(Permission.MKDIR))
        self._inner.make_directory(path)

    def make_link(self, path: VirtualPath, target: VirtualPath) -> None:
        """Make the link *path*; needs upload, list or read, and that these rules allow the same for all names."""
        if not self._rules.are_the_same_for_all:
            raise StorageError(Kind.DENIED, path, why="a link needs rules that are the same for all names")
        if not self._at(path).allows(Permission.UPLOAD):
            raise StorageError(Kind.DENIED, path, why=_lacks(Permission.UPLOAD))
        self._require_seen(target)
        self._inner.make_link(path, target)

    def remove_directory(self, path: VirtualPath) -> None:
        """Remove the empty directory *path*; needs rmdir."""
        self._require(path, Permission.RMDIR)
        self._inner.remove_directory(path)

    def remove_file(self, path: VirtualPath) -> None:
        """Remove the file *path*; needs delete."""
        self._require(path, Permission.DELETE)
        self._inner.remove_file(path)

    def rename(self, old: VirtualPath, new: VirtualPath, *, may_replace: bool = True, any_kind: bool = True) -> None:
        """
        Rename *old* to *new*; needs rename on both (a directory's contents too) and overwrite to replace.

        No name may come to allow more than the old one did: else rename would give what the rules deny.
        """
        source = self._require(old, Permission.RENAME)
        target = self._at(new)
        if Permission.RENAME not in target.allowed:
            raise StorageError(Kind.DENIED, new, why=_lacks(Permission.RENAME))
        if not source.may_move_file_to(target):
            raise StorageError(Kind.DENIED, new, why="the new name would allow what the old one does not")
        may_replace = may_replace and Permission.OVERWRITE in target.allowed
        any_kind = any_kind and source.may_move_to(target)
        try:
            self._inner.rename(old, new, may_replace=may_replace, any_kind=any_kind)
        except StorageError as error:
            if error.kind is Kind.EXISTS and Permission.OVERWRITE not in target.allowed:
                error.why = _lacks(Permission.OVERWRITE)
            raise

    def trace(self, path: VirtualPath, becoming: VirtualPath | None = None) -> Trace:
        """Return the trace of *path*, which no client learns of."""
        return self._inner.trace(path, becoming)

    def set_modified(self, path: VirtualPath, modified_ns: int) -> int:
        """Set the modification time; needs set-time."""
        self._require(path, Permission.SET_TIME)
        return self._inner.set_modified(path, modified_ns)

    def set_mode(self, path: VirtualPath, mode: int) -> int:
        """Set the permission bits; needs chmod."""
        self._require(path, Permission.CHMOD)
        return self._inner.set_mode(path, mode)

    def free_bytes(self, path: VirtualPath) -> int:
        """Return how much can be stored in *path*; needs list or read, as stat() does."""
        self._require_seen(path)
        return self._inner.free_bytes(path)

    def standing(self, path: VirtualPath) -> Standing | None:
        """Return the state of the quota where *path* is; needs list or read, as free_bytes() does."""
        self._require_seen(path)
        return self._inner.standing(path)

    def traits(self, path: VirtualPath) -> Traits:
        """Return the traits of the tree of *path*, which disclose nothing of its contents."""
        return self._inner.traits(path)

    def close(self) -> None:
        """Release the storage behind."""
        self._inner.close()

    def _at(self, path: VirtualPath) -> Rules:
        return self._rules if self._is_open else self._rules.at(path.parts)

    def _require_seen(self, path: VirtualPath) -> Rules:
        """Return the rules at *path*. Raises: NOT_FOUND for a path that the user may neither list nor read."""
        rules = self._at(path)
        if not rules.allowed & {Permission.LIST, Permission.READ}:
            raise StorageError(Kind.NOT_FOUND, path, why="no rule allows list or read")
        return rules

    def _require(self, path: VirtualPath, permission: Permission) -> Rules:
        """Return the rules at *path*. Raises: DENIED, or NOT_FOUND for a path that the user may not even list."""
        rules = self._at(path)
        if not rules.allows(permission):
            kind = Kind.DENIED if rules.allows(Permission.LIST) else Kind.NOT_FOUND
            raise StorageError(kind, path, why=_lacks(permission))
        return rules


class GuardedListing:
    """A directory without the entries that the user may not list."""

    def __init__(self, inner: Listing, rules: Rules) -> None:
        self._inner = inner
        self._rules = rules

    def read(self, count: int) -> list[Entry]:
        """Return up to *count* further entries that may be listed."""
        while entries := self._inner.read(count):
            below = self._rules.below
            seen = [(entry, below(entry.name)) for entry in entries]
            if allowed := [narrowed(entry, rules) for entry, rules in seen if rules.is_listed]:
                return allowed
        return []

    def close(self) -> None:
        """Let the directory go."""
        self._inner.close()


def _lacks(permission: Permission) -> str:
    """Name the missing right for the log."""
    return f"no rule allows {permission.value}"


def narrowed(entry: Entry, rules: Rules) -> Entry:
    """
    Return *entry* as *rules*, as they look from it, allow it to be described.

    Its perm letters (RFC 3659, 7.5.5) are those that the rules give. The links of a directory are as many as the
    directories in it and two more, so where some of them are hidden there is 1, as on file systems that do not count.
    """
    letters = _given(rules, entry.type, entry.perm)
    links = 1 if entry.type is _DIRECTORY and rules.may_hide else entry.links
    if letters == entry.perm and links == entry.links:
        return entry
    return entry._replace(links=links, perm=letters)


@lru_cache(maxsize=1024)
def _given(rules: Rules, kind: EntryType, letters: str) -> str:
    return "".join(letter for letter in letters if _gives(rules, kind, letter, is_partial=letters == PARTIAL_PERM))


def _gives(rules: Rules, kind: EntryType, letter: str, *, is_partial: bool) -> bool:
    if kind is _DIRECTORY:
        if letter in _INSIDE:
            return any(rules.may_inside(permission) for permission in _INSIDE[letter])
        if letter == "f":
            return rules.may_move()
        return not rules.allowed.isdisjoint(_OF_DIRECTORIES[letter])
    if is_partial and letter in "aw":
        # To go on with an unfinished upload, or to begin it anew, makes a file and replaces none.
        return Permission.UPLOAD in rules.allowed
    return _OF_FILES[letter] in rules.allowed


_OF_FILES = {
    "a": Permission.APPEND,
    "d": Permission.DELETE,
    "f": Permission.RENAME,
    "r": Permission.READ,
    "w": Permission.OVERWRITE,
}
# One of these is enough.
_OF_DIRECTORIES = {
    "d": (Permission.RMDIR,),
    "e": (Permission.LIST, Permission.READ),
    "l": (Permission.LIST,),
}
# Letters of a directory that speak about the names in it.
_INSIDE = {
    "c": (Permission.UPLOAD,),
    "m": (Permission.MKDIR,),
    "p": (Permission.DELETE, Permission.RMDIR),
}
