"""
Hours: the days and times at which a user may be there, by the clock on the wall of a time zone.

The wall decides: on the night the clocks go back, an hour that comes twice counts twice, and one that is left out in
spring is not there. A span that ends at or before its beginning passes midnight, and belongs to the day it begins on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class Hours:
    """
    A span of every one of *days* (0 is Monday), from *begin* up to *end*, minutes after midnight in *zone*.

    *zone_name* is how the file writes the zone.
    """

    days: frozenset[int]
    begin: int
    end: int
    zone: tzinfo
    zone_name: str

    def include(self, moment: datetime) -> bool:
        """Return whether *moment*, which has a time zone, lies in them."""
        wall = moment.astimezone(self.zone)
        day, minute = wall.weekday(), wall.hour * 60 + wall.minute
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        return (day in self.days and minute >= self.begin) or ((day - 1) % 7 in self.days and minute < self.end)

    def __str__(self) -> str:
        return f"{self._written_days()} {_time(self.begin)}-{_time(self.end)} {self.zone_name}"

    def _written_days(self) -> str:
        """Write runs of three days and more as `mon-fri`."""
        runs: list[list[int]] = []
        for day in sorted(self.days):
            if runs and runs[-1][-1] == day - 1:
                runs[-1].append(day)
            else:
                runs.append([day])
        words = [[f"{DAYS[run[0]]}-{DAYS[run[-1]]}"] if len(run) > 2 else [DAYS[day] for day in run] for run in runs]
        return ",".join(word for run in words for word in run)


def are_now(hours: tuple[Hours, ...], moment: datetime) -> bool:
    """Return whether *moment* lies in one of *hours*; none at all are all the time."""
    return not hours or any(each.include(moment) for each in hours)


def _time(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
