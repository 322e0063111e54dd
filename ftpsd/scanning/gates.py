"""The gates of all trees of a server, by the rules of its configuration."""

from __future__ import annotations

from collections.abc import Sequence

from ftpsd.config.accept.accept_rules import AcceptRule
from ftpsd.scanning.accept_gate import AcceptGate, GateParts, Shown
from ftpsd.scanning.quarantine import Origin
from ftpsd.storage.recoded import StoredNames
from ftpsd.values.path import VirtualPath
from ftpsd.wire.charset import UTF8


class Gates:
    """The gates that the *rules* make of *parts*."""

    def __init__(self, rules: Sequence[AcceptRule], parts: GateParts) -> None:
        self._rules = tuple(rules)
        self._parts = parts

    def of(self, origin: Origin, point: VirtualPath, encoding: str) -> AcceptGate:
        """Return the gate of the tree of *origin*, which is mounted at *point*; its names on disk are in *encoding*."""
        return AcceptGate(self._rules, self._parts, origin, shown_at(point, encoding))


def shown_at(point: VirtualPath, encoding: str) -> Shown:
    """Return what the paths of a tree are to its user."""
    if encoding == UTF8.name:
        return lambda path: VirtualPath((*point.parts, *path.parts))
    names = StoredNames(encoding)

    def shown(path: VirtualPath) -> VirtualPath:
        return VirtualPath((*point.parts, *map(names.shown, path.parts)))

    return shown
