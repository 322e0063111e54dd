"""
The section `jobs` of ftpsd.yaml: files pulled from and pushed to partners, and backups, by the clock or on an event.

A moment is a cron expression in a time zone; cronsim decides what the change to and from summer time does with it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, PlainValidator, StrictInt, StrictStr, WithJsonSchema

from ftpsd.config.automation.event_sinks import Names
from ftpsd.config.automation.partner_sections import PartnerName
from ftpsd.config.fields import Count, Duration, FilePath, NotEmpty, Section, Switch, check_filled
from ftpsd.config.keeping_rules import NonEmptyText, Patterns
from ftpsd.config.units import describe
from ftpsd.values.path import PathError, VirtualPath
from ftpsd.values.text import has_control


def check_cron(value: object) -> str:
    """Accept a cron expression of five fields that comes true at some time."""
    if isinstance(value, str) and len(value.split()) == 5:
        try:
            next(CronSim(value, datetime(2026, 1, 1, tzinfo=UTC)))
        except (CronSimError, StopIteration):
            pass
        else:
            return value
    raise ValueError(f'{describe(value)} is no cron expression; write one such as "30 2 * * *" (at 2:30)')


def check_zone(value: object) -> str:
    """Accept the name of a time zone."""
    if isinstance(value, str):
        try:
            ZoneInfo(value)
        except (ValueError, OSError, KeyError):
            pass
        else:
            return value
    raise ValueError(f"{describe(value)} is no time zone; write one such as Europe/Berlin")


def check_place(value: object) -> str:
    """Accept the absolute path of a directory, as its server has it."""
    if isinstance(value, str) and value.startswith("/") and not has_control(value):
        try:
            return str(VirtualPath.parse(value))
        except PathError:
            pass
    raise ValueError(f"{describe(value)} is no path of a directory; write one from / on")


def check_name_pattern(value: object) -> str:
    """Accept a pattern of file names, with * and ?."""
    if isinstance(value, str) and 0 < len(value) <= 255 and "/" not in value and not has_control(value):
        return value
    raise ValueError(f'{describe(value)} is no pattern of file names; write one such as "*.csv"')


def _text(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


Cron = Annotated[str, PlainValidator(check_cron), WithJsonSchema(_text(r"^\S+( +\S+){4}$"))]
Zone = Annotated[str, PlainValidator(check_zone), WithJsonSchema(_text("^[A-Za-z0-9_+/-]+$"))]
Place = Annotated[str, PlainValidator(check_place), WithJsonSchema(_text("^/"))]
NamePatterns = Annotated[
    tuple[Annotated[str, PlainValidator(check_name_pattern), WithJsonSchema(_text("^[^/]{1,255}$"))], ...],
    AfterValidator(check_filled),
    NotEmpty,
]
JobName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,47}$")]
Depth = Annotated[StrictInt, Field(ge=1, le=64)]
MostFiles = Annotated[StrictInt, Field(ge=1, le=100_000)]
DAY: Final = 86400.0


class JobEvent(Section):
    """The events behind which a job runs: of *events*, about *paths* of *users*."""

    events: Names = ("file-stored",)
    paths: Patterns | None = None
    users: tuple[NonEmptyText, ...] = ()


class Moving(Section):
    """
    The files that a job moves, between a directory of a partner and one of a user.

    With *recursive* also those of the directories below, so many of them in one another as *depth* says.
    """

    partner: PartnerName
    user: NonEmptyText
    host: StrictStr = ""
    source: Place
    target: Place
    files: NamePatterns = ("*",)
    recursive: Switch = False
    depth: Depth = 16
    after: Literal["leave", "delete", "archive"] = "leave"
    archive: Place | None = None
    overwrite: Switch = True
    most: MostFiles = 10_000


class BackupJob(Section):
    """A backup of everything to *directory*, or to the directory *target* of a *partner*."""

    directory: FilePath | None = None
    partner: PartnerName | None = None
    target: Place | None = None
    homes: Switch = True
    keys: Switch | None = None
    also: tuple[FilePath, ...] = ()
    keep: Count = 14
    keep_for: Duration | None = None


class Job(Section):
    """One job: when it runs, what it does, and what happens when it cannot."""

    name: JobName
    at: Cron | None = None
    time_zone: Zone = "UTC"
    on: JobEvent | None = None
    pull: Moving | None = None
    push: Moving | None = None
    backup: BackupJob | None = None
    missed: Literal["once", "skip"] = "once"
    overlap: Literal["skip", "queue"] = "skip"
    attempts: Annotated[StrictInt, Field(ge=1, le=100)] = 5
    longest_pause: Duration = 900.0
    time_limit: Duration = DAY

    @property
    def kind(self) -> str:
        """Return which of the three it is."""
        return "pull" if self.pull is not None else "push" if self.push is not None else "backup"

    @property
    def moving(self) -> Moving | None:
        """Return the files it moves."""
        return self.pull or self.push
