"""Expectations due on a day, with how far they are: for the command line, which may ask while no daemon runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from sqlite3 import Connection

from ftpsd.config.automation.expectation_sections import Expectation, due_days
from ftpsd.events.awaited.waiting import SETTLING
from ftpsd.events.awaited.waiting_tables import Standing, outcome_of, standing_of
from ftpsd.values.due_days import Window

UPCOMING, OPEN, OVERDUE, UNJUDGED = "upcoming", "waiting", "overdue", "not-judged"


@dataclass(frozen=True, slots=True)
class Due:
    """
    One window: *opens* and *due* by the clock of its zone, *state* is a word, *reason* why *came* is too few.
    """

    expectation: str
    user: str
    path: str
    day: str
    opens: str
    due: str
    state: str
    came: int
    count: int
    reason: str | None


def due_on(
    connection: Connection | None, expectations: Sequence[Expectation], day: date | None, now: float
) -> list[Due]:
    """
    Return the windows of *day*, None for those of today in the zone of each, and those of before that still wait.

    Without a *connection* nothing is known but the calendar. They come in the order of their deadlines.
    """
    found: list[tuple[float, Due]] = []
    for each in expectations:
        days = due_days(each)
        standing = None if connection is None else standing_of(connection, each)
        last = days.day_of(now) if day is None else day
        for window in days.windows(last - timedelta(days=2), last):
            is_open = window.opens <= now <= window.due + each.grace + SETTLING
            if window.day == last or (day is None and is_open):
                found.append((window.due, _due(connection, each, standing, window, now)))
    return [due for _, due in sorted(found, key=lambda pair: (pair[0], pair[1].expectation))]


def _due(
    connection: Connection | None, each: Expectation, standing: Standing | None, window: Window, now: float
) -> Due:
    told = None if connection is None else outcome_of(connection, each.name, window.day, now)
    occurrence = None if standing is None else standing.waiting.get(window.day)
    came, reason = 0, None
    if occurrence is not None and window.opens <= now:
        finding = occurrence.found(each, float("inf"))
        came, reason = finding.came, finding.reason
    if told is not None and told["outcome"] is not None:
        state = told["outcome"]
        came, reason = max(came, told["came"]), told["reason"]
    elif window.opens > now:
        state = UPCOMING
    elif now <= window.due:
        state = OPEN
    elif now <= window.due + each.grace + SETTLING:
        state = OVERDUE
    else:
        state = UNJUDGED
    days = due_days(each)
    opens, due = (days.wall(moment).isoformat(timespec="minutes") for moment in (window.opens, window.due))
    return Due(each.name, each.user, each.path, window.day.isoformat(), opens, due, state, came, each.count, reason)
