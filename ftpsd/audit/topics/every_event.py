"""Every kind of event there is, and the choice of those that the audit log has."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

from ftpsd.audit import topics
from ftpsd.audit.events import Event

ALL: Final = "all"
NOT: Final = "-"


@cache
def logged_events() -> frozenset[str]:
    """Return the names of all events that are logged."""
    for module in pkgutil.walk_packages(topics.__path__, f"{topics.__name__}."):
        importlib.import_module(module.name)
    return frozenset(kind.event for kind in _kinds(Event) if kind.logged and kind.event)


def _kinds(kind: type[Event]) -> Iterator[type[Event]]:
    yield kind
    for derived in kind.__subclasses__():
        yield from _kinds(derived)


def chosen(words: Iterable[str]) -> frozenset[str] | None:
    """
    Return the names that `audit.events` asks for: `all`, names, and names with `-` in front that are taken out again.

    Read from the left; where the first word takes something out, it is out of all. None: all of them.
    """
    words = tuple(words)
    found: set[str] = set(logged_events()) if not words or words[0].startswith(NOT) else set()
    for word in words:
        if word == ALL:
            found |= logged_events()
        elif word.startswith(NOT):
            found.discard(word.removeprefix(NOT))
        else:
            found.add(word)
    return None if found >= logged_events() else frozenset(found)


def unknown(words: Iterable[str]) -> list[tuple[int, str]]:
    """Return those of *words* that name no event that is logged, with their numbers."""
    return [
        (number, word)
        for number, word in enumerate(words)
        if word != ALL and word.removeprefix(NOT) not in logged_events()
    ]
