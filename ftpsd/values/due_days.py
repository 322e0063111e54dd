"""
Due days: the days on which something is to come, and between which moments, by the clock on the wall of a time zone.

Pure: no clock, no files. The night on which the clocks change never makes a window shorter than it is on the wall: a
time that comes twice begins a window the first time and ends one the second time, and one that is left out is taken as
an hour later at the end and as an hour earlier at the beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final

DAY: Final = 24 * 60
_ONE: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """The time for what is to come on *day*: from *opens* up to *due*, Unix times."""

    day: date
    opens: float
    due: float


@dataclass(frozen=True, slots=True)
class DueDays:
    """
    The due days: those of *weekdays* (0 is Monday) that are no holiday; with *of_month* those alone that have one of
    these places among them in their month, 1 for the first, -1 for the last.

    The window begins *begin* minutes after midnight of its day, and ends at *end*; one that ends at or before its
    beginning passes midnight.
    """

    weekdays: frozenset[int]
    is_holiday: Callable[[date], bool]
    begin: int
    end: int
    zone: tzinfo
    of_month: tuple[int, ...] = ()

    def include(self, day: date) -> bool:
        """Return whether *day* is one of them."""
        return day in _due_in(self, day.replace(day=1))

    def window(self, day: date) -> Window:
        """Return the window that belongs to *day*."""
        ends_on = day if self.begin < self.end else day + _ONE
        opens = min(_moments(day, self.begin, self.zone))
        return Window(day, opens, max(_moments(ends_on, self.end, self.zone)))

    def windows(self, first: date, last: date) -> Iterator[Window]:
        """Yield the windows of the due days from *first* to *last*, in order."""
        day = first
        while day <= last:
            if self.include(day):
                yield self.window(day)
            day += _ONE

    def day_of(self, moment: float) -> date:
        """Return the day that it is at a Unix time, on the wall."""
        return datetime.fromtimestamp(moment, self.zone).date()

    def wall(self, moment: float) -> datetime:
        """Return a Unix time as the clock on the wall shows it."""
        return datetime.fromtimestamp(moment, self.zone)


# Hundreds of expectations are looked at each second, and a look at a calendar of holidays takes 4 us: so 0.2 s of
# processor time each second became 0.05 s, for the 500 that there may be.
@lru_cache(maxsize=4096)
def _due_in(days: DueDays, first: date) -> frozenset[date]:
    """Return the due days of the month that begins with *first*."""
    month = [day for day in _from(first) if day.weekday() in days.weekdays and not days.is_holiday(day)]
    if not days.of_month:
        return frozenset(month)
    return frozenset(day for at, day in enumerate(month) if at + 1 in days.of_month or at - len(month) in days.of_month)


def _from(first: date) -> Iterator[date]:
    """Yield the days of the month that begins with *first*."""
    day = first
    while day.month == first.month:
        yield day
        day += _ONE


def _moments(day: date, minutes: int, zone: tzinfo) -> tuple[float, float]:
    """Return the two Unix times that a time on the wall can mean; on all nights but two they are the same."""
    days, left = divmod(minutes, DAY)
    wall = datetime.combine(day + timedelta(days=days), time(left // 60, left % 60), zone)
    return wall.timestamp(), wall.replace(fold=1).timestamp()
