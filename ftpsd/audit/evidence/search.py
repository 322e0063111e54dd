"""
A search through the audit log and its rotated files.

Lines are read one after the other and forgotten, so a log of any size is searched in bounded memory. A line is only
parsed when its bytes hold what is looked for.

A path is followed over renames, forwards in time: who asks for /in/a.csv also gets what happened to /done/a.csv behind
the rename, and to the files of a directory that was renamed. Events of another file that had this name
before, or after the name had become free, have the same path and are found as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from ftpsd.audit.evidence.log_segments import whole_lines

# Names that a path is followed to; a client could rename a file without end.
MOST_NAMES: Final = 1_000
_PATHS: Final = ("path", "old", "new")
_RENAMED: Final = b'"event":"file-renamed"'


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    The terms of a search; None for anything.

    *path* may have `*`, `?` and `[…]`, which also stand for `/`. *since* and *until* are moments as the log writes
    them; *until* is not included.
    """

    user: str | None = None
    path: str | None = None
    event: str | None = None
    session: str | None = None
    since: str | None = None
    until: str | None = None

    @property
    def is_pattern(self) -> bool:
        return self.path is not None and any(letter in self.path for letter in "*?[")


class Search:
    """A search for *wanted*; its events come in the order of time."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.has_lost_track = False
        """Whether a path had more names than are followed."""
        # Names are those that a user sees; of a host and a user.
        self._names: dict[tuple[object, object], set[str]] = {}
        self._count = 0
        exact = {"user": wanted.user, "event": wanted.event, "session": wanted.session}
        self._exact = {key: value for key, value in exact.items() if value is not None}
        self._needles = [
            json.dumps(value, ensure_ascii=True).encode("ascii") for value in self._exact.values() if value.isascii()
        ]

    def events(self, files: Sequence[Path]) -> Iterator[dict[str, Any]]:
        """Yield the events of *files* that are wanted. Raises: OSError."""
        for file in by_time(files):
            for line in whole_lines(file):
                event = self._read(line)
                if event is not None and self._is_wanted(event):
                    yield event

    def _read(self, line: bytes) -> dict[str, Any] | None:
        is_rename = self.wanted.path is not None and _RENAMED in line
        if not is_rename and not all(needle in line for needle in self._needles):
            return None
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            return None
        return event if isinstance(event, dict) and isinstance(event.get("time"), str) else None

    def _is_wanted(self, event: dict[str, Any]) -> bool:
        wanted, time = self.wanted, event["time"]
        # Names before the time in question lead to those in it.
        has_path = wanted.path is None or self._concerns_path(event)
        return (
            has_path
            and all(event.get(key) == value for key, value in self._exact.items())
            and (wanted.since is None or time >= wanted.since)
            and (wanted.until is None or time < wanted.until)
        )

    def _concerns_path(self, event: dict[str, Any]) -> bool:
        assert self.wanted.path is not None
        owner = (event.get("host"), event.get("user"))
        found = False
        for key in _PATHS:
            path = event.get(key)
            if isinstance(path, str):
                is_named = fnmatchcase(path, self.wanted.path) if self.wanted.is_pattern else path == self.wanted.path
                found = found or is_named or path in self._names.get(owner, ())
        if event.get("event") == "file-renamed":
            found = self._follow(owner, event.get("old"), event.get("new"), is_named=found) or found
        return found

    def _follow(self, owner: tuple[object, object], old: object, new: object, *, is_named: bool) -> bool:
        """Note the new names; return whether a directory above a name in question was renamed."""
        if not isinstance(old, str) or not isinstance(new, str):
            return False
        below = f"{old.rstrip('/')}/"
        known = self._names.get(owner, set())
        asked = set() if self.wanted.path is None or self.wanted.is_pattern else {self.wanted.path}
        moved = {new + name[len(old) :] for name in known | asked if name.startswith(below)}
        for name in (moved | ({new} if is_named else set())) - known:
            if self._count < MOST_NAMES:
                self._names.setdefault(owner, set()).add(name)
                self._count += 1
            else:
                self.has_lost_track = True
        return bool(moved)


def by_time(files: Sequence[Path]) -> list[Path]:
    """Return *files* in the order of the first moment in each."""
    return [file for _, file in sorted((_first_time(file), file) for file in files)]


def _first_time(file: Path) -> str:
    for line in whole_lines(file):
        try:
            time = json.loads(line)["time"]
        except (ValueError, RecursionError, KeyError, TypeError):
            continue
        if isinstance(time, str):
            return time
    return ""
