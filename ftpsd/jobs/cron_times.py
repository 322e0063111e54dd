"""
When a job is due: a cron expression in a time zone, as Unix times.

cronsim follows Debian's cron over a change of the clock: a fixed time that does not exist (2:30 in spring) is due once,
at the change (3:00); one that comes twice (2:30 in autumn) is due once; `*/30` follows the real time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim


def next_after(expression: str, zone: str, moment: float) -> float:
    """Return the first time behind *moment* at which *expression* is true in *zone*."""
    begin = datetime.fromtimestamp(moment, UTC).astimezone(ZoneInfo(zone))
    return next(CronSim(expression, begin)).timestamp()


def count_between(expression: str, zone: str, first: float, last: float, most: int = 1000) -> int:
    """Return how often it was due from *first*, which counts, to *last*; never more than *most*."""
    count, moment = 0, first
    while moment <= last and count < most:
        count += 1
        moment = next_after(expression, zone, moment)
    return count
