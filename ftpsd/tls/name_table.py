"""
Names of servers: which of several configured names, exact or with a wildcard, stands for the one a client asks for.

`*.example.com` stands for exactly one label in the place of the star, as in certificates (RFC 6125, 6.4.3). Case and a
trailing dot do not matter. An exact name always goes before a wildcard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class NameTable(Generic[T]):
    """A table of names: the value that each name of *entries* stands for; of two equal names the first counts."""

    def __init__(self, entries: Iterable[tuple[str, T]] = ()) -> None:
        self._meanings: dict[str, T] = {}
        for name, meaning in entries:
            self._meanings.setdefault(folded(name), meaning)

    def __bool__(self) -> bool:
        return bool(self._meanings)

    def items(self) -> Iterator[tuple[str, T]]:
        """Yield every name and what it stands for."""
        return iter(self._meanings.items())

    def find(self, name: str) -> T | None:
        """Return the value of *name*, which holds no star; None for a name that is not configured."""
        name = folded(name)
        found = self._meanings.get(name)
        if found is None and "*" not in name:
            _, dot, rest = name.partition(".")
            found = self._meanings.get(f"*.{rest}") if dot else None
        return found


def covers(names: Iterable[str], wanted: str) -> bool:
    """Return whether a certificate for *names* is one for *wanted*, which may be a wildcard itself."""
    known = {folded(name) for name in names}
    wanted = folded(wanted)
    return wanted in known or f"*.{wanted.partition('.')[2]}" in known


def folded(name: str) -> str:
    """Return the one spelling of *name*: lower case, no dot at its end."""
    return name.lower().removesuffix(".")
