"""
Rules: the permissions of users on paths, as the users file writes them and the storage reads them.

The first rule that matches a path decides. A pattern is an absolute path of components:
* `*` and `?` stand for characters inside one component; everything else, also `[`, is literal, and case counts.
* `**` as the last component stands for the directory itself and everything below: `/outbox/**`. `/inbox/*` is one
  level.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftpsd.values.permission import Permission
from ftpsd.values.text import has_control

# The last component that stands for a directory and everything below it.
TREE = "**"


@dataclass(frozen=True, slots=True)
class Rule:
    """The permissions on the paths that *pattern* matches. Raises: ValueError for a pattern that could never match."""

    pattern: str
    allow: frozenset[Permission]

    def __post_init__(self) -> None:
        fault = fault_of(self.pattern)
        if fault is not None:
            raise ValueError(f"{self.pattern!r} {fault}")

    @property
    def parts(self) -> tuple[str, ...]:
        """The components of the pattern."""
        return _parts(self.pattern)


def fault_of(pattern: str) -> str | None:
    """Return why *pattern* is not valid, as the end of a sentence that begins with it; None for one that can match."""
    if not pattern.startswith("/"):
        return "is not a path of the user's home; begin it with /"
    if has_control(pattern):
        return "cannot match: no path holds control characters"
    parts = _parts(pattern)
    if any(part in ("", ".", "..") for part in parts):
        return "can never match; leave out //, . and .."
    if any(TREE in part and (part != TREE or at < len(parts) - 1) for at, part in enumerate(parts)):
        return "has ** inside; it can only be the whole last part, as in /inbox/**"
    return None


def _parts(pattern: str) -> tuple[str, ...]:
    inner = pattern.removeprefix("/").removesuffix("/")
    return tuple(inner.split("/")) if inner else ()
