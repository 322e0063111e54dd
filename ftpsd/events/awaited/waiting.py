"""
The files that have come for one expectation in one window, and what follows from them. Pure: no clock, no files.

* A file counts by the moment at which it was complete (the time of its event), never by that at which it is looked at:
  a daemon that was down over the deadline judges as one that was up.
* A file counts for the oldest window that is open at that moment and still waits, else for the last one that ended
  without it.
* Of a path the newest upload counts. A companion may come before its file or behind it; the file is complete with the
  later of both.
* One of on-time, late, invalid and missing is the outcome. A late one may follow behind invalid and missing: it came
  after all. A warning comes before any of them. Each is told at most once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any, Final

from ftpsd.config.automation.expectation_sections import MOST_EXPECTATIONS, MOST_FILES, Expectation, due_days
from ftpsd.storage.rules import Rules, component_matches
from ftpsd.values.due_days import Window
from ftpsd.values.path import PathError, VirtualPath
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule

# Seconds behind a deadline until it is judged: an upload that was complete in time may take so long until its event is
# in the ledger (control/recording.py waits for 10 s).
SETTLING: Final = 12.0
ON_TIME, LATE, INVALID, MISSING, WARNING = "on-time", "late", "invalid", "missing", "warning"
# Kinds of trouble: fixed words.
NOTHING, TOO_FEW, SIZE, COMPANION = "nothing", "too-few", "size", "companion"

_MARK: Final = frozenset({Permission.READ})


@dataclass(frozen=True, slots=True)
class Came:
    """A file of *size* bytes, None where its event does not say, that was complete at the Unix time *seconds*."""

    seconds: float
    size: int | None


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of a window: *came* files are as they shall be, *at* the moment when they were enough, None if
    never."""

    came: int
    at: float | None
    reason: str | None


@dataclass(slots=True)
class Occurrence:
    """The files that came for the window of *day*, their companions, and the *outcome* that was told last."""

    day: date
    files: dict[str, Came] = field(default_factory=dict)
    companions: dict[str, float] = field(default_factory=dict)
    outcome: str | None = None
    is_warned: bool = False

    @property
    def waits(self) -> bool:
        """Whether a file could still change what is to be told."""
        return self.outcome in (None, INVALID, MISSING)

    def take(self, expectation: Expectation, path: str, came: Came) -> None:
        """Note a file, or a companion, at *path*, where it is one of *expectation*."""
        if is_companion(expectation, path):
            _put(self.companions, path, came.seconds)
        else:
            _put(self.files, path, came)

    def found(self, expectation: Expectation, until: float) -> Finding:
        """Return what has come up to the moment *until*."""
        moments: list[float] = []
        faults: set[str] = set()
        for path, came in self.files.items():
            if came.seconds > until:
                continue
            fault, complete = self._judged(expectation, path, came, until)
            if fault is None:
                moments.append(complete)
            else:
                faults.add(fault)
        moments.sort()
        if len(moments) >= expectation.count:
            return Finding(len(moments), moments[expectation.count - 1], None)
        reason = next((word for word in (SIZE, COMPANION) if word in faults), TOO_FEW if moments else NOTHING)
        return Finding(len(moments), None, reason)

    def _judged(self, expectation: Expectation, path: str, came: Came, until: float) -> tuple[str | None, float]:
        """Return what is wrong with a file, None for nothing, and when it was complete."""
        least, most = expectation.size.min, expectation.size.max
        size = came.size
        if size is not None and ((least is not None and size < least) or (most is not None and size > most)):
            return SIZE, came.seconds
        complete = came.seconds
        for companion in expectation.companions:
            theirs = [self.companions[name] for name in companions_of(companion, path) if name in self.companions]
            if not theirs or min(theirs) > until:
                return COMPANION, complete
            complete = max(complete, min(theirs))
        return None, complete


def outcomes(
    expectation: Expectation, occurrence: Occurrence, window: Window, now: float
) -> Iterator[tuple[str, Finding]]:
    """Yield what is to be told of *occurrence* now, in order, and note that it was told."""
    closes = window.due + expectation.grace
    finding = occurrence.found(expectation, closes)
    if occurrence.outcome is None:
        if finding.at is not None:
            occurrence.outcome = ON_TIME if finding.at <= window.due else LATE
            yield occurrence.outcome, finding
        elif now > closes + SETTLING:
            occurrence.outcome = INVALID if finding.reason in (SIZE, COMPANION) else MISSING
            yield occurrence.outcome, finding
        elif _is_to_warn(expectation, occurrence, window, finding, now):
            occurrence.is_warned = True
            yield WARNING, finding
    if occurrence.outcome in (INVALID, MISSING):
        after = occurrence.found(expectation, float("inf"))
        if after.at is not None:
            occurrence.outcome = LATE
            yield LATE, after


def next_moment(expectation: Expectation, occurrence: Occurrence, window: Window) -> float:
    """Return when *occurrence* is to be looked at again though nothing comes."""
    if occurrence.outcome is not None:
        return float("inf")
    if expectation.warn is not None and not occurrence.is_warned:
        return window.due - expectation.warn
    return window.due + expectation.grace + SETTLING


def choose(
    expectation: Expectation, waiting: Mapping[date, tuple[Occurrence, Window]], seconds: float
) -> Occurrence | None:
    """Return the one of *waiting* that a file of that moment counts for."""
    begun = [(each, window) for each, window in waiting.values() if each.waits and window.opens <= seconds]
    begun.sort(key=lambda pair: pair[1].opens)
    for each, window in begun:
        is_full = each.found(expectation, float("inf")).at is not None
        if seconds <= window.due + expectation.grace and not is_full:
            return each
    return begun[-1][0] if begun else None


def concerns(expectation: Expectation, data: Mapping[str, Any]) -> bool:
    """Return whether the event *data* is about a file, or a companion, of *expectation*."""
    if sender_of(data) != expectation.user or data.get("host", "") != (expectation.host or ""):
        return False
    path = data.get("path")
    if not isinstance(path, str):
        return False
    try:
        parts = VirtualPath.parse(path).parts
    except PathError:
        return False
    if bool(_matcher(expectation.path).at(parts).allowed):
        return True
    return is_companion(expectation, path) and _is_beside(expectation.path, parts)


def sender_of(data: Mapping[str, Any]) -> str | None:
    """Return the user of the upload that *data* is about; one out of the quarantine names its owner."""
    return data.get("user") or data.get("owner")


def is_companion(expectation: Expectation, path: str) -> bool:
    """Return whether *path* has the name of a companion."""
    name = path.rpartition("/")[2]
    return any(component_matches(companion, name) for companion in expectation.companions)


def companions_of(companion: str, path: str) -> tuple[str, str]:
    """Return the names that a companion of *path* may have: the star is its name without or with its ending."""
    folder, slash, name = path.rpartition("/")
    stem = name.rpartition(".")[0] or name
    return f"{folder}{slash}{companion.replace('*', stem)}", f"{folder}{slash}{companion.replace('*', name)}"


def _is_to_warn(expectation: Expectation, occurrence: Occurrence, window: Window, finding: Finding, now: float) -> bool:
    if expectation.warn is None or occurrence.is_warned or now > window.due:
        return False
    return now >= window.due - expectation.warn or finding.reason == SIZE


def _is_beside(pattern: str, parts: tuple[str, ...]) -> bool:
    """Return whether files of *pattern* lie in the directory of the file *parts*."""
    wanted = Rule(pattern, _MARK).parts
    if wanted[-1:] == ("**",):
        return parts[: len(wanted) - 1] == wanted[:-1]
    if len(wanted) != len(parts):
        return False
    return all(component_matches(part, name) for part, name in zip(wanted[:-1], parts[:-1], strict=True))


def _put(known: dict[str, Any], path: str, value: Any) -> None:
    """Note *value*, as the newest; above the bound the oldest is forgotten."""
    known.pop(path, None)
    known[path] = value
    while len(known) > 2 * MOST_FILES:
        del known[next(iter(known))]


@lru_cache(maxsize=MOST_EXPECTATIONS)
def _matcher(pattern: str) -> Rules:
    return Rules.of((Rule(pattern, _MARK),))


def window_of(expectation: Expectation, day: date) -> Window | None:
    """Return the window of *day*, None when that is no due day of *expectation* any more."""
    days = due_days(expectation)
    return days.window(day) if days.include(day) else None
