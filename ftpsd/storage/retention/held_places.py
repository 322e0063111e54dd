"""
Legal holds by place: which files of this machine they are about, whoever reaches them, and by whichever path.

A hold is about paths as users see them. A file is held where it is so for any user who sees it: in the home of one and
in a mount of another, in a home inside of another one, and behind links, for its place is asked of the kernel.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock

from ftpsd.storage.disk.names import decode_name
from ftpsd.storage.disk.walk import Place
from ftpsd.storage.retention.terms_of_keeping import Hold, Keeping, View

Views = Mapping[Path, Sequence[View]]


class HeldPlaces:
    """
    The places of the holds that *holds* returns. Everything but `use` blocks, and raises what *holds* does.
    """

    def __init__(self, holds: Callable[[], tuple[Hold, ...]]) -> None:
        self._holds = holds
        self._views: Callable[[], Views] = dict
        self._lock = Lock()
        self._made_of: tuple[Hold, ...] = ()
        self._keepings: dict[str, list[Keeping]] | None = None

    def use(self, views: Callable[[], Views]) -> None:
        """From now on the trees are those of *views*."""
        with self._lock:
            self._views, self._keepings = views, None

    def of(self, directory: Path, view: View) -> HeldTree:
        """Return the holding of the tree in *directory*, which a user has as *view*."""
        return HeldTree(self, directory, view)

    def are_any(self) -> bool:
        """Return whether there are any holds."""
        return bool(self._holds())

    def on(self, path: str, tree: HeldTree | None = None) -> Hold | None:
        """Return a hold on the file at *path* of this machine, where it was reached in *tree*."""
        found = self._holds()
        if not found:
            return None
        return next(
            (hold for keeping, parts in self._around(path, found, tree) if (hold := keeping.hold_on(parts))), None
        )

    def inside(self, path: str, tree: HeldTree | None = None) -> Hold | None:
        """Return a hold on the directory at *path* of this machine, or on what may be in it."""
        found = self._holds()
        if not found:
            return None
        for keeping, parts in self._around(path, found, tree):
            if hold := keeping.hold_within(parts):
                return hold
        prefix = f"{path}/"
        for root, keepings in self._made(found).items():
            if root.startswith(prefix):
                for keeping in keepings:
                    if hold := keeping.hold_within(()):
                        return hold
        return None

    def _around(
        self, path: str, holds: tuple[Hold, ...], tree: HeldTree | None
    ) -> Iterator[tuple[Keeping, tuple[str, ...]]]:
        """Yield what each user who sees *path* has there, with its path in that tree."""
        made = self._made(holds)
        names = tuple(path.split("/")[1:])
        for depth in range(len(names) + 1):
            for keeping in made.get("/" + "/".join(names[:depth]), ()):
                yield keeping, names[depth:]
        if tree is None:
            return
        # A user whom only a remote source knows is in no list.
        root = tree.root
        if path == root or path.startswith(root.rstrip("/") + "/"):
            rest = path[len(root) :].strip("/")
            yield Keeping(tree.view, (), holds), tuple(rest.split("/")) if rest else ()

    def _made(self, holds: tuple[Hold, ...]) -> dict[str, list[Keeping]]:
        """Return the trees that *holds* are about, by their real paths."""
        with self._lock:
            if self._keepings is None or self._made_of is not holds:
                made: defaultdict[str, list[Keeping]] = defaultdict(list)
                for directory, views in self._views().items():
                    keepings = [Keeping(view, (), holds) for view in views]
                    if keepings := [each for each in keepings if each.hold_within(()) is not None]:
                        made[os.path.realpath(directory)] += keepings
                self._made_of, self._keepings = holds, dict(made)
            return self._keepings


class HeldTree:
    """The holding of one tree; see `Holding`."""

    def __init__(self, places: HeldPlaces, directory: Path, view: View) -> None:
        self._places = places
        self._directory = directory
        self.view = view

    @property
    def root(self) -> str:
        """The real path of the tree."""
        return os.path.realpath(self._directory)

    def on(self, place: Place, /) -> str | None:
        """See `Holding.on`."""
        # Of nearly all servers none: the path, which the kernel is asked for, was a tenth of a small upload's worker.
        return _name(self._places.on(_path(place), self)) if self._places.are_any() else None

    def inside(self, place: Place, /) -> str | None:
        """See `Holding.inside`."""
        return _name(self._places.inside(_path(place), self)) if self._places.are_any() else None


def _path(place: Place) -> str:
    return decode_name(place.host_path())


def _name(hold: Hold | None) -> str | None:
    return None if hold is None else hold.name
