"""
The section `events` of ftpsd.yaml: which events are kept, and the sinks that they are delivered to.

It has no secret in it: those stand in files that it names.
"""

from __future__ import annotations

import re
import string
from typing import Annotated, Any, Final, Literal, Protocol, get_args

from pydantic import AfterValidator, Field, PlainValidator, StrictInt, StrictStr, WithJsonSchema

from ftpsd.config.fields import (
    Count,
    Duration,
    DurationOrZero,
    FilePath,
    NetworkField,
    NotEmpty,
    Section,
    Switch,
    Threads,
    check_filled,
)
from ftpsd.config.sources.source_sections import URL, is_host
from ftpsd.config.units import describe

RecordName = Literal[
    "file-stored",
    "file-copied",
    "files-combined",
    "file-sent",
    "file-deleted",
    "file-renamed",
    "upload-published",
    "upload-refused",
    "quarantine-released",
    "login-refused",
]
# Always recorded where anything is expected.
OutcomeName = Literal[
    "expectation-on-time",
    "expectation-late",
    "expectation-invalid",
    "expectation-missing",
    "expectation-warning",
]
EventName = Literal[RecordName, OutcomeName]
OUTCOMES: Final = frozenset(get_args(OutcomeName))
# Uploads that were judged, or let go, some time after they had come in: on record where uploads are.
PUBLISHED_LATER: Final = frozenset({"upload-published", "quarantine-released"})
# The fields that a template of a program may name; each is one word of an argument, whatever is in it.
FIELDS: Final = frozenset({"id", "event", "user", "path", "file", "size", "sha256"})
# Of WinSCP, of wget and browsers, of rclone, of many a script, and of lftp with xfer:use-temp-file.
TEMPORARY: Final = ("*.filepart", "*.part", "*.partial", "*.tmp", ".in.*.")
_SERVER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]{1,253}):([0-9]{1,5})")
# Good for subjects of NATS, routing keys of AMQP and topics of Kafka alike.
_TOPIC: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_PATTERN: Final = re.compile(r"[^/\x00-\x1f\x7f-\x9f]{1,255}")


def check_temporary(value: object) -> str:
    """Accept a pattern of file names."""
    if isinstance(value, str) and _PATTERN.fullmatch(value):
        if not value.strip("*"):
            raise ValueError(f"{describe(value)} would hold every upload back; write one such as *.filepart")
        return value
    raise ValueError(f"{describe(value)} is no pattern of file names; write one such as *.filepart")


def check_argument(value: object) -> str:
    """Accept an argument of a program, with fields in braces; {{ and }} are braces."""
    if isinstance(value, str) and "\0" not in value:
        try:
            parts = [*string.Formatter().parse(value)]
        except ValueError:
            raise ValueError(f"{describe(value)} has a single brace; write {{{{ or }}}} for one") from None
        for _, name, form, conversion in parts:
            if name is not None and (name not in FIELDS or form or conversion):
                known = ", ".join(sorted(FIELDS))
                raise ValueError(f"{{{name}}} is no field of an event; the fields are {known}")
        return value
    raise ValueError(f"{describe(value)} is no argument; put numbers in quotes")


def check_server_address(value: object) -> str:
    """Accept HOST:PORT."""
    match = _SERVER.fullmatch(value) if isinstance(value, str) else None
    if match is not None and 0 < int(match[2]) < 65536 and is_host(match[1].strip("[]")):
        return match[0]
    raise ValueError(f"{describe(value)} is not a server; write its name and port, such as nats.example.com:4222")


def check_topic(value: object) -> str:
    """Accept a subject, routing key or topic, in which {event} is filled in."""
    if isinstance(value, str) and _TOPIC.fullmatch(value.replace("{event}", "event")):
        return value
    raise ValueError(f"{describe(value)} is not a topic; write one such as ftpsd.{{event}}")


def _text(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


SinkName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,47}$")]
Temporary = Annotated[str, PlainValidator(check_temporary), WithJsonSchema(_text("^[^/]{1,255}$"))]
ServerAddress = Annotated[str, PlainValidator(check_server_address), WithJsonSchema(_text(":[0-9]{1,5}$"))]
Topic = Annotated[str, PlainValidator(check_topic), WithJsonSchema(_text(r"^[A-Za-z0-9._{}-]{1,200}$"))]
Argument = Annotated[str, PlainValidator(check_argument), WithJsonSchema({"type": "string"})]
Arguments = Annotated[tuple[Argument, ...], AfterValidator(check_filled), NotEmpty]
Names = Annotated[tuple[EventName, ...], AfterValidator(check_filled), NotEmpty]
RecordNames = Annotated[tuple[RecordName, ...], AfterValidator(check_filled), NotEmpty]
Kept = Annotated[StrictInt, Field(ge=1000, le=10_000_000)]


class Broker(Section):
    """A broker of messages, and where events go in it."""

    kind: Literal["nats", "amqp", "kafka"]
    servers: Annotated[tuple[ServerAddress, ...], AfterValidator(check_filled), NotEmpty]
    topic: Topic = "ftpsd.{event}"
    exchange: Annotated[StrictStr, Field(max_length=127)] = ""
    virtual_host: Annotated[StrictStr, Field(min_length=1, max_length=127)] = "/"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    tls: Switch = True
    user: Annotated[StrictStr, Field(min_length=1, max_length=255)] | None = None
    password_file: FilePath | None = None
    authority: FilePath | None = None


class EventSink(Section):
    """One receiver of events: a webhook, a program, a file or a broker."""

    name: SinkName
    only: Names | None = None
    webhook: URL | None = None
    secret_file: FilePath | None = None
    authority: FilePath | None = None
    allow_private: Switch = False
    networks: tuple[NetworkField, ...] = ()
    program: Arguments | None = None
    file: FilePath | None = None
    broker: Broker | None = None
    timeout: Duration | None = None
    attempts: Count = 200
    longest_pause: Duration = 900.0
    at_once: Threads = 4


class Events(Section):
    """The ledger of events, and its sinks."""

    record: RecordNames = ("file-stored", "file-copied", "files-combined")
    temporary: tuple[Temporary, ...] = TEMPORARY
    temporary_for: Duration = 86400.0
    keep: DurationOrZero = 2_592_000.0
    most: Kept = 1_000_000
    sinks: tuple[EventSink, ...] = ()


class Pacing(Protocol):
    """How a sink is delivered to: its *name*, how often an event is tried, how long pauses are, how many go at once."""

    @property
    def name(self) -> str:
        """The name under which cursor and rows are kept."""

    @property
    def attempts(self) -> int:
        """The failed attempts after which an event is a dead letter."""

    @property
    def longest_pause(self) -> float:
        """The longest pause between two attempts, in seconds."""

    @property
    def at_once(self) -> int:
        """The most deliveries at a time."""
