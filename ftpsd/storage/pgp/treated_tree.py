"""
TreatedTree: a tree of a user in which uploads to some paths go through gpg.

* It is around the rules of the tree. The user needs the right to upload under the name that is sent, and all that the
  published name asks for.
* Such a path takes whole files alone, from their beginning, and by upload: no REST, APPE, RANG, no copy and no join.
* Nothing comes to such a path past gpg: neither by a rename from elsewhere, nor by a link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ftpsd.storage.base import Kind, Sink, Storage, StorageError, Terms
from ftpsd.storage.disk.names import unique_name
from ftpsd.storage.forwarding import ForwardingStorage
from ftpsd.storage.pgp.converting import ConvertingSink
from ftpsd.storage.pgp.key_home import KeyHome
from ftpsd.storage.pgp.treatment import Treatment, Treatments
from ftpsd.storage.rules import Rules
from ftpsd.storage.uploads.growing import Watcher
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule


class TreatedTree(ForwardingStorage):
    """
    The tree *inner* of *owner* behind *rules*, with *treatments* as they look from it; *watch* makes watchers of
    plaintext.
    """

    def __init__(
        self,
        inner: Storage,
        rules: Sequence[Rule] | None,
        treatments: Treatments,
        home: KeyHome,
        watch: Callable[[VirtualPath], Sequence[Watcher]],
        owner: str,
    ) -> None:
        super().__init__(inner)
        self._rules = Rules.of(rules)
        self._treatments = treatments
        self._home = home
        self._watch = watch
        self._owner = owner

    def open_sink(self, path: VirtualPath, terms: Terms = Terms()) -> Sink:
        """Open an upload to *path*, through gpg where that is asked for. Raises: WHOLE_ONLY, and as the inner tree."""
        treatment = self._treatments.of(path)
        if treatment is None:
            return self._inner.open_sink(path, terms)
        if terms.append or terms.offset or terms.over_same or not terms.resumable:
            raise StorageError(Kind.WHOLE_ONLY, path)
        if terms.unique:
            path, terms = path.parent / unique_name(path.name), terms.under_new_name()
        if not self._rules.at(path.parts).allows(Permission.UPLOAD):
            raise StorageError(Kind.DENIED, path, why="no rule allows upload under the name that was sent")
        return self._through_gpg(path, treatment, terms)

    def _through_gpg(self, path: VirtualPath, treatment: Treatment, terms: Terms) -> Sink:
        terms = replace(terms, resumable=False, is_sealed=not treatment.decrypts)
        watchers = self._watch(path) if terms.is_sealed else ()
        inner = self._inner.open_sink(path.parent / treatment.published(path.name), terms)
        return ConvertingSink(inner, path, treatment, self._home, watchers, self._owner)

    def rename(self, old: VirtualPath, new: VirtualPath, *, may_replace: bool = True, any_kind: bool = True) -> None:
        """Rename *old* to *new*. Raises: DENIED where uploads to *new* go through gpg, and those to *old* otherwise."""
        touched = self._treatments.touches(new)
        if touched and (self._treatments.of(old) is not self._treatments.of(new) or self._treatments.of(new) is None):
            raise StorageError(Kind.DENIED, new, why="uploads to the new name go through gpg")
        self._inner.rename(old, new, may_replace=may_replace, any_kind=any_kind)

    def make_link(self, path: VirtualPath, target: VirtualPath) -> None:
        """Raises: DENIED: a link would lead around gpg."""
        raise StorageError(Kind.DENIED, path, why="a link would lead around gpg")
