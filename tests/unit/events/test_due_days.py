"""Due days by tables: both changes of the clocks, windows over midnight, a year of business days."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from ftpsd.config.automation.expectation_sections import Expectation, due_days
from ftpsd.values.due_days import DueDays


def days(**keys: Any) -> DueDays:
    """Return the due days of an expectation with *keys*."""
    return due_days(Expectation.model_validate({"name": "a", "path": "/a", "user": "u", "by": "09:00", **keys}))


def utc(moment: float) -> str:
    """Return a Unix time as it is written in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%d %H:%M")


def test_windows_follow_the_wall_also_when_the_clocks_change() -> None:
    """The window is as long as the wall says, and never shorter where a time is left out or comes twice."""
    table = [
        # zone, day, from, by, opens and due in UTC
        ("UTC", date(2026, 3, 29), "06:00", "09:00", "29 06:00", "29 09:00"),
        ("Europe/Berlin", date(2026, 3, 28), "06:00", "09:00", "28 05:00", "28 08:00"),
        ("Europe/Berlin", date(2026, 3, 29), "06:00", "09:00", "29 04:00", "29 07:00"),
        # 02:30 is left out: an hour earlier at the beginning, an hour later at the end.
        ("Europe/Berlin", date(2026, 3, 29), "02:30", "09:00", "29 00:30", "29 07:00"),
        ("Europe/Berlin", date(2026, 3, 29), "00:00", "02:30", "28 23:00", "29 01:30"),
        # 02:30 comes twice: the first at the beginning, the second at the end.
        ("Europe/Berlin", date(2026, 10, 25), "02:30", "09:00", "25 00:30", "25 08:00"),
        ("Europe/Berlin", date(2026, 10, 25), "00:00", "02:30", "24 22:00", "25 01:30"),
        ("Europe/Berlin", date(2026, 10, 25), "00:00", "24:00", "24 22:00", "25 23:00"),
        ("Europe/Berlin", date(2026, 3, 29), "00:00", "24:00", "28 23:00", "29 22:00"),
        ("America/New_York", date(2026, 3, 8), "01:00", "03:00", "08 06:00", "08 07:00"),
        ("America/New_York", date(2026, 11, 1), "01:30", "03:00", "01 05:30", "01 08:00"),
        ("Australia/Lord_Howe", date(2026, 4, 5), "00:00", "01:45", "04 13:00", "04 15:15"),
        # Over midnight, by day of the beginning.
        ("Europe/Berlin", date(2026, 3, 28), "22:00", "06:00", "28 21:00", "29 04:00"),
        ("Europe/Berlin", date(2026, 10, 24), "22:00", "02:30", "24 20:00", "25 01:30"),
        ("Asia/Kolkata", date(2026, 12, 31), "23:30", "00:30", "31 18:00", "31 19:00"),
    ]
    for zone, day, begin, by, opens, due in table:
        window = days(zone=zone, **{"from": begin, "by": by}).window(day)
        assert (utc(window.opens), utc(window.due)) == (opens, due), (zone, day, begin, by)


def test_each_deadline_of_a_year_is_at_its_time_on_the_wall() -> None:
    """365 windows, 365 deadlines at nine, and none of them overlap or leave a gap of a day."""
    zone = ZoneInfo("Europe/Berlin")
    found = [*days(zone="Europe/Berlin").windows(date(2026, 1, 1), date(2026, 12, 31))]
    assert len(found) == 365
    assert {datetime.fromtimestamp(window.due, zone).strftime("%H:%M") for window in found} == {"09:00"}
    lengths = {round(after.due - before.due) for before, after in pairwise(found)}
    assert lengths == {23 * 3600, 24 * 3600, 25 * 3600}


def test_business_days_of_a_year() -> None:
    """A year of business days, of countries with other weekends and other holidays, and by a list."""
    bavaria = {"country": "DE", "subdivision": "BY"}
    table: list[tuple[dict[str, Any], int]] = [
        ({"days": ["mon-fri"]}, 261),
        ({"days": "business-days"}, 261),
        ({"days": "business-days", "holidays": {"dates": ["2026-12-24", "2026-12-25"]}}, 259),
        ({"days": "business-days", "holidays": {"country": "DE"}}, 254),
        ({"days": "business-days", "holidays": bavaria}, 252),
        ({"days": "business-days", "holidays": {**bavaria, "dates": ["2026-12-24"]}}, 251),
        ({"days": "business-days", "holidays": {**bavaria, "working": ["2026-01-06"]}}, 253),
        ({"days": ["mon-sun"], "holidays": {"country": "DE"}}, 365 - 9),
    ]
    for keys, count in table:
        found = [*days(**keys).windows(date(2026, 1, 1), date(2026, 12, 31))]
        assert len(found) == count, (keys, len(found))
    israel = days(days="business-days", holidays={"country": "IL"})
    assert [israel.include(date(2026, 11, day)) for day in range(1, 8)] == [True] * 5 + [False] * 2  # Sunday first
    assert not days(holidays={"country": "DE"}).include(date(2026, 10, 3))
    assert not days(holidays={"country": "US"}).include(date(2026, 7, 3)), "the fourth is a Saturday: observed"


def test_places_in_the_month_count_due_days() -> None:
    """The first and the last business day of each month, and the third one."""
    german = {"country": "DE"}
    ends = days(days="business-days", holidays=german, of_month=[1, -1])
    found = [str(window.day) for window in ends.windows(date(2026, 1, 1), date(2026, 5, 31))]
    assert found == [
        *("2026-01-02", "2026-01-30", "2026-02-02", "2026-02-27", "2026-03-02"),
        *("2026-03-31", "2026-04-01", "2026-04-30", "2026-05-04", "2026-05-29"),
    ]
    third = days(days="business-days", of_month=[3])
    assert [str(window.day) for window in third.windows(date(2026, 8, 1), date(2026, 9, 30))] == [
        "2026-08-05",
        "2026-09-03",
    ]
    fridays = days(days=["fri"], of_month=[-1])
    assert [str(each.day) for each in fridays.windows(date(2026, 12, 1), date(2026, 12, 31))] == ["2026-12-25"]
