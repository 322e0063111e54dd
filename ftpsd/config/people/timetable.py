"""
The key `hours`: a span of days and times as written, alone or in a list.
"""

from __future__ import annotations

import re
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import Annotated, Any, Final, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema

from ftpsd.config.fields import Section
from ftpsd.config.units import describe
from ftpsd.values.login.hours import DAY, DAYS, Hours

# More spans than a week has working shifts; each login looks through them.
MAX_SPANS: Final = 50
_TIME: Final = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])")


def check_days(value: object) -> frozenset[int]:
    """Accept a list of days and of runs of days, such as [mon-fri, sun]."""
    if not isinstance(value, list):
        raise ValueError(f"must be a list such as [mon, tue] or [mon-fri], not {describe(value)}")
    days: set[int] = set()
    for word in value:
        first, dash, last = word.partition("-") if isinstance(word, str) else ("", "", "")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"{describe(word)} is no day; write some of {', '.join(DAYS)}, or a run such as mon-fri")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        days |= {day % 7 for day in range(begin, (end if end >= begin else end + 7) + 1)}
    if not days:
        raise ValueError("must not be empty; name at least one day, or leave it out for all of them")
    return frozenset(days)


def check_time(value: object) -> int:
    """Accept a time of day such as 06:00, also 24:00; return the minutes after midnight."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    minutes = int(match[1]) * 60 + int(match[2]) if match else DAY + 1
    if minutes > DAY:
        raise ValueError(f'{describe(value)} is no time of day; write one such as "06:00", or "24:00" for midnight')
    return minutes


def check_begin(value: object) -> int:
    """Accept a time of day at which something can begin."""
    minutes = check_time(value)
    if minutes == DAY:
        raise ValueError('24:00 is the end of a day; write "00:00", with the day that begins then')
    return minutes


def check_zone(value: object) -> str:
    """Accept the name of a time zone that this system knows."""
    if not isinstance(value, str) or zone_called(value) is None:
        raise ValueError(
            f"{describe(value)} is no time zone that this system knows; write one such as Europe/Berlin or UTC "
            "(from the package tzdata; old names such as US/Eastern are in tzdata-legacy)"
        )
    return value


@lru_cache(maxsize=1024)
def zone_called(name: str) -> tzinfo | None:
    """Return the time zone called *name*, None for one that is not known."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None


_TIME_SCHEMA: Final[dict[str, Any]] = {"type": "string", "pattern": r"^([01]?[0-9]|2[0-4]):[0-5][0-9]$"}
_DAY_SCHEMA: Final[dict[str, Any]] = {"type": "string", "pattern": f"^({'|'.join(DAYS)})(-({'|'.join(DAYS)}))?$"}
_Days = Annotated[
    frozenset[int], PlainValidator(check_days), WithJsonSchema({"type": "array", "items": _DAY_SCHEMA, "minItems": 1})
]
_Begin = Annotated[int, PlainValidator(check_begin), WithJsonSchema(_TIME_SCHEMA)]
_Time = Annotated[int, PlainValidator(check_time), WithJsonSchema(_TIME_SCHEMA)]
_Zone = Annotated[str, PlainValidator(check_zone), WithJsonSchema({"type": "string", "pattern": r"\S"})]


class HoursEntry(Section):
    """One span of hours as written."""

    days: _Days = Field(default=frozenset(range(7)), json_schema_extra={"default": list(DAYS)})
    # "from" is no name in Python.
    begin: _Begin = Field(default=0, alias="from", json_schema_extra={"default": "00:00"})
    end: _Time = Field(default=DAY, alias="to", json_schema_extra={"default": "24:00"})
    zone: _Zone = "UTC"

    @model_validator(mode="after")
    def _holds_time(self) -> Self:
        if self.begin == self.end:
            raise ValueError("from and to are the same time; leave both out for the whole day")
        return self

    def hours(self) -> Hours:
        """Return the span as a value."""
        zone = zone_called(self.zone)
        assert zone is not None
        return Hours(self.days, self.begin, self.end, zone, self.zone)


class _OneOrMore:
    """The schema of a list that may be written as its one entry."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = handler(schema)
        return {"anyOf": [found["items"], found]}


Timetable = Annotated[
    tuple[HoursEntry, ...],
    Field(max_length=MAX_SPANS),
    BeforeValidator(lambda value: [value] if isinstance(value, dict) else value),
    _OneOrMore(),
]
