"""
The section `expectations` of ftpsd.yaml: files that are to come, from whom, on which days, and by when.
"""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, PlainValidator, StrictInt, StrictStr, WithJsonSchema, model_validator

from ftpsd.config.automation.holiday_calendars import country_calendar
from ftpsd.config.fields import Duration, DurationOrZero, NotEmpty, Room, Section, check_filled
from ftpsd.config.keeping_rules import NonEmptyText, check_pattern
from ftpsd.config.people.timetable import check_begin, check_days, check_time, check_zone, zone_called
from ftpsd.config.units import describe
from ftpsd.values.due_days import DueDays
from ftpsd.values.login.hours import DAYS
from ftpsd.values.text import has_control

# Files of one window; their names are remembered until it is over.
MOST_FILES: Final = 1000
MOST_COMPANIONS: Final = 5
MOST_EXPECTATIONS: Final = 500
BUSINESS: Final = "business-days"
_WEEKEND: Final = frozenset({5, 6})
_DAY_NAMES: Final = "|".join(DAYS)


def check_due_days(value: object) -> frozenset[int] | Literal["business-days"]:
    """Accept a list of days of the week, or `business-days`."""
    if value == BUSINESS:
        return BUSINESS
    try:
        return check_days(value)
    except ValueError as error:
        raise ValueError(f"{error}; or write {BUSINESS}") from None


def check_date(value: object) -> date:
    """Accept a date such as 2026-12-24."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError(f"{describe(value)} is no date; write one such as 2026-12-24")


def check_place(value: object) -> int:
    """Accept the place of a due day in its month, from the beginning or, below 0, from the end."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= abs(value) <= 31:
        return value
    raise ValueError(f"{describe(value)} is no place in a month; write 1 for the first due day, -1 for the last")


def check_companion(value: object) -> str:
    """Accept the name of a companion: a file name with one star, which stands for the name of the file."""
    is_name = isinstance(value, str) and 1 < len(value) <= 255 and "/" not in value and not has_control(value)
    if not is_name or str(value).count("*") != 1 or "?" in str(value):
        raise ValueError(f"{describe(value)} names no companion; write one such as *.done, with one star")
    return str(value)


def _text(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


_TIME: Final = _text(r"^([01]?[0-9]|2[0-4]):[0-5][0-9]$")
ExpectationName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,47}$")]
PathPattern = Annotated[str, PlainValidator(check_pattern), WithJsonSchema(_text("^/"))]
_Due = Annotated[
    frozenset[int] | Literal["business-days"],
    PlainValidator(check_due_days),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": BUSINESS},
                {"type": "array", "items": _text(f"^({_DAY_NAMES})(-({_DAY_NAMES}))?$"), "minItems": 1},
            ]
        }
    ),
]
Date = Annotated[date, PlainValidator(check_date), WithJsonSchema(_text(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
Dates = Annotated[tuple[Date, ...], Field(max_length=1000)]
Place = Annotated[int, PlainValidator(check_place), WithJsonSchema({"type": "integer", "minimum": -31, "maximum": 31})]
Companion = Annotated[str, PlainValidator(check_companion), WithJsonSchema(_text(r"^[^/*?]*\*[^/*?]*$"))]
FileCount = Annotated[StrictInt, Field(ge=1, le=MOST_FILES)]


class Holidays(Section):
    """The holidays of a country, of a part of it, with more of them and with some that are none."""

    country: Annotated[StrictStr, Field(pattern=r"^[A-Z]{2,3}$")] | None = None
    subdivision: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9 _-]{1,40}$")] | None = None
    dates: Dates = ()
    working: Dates = ()


class SizeBounds(Section):
    """The sizes that a file may have, in bytes."""

    min: Room | None = None
    max: Room | None = None


class Expectation(Section):
    """Files that are to come."""

    name: ExpectationName
    path: PathPattern
    user: NonEmptyText
    host: NonEmptyText | None = None
    days: _Due = Field(default=frozenset(range(7)), json_schema_extra={"default": list(DAYS)})
    of_month: Annotated[tuple[Place, ...], AfterValidator(check_filled), NotEmpty] | None = None
    holidays: Holidays | None = None
    # "from" is no name in Python.
    begin: Annotated[int, PlainValidator(check_begin), WithJsonSchema(_TIME)] = Field(
        default=0, alias="from", json_schema_extra={"default": "00:00"}
    )
    by: Annotated[int, PlainValidator(check_time), WithJsonSchema(_TIME)]
    zone: Annotated[str, PlainValidator(check_zone), WithJsonSchema(_text(r"\S"))] = "UTC"
    count: FileCount = 1
    size: SizeBounds = SizeBounds()
    companions: Annotated[tuple[Companion, ...], Field(max_length=MOST_COMPANIONS)] = ()
    grace: DurationOrZero = 0.0
    warn: Duration | None = 1800.0

    @model_validator(mode="after")
    def _holds_time(self) -> Self:
        if self.begin == self.by:
            raise ValueError('from and by are the same time; for a whole day write by: "24:00"')
        least, most = self.size.min, self.size.max
        if least is not None and most is not None and least > most:
            raise ValueError("size.min is above size.max, so that no file fits")
        return self


@lru_cache(maxsize=MOST_EXPECTATIONS)
def digest_of(expectation: Expectation) -> str:
    """Return a mark of *expectation*, another one when anything of it has changed."""
    return hashlib.sha256(repr(expectation).encode()).hexdigest()[:16]


@lru_cache(maxsize=MOST_EXPECTATIONS)
def due_days(expectation: Expectation) -> DueDays:
    """Return the due days of *expectation*."""
    section = expectation.holidays or Holidays()
    calendar = None if section.country is None else country_calendar(section.country, section.subdivision)
    more, working = frozenset(section.dates), frozenset(section.working)

    def is_holiday(day: date) -> bool:
        return day not in working and (day in more or (calendar is not None and calendar.is_holiday(day)))

    days = expectation.days
    if days == BUSINESS:
        weekend = _WEEKEND if calendar is None else calendar.weekend
        days = frozenset(range(7)) - weekend
    assert isinstance(days, frozenset)
    zone = zone_called(expectation.zone) or ZoneInfo("UTC")
    return DueDays(days, is_holiday, expectation.begin, expectation.by, zone, expectation.of_month or ())
