"""The gates of all trees of a server, by the rules of its configuration."""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ftpsd.config.accept.accept_rules import AcceptRule
from ftpsd.config.users import Mount, UserRecord
from ftpsd.scanning.accept_gate import AcceptGate, GateParts, Names, Shown
from ftpsd.scanning.quarantine import Origin
from ftpsd.storage.recoded import StoredNames
from ftpsd.values.path import ROOT, VirtualPath
from ftpsd.wire.charset import UTF8


@dataclass(frozen=True, slots=True)
class View:
    """A tree as its user sees it: *directory* at *point*, with names on disk in *encoding*."""

    directory: Path
    point: VirtualPath
    encoding: str


class Gates:
    """The gates that the *rules* make of *parts*."""

    def __init__(self, rules: Sequence[AcceptRule], parts: GateParts) -> None:
        self._rules = tuple(rules)
        self._parts = parts

    def has_rules_for(self, user: UserRecord) -> bool:
        """Return whether any rule may hold for uploads of *user*."""
        return bool(self._rules or user.accept)

    def of(self, origin: Origin, view: View, others: Sequence[View], more: Sequence[AcceptRule] = ()) -> AcceptGate:
        """
        Return the gate of the tree of *origin*, which is *view* to its user, who sees the *others* too.

        *more* rules are those of the user alone.
        """
        shown = shown_at(view.point, view.encoding)
        return AcceptGate((*self._rules, *more), self._parts, origin, shown, names_in(view, others))

    def of_tree(
        self, host: str, user: UserRecord, tree: UserRecord | Mount, *, encoding: str | None = None
    ) -> AcceptGate:
        """Return the gate of *tree*, the home or a mount of *user* of *host*; *encoding* is that of its paths."""
        trees: tuple[UserRecord | Mount, ...] = (user, *user.mounts)
        view = view_of(tree)
        others = [view_of(other) for other in trees if other is not tree]
        if encoding is not None:
            view = replace(view, encoding=encoding)
        return self.of(Origin(user.name, host, str(view.directory)), view, others, user.accept)


def view_of(tree: UserRecord | Mount) -> View:
    """Return *tree* as its user sees it."""
    if isinstance(tree, Mount):
        return View(tree.directory, tree.path, tree.stored_encoding)
    return View(tree.home, ROOT, tree.stored_encoding)


def names_in(view: View, others: Sequence[View]) -> Names:
    """Return what tells the paths that files of *view* have in those of the *others* that reach the same directory."""
    if not others:
        return lambda _: ()
    here = os.path.realpath(view.directory)
    there = [(os.path.realpath(other.directory), shown_at(other.point, other.encoding)) for other in others]

    def names(path: VirtualPath) -> list[VirtualPath]:
        place = Path(here, *path.parts)
        return [
            shown(VirtualPath(place.relative_to(directory).parts))
            for directory, shown in there
            if place.is_relative_to(directory)
        ]

    return names


def shown_at(point: VirtualPath, encoding: str) -> Shown:
    """Return what the paths of a tree are to its user."""
    if encoding == UTF8.name:
        return lambda path: VirtualPath((*point.parts, *path.parts))
    names = StoredNames(encoding)

    def shown(path: VirtualPath) -> VirtualPath:
        return VirtualPath((*point.parts, *map(names.shown, path.parts)))

    return shown
