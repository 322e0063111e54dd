"""
The sections `accept`, `scanning` and `quarantine` of ftpsd.yaml: what is taken under which path.

All rules that match a path hold for it, in their order, and each of them has to take the file. So a further rule never
opens what another one closes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, PlainValidator, StrictStr, WithJsonSchema

from ftpsd.config.accept.engines import EngineField
from ftpsd.config.fields import Duration, FilePath, NotEmpty, Room, Section, check_filled
from ftpsd.config.parsing.document import Key
from ftpsd.config.people.path_pattern import check_pattern
from ftpsd.config.units import describe

Policy = Literal["refuse", "accept", "quarantine"]
# Why no verdict was to be had.
REASONS: Final = ("down", "over_limit", "encrypted")
_POLICIES: Final = ("refuse", "accept", "quarantine")


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The fate of a file on which there is no verdict, by the reason."""

    down: Policy = "refuse"
    over_limit: Policy = "refuse"
    encrypted: Policy = "refuse"


def check_unavailable(value: object) -> Unavailable:
    """Accept one word for all reasons, or a word for each."""
    if isinstance(value, Unavailable):
        return value
    words: Any = dict.fromkeys(REASONS, value) if isinstance(value, str) else value
    if not (isinstance(words, dict) and words and words.keys() <= set(REASONS)):
        words = {}
    if words and all(word in _POLICIES for word in words.values()):
        return Unavailable(**words)
    choices = "refuse, accept or quarantine"
    raise ValueError(f"{describe(value)} is not {choices}, nor these by {', '.join(REASONS)}")


_UNAVAILABLE_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {"enum": [*_POLICIES]},
        {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {reason: {"enum": [*_POLICIES]} for reason in REASONS},
        },
    ]
}

Pattern = Annotated[str, PlainValidator(check_pattern), WithJsonSchema({"type": "string", "pattern": "^/"})]


def check_name_pattern(value: object) -> str:
    """Accept a pattern of one name, with * and ?."""
    if not isinstance(value, str) or not value or "/" in value or not value.isprintable():
        raise ValueError(f"{describe(value)} is not the pattern of a name; write one such as *.csv")
    return value


NamePattern = Annotated[
    str, PlainValidator(check_name_pattern), WithJsonSchema({"type": "string", "pattern": "^[^/]+$"})
]


def check_extension(value: object) -> str:
    """Accept the extension of a name, without its dot."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,20}", value):
        raise ValueError(f"{describe(value)} is not a type; write the extension of such files, as in pdf")
    return value.casefold()


def check_program(value: tuple[str, ...]) -> tuple[str, ...]:
    """Accept an argument vector that begins with an absolute path."""
    if value and (not value[0].startswith("/") or any("\0" in argument for argument in value)):
        raise ValueError(
            "must be a list of arguments that begins with the absolute path of a program; no shell runs it"
        )
    return value


_EXTENSION_SCHEMA: Final[dict[str, Any]] = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,20}$"}
Extension = Annotated[str, PlainValidator(check_extension), WithJsonSchema(_EXTENSION_SCHEMA)]


class AcceptRule(Section):
    """All that is asked of every file that is to have a name under *paths*."""

    paths: Annotated[tuple[Pattern, ...], AfterValidator(check_filled), NotEmpty]
    scan: tuple[EngineField, ...] = ()
    names: tuple[NamePattern, ...] = ()
    types: tuple[Extension, ...] = ()
    max_size: Room | None = None
    program: Annotated[tuple[StrictStr, ...], AfterValidator(check_program)] = ()
    when_unavailable: Annotated[Unavailable, PlainValidator(check_unavailable), WithJsonSchema(_UNAVAILABLE_SCHEMA)] = (
        Field(default=Unavailable(), json_schema_extra={"default": "refuse"})
    )
    on_refusal: Literal["quarantine", "discard"] = "quarantine"
    accept: Literal["judged", "hidden"] = "judged"

    @property
    def asks_something(self) -> bool:
        """Whether it asks anything of a file."""
        return bool(self.scan or self.names or self.types or self.max_size is not None or self.program)


class Scanning(Section):
    """
    The patience with engines, in seconds, and the bytes beyond which none of them is asked; None: any number.

    *hidden_for* is how many seconds a hidden upload waits for a verdict.
    """

    timeout: Duration = 120.0
    limit: Room | None = None
    hidden_for: Duration = 86400.0


class QuarantineSection(Section):
    """The place of refused files, the bytes that fit into it, and the seconds that one stays."""

    directory: FilePath = Field(default=Path("/var/lib/ftpsd/quarantine"), validate_default=True)
    max_size: Room = Field(default=10 << 30, json_schema_extra={"default": "10GiB"})
    keep: Duration = 30 * 86400.0


def accept_contradictions(rules: tuple[AcceptRule, ...], mode: str) -> Iterator[tuple[Key, str]]:
    """Yield a key and a sentence for each rule that asks nothing, or that uploads in the *mode* would go past."""
    if rules and mode == "direct":
        yield ("accept",), "does not go with uploads.mode: direct, which publishes bytes while they come in; remove one"
    for number, rule in enumerate(rules):
        if not rule.asks_something:
            yield (
                ("accept", number),
                "asks nothing of a file; add scan, names, types, max_size or program, or remove it",
            )
        elif rule.accept == "hidden" and not (rule.scan or rule.program):
            yield ("accept", number, "accept"), "hides files until they are judged; add scan or program, or remove it"
