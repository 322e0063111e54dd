"""
The forms of an audit line: JSON for programs, text for people, and the transfer log of wu-ftpd.

A form makes a line, with its line end, of an event, or None of one that has no place in it, and the line that admits
lost ones, b"" where the form knows none.
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Iterator
from typing import Final, Protocol

from ftpsd.audit.events import Event, FileSent, FileStored
from ftpsd.audit.jsonline import encode_event, encode_lost, format_time
from ftpsd.audit.topics.tree_events import FileDeleted
from ftpsd.values.direction import Result
from ftpsd.values.handshake import TLSFacts

# The texts that can stand without quotes.
_PLAIN: Final = re.compile(r'[^\s"=\x00-\x1f\x7f-\x9f\ud800-\udfff]+')
# Of a session's facts, what nobody looks for first.
_LAST: Final = ("session", "listener", "host")


class LineForm(Protocol):
    """The form of the lines of one log."""

    def line(self, event: Event, seconds: float, /) -> bytes | None:
        """Return the line of *event*, which happened at the Unix time *seconds*."""

    def lost(self, count: int, seconds: float, /) -> bytes:
        """Return the line that admits that *count* lines before it are missing."""


class JSONLines:
    """One flat JSON object a line."""

    def line(self, event: Event, seconds: float, /) -> bytes:
        """Return the line of *event*."""
        return encode_event(event, seconds)

    def lost(self, count: int, seconds: float, /) -> bytes:
        """Return the line that admits lost ones."""
        return encode_lost(count, seconds)


class TextLines:
    """
    One line for people: time, event, user and address, then names and values.

    Text that a client has typed stands in quotes where it is more than one plain word, with JSON's escapes, so that a
    line stays one line and no value looks like a name.
    """

    def line(self, event: Event, seconds: float, /) -> bytes:
        """Return the line of *event*."""
        return f"{format_time(seconds)} {told(event)}\n".encode()

    def lost(self, count: int, seconds: float, /) -> bytes:
        """Return the line that admits lost ones."""
        return f"{format_time(seconds)} audit-lost lost={count}\n".encode()


class TransferLines:
    """
    The lines of xferlog(5), which wu-ftpd began and statistics programs read: whole and partial transfers, deletions.

    The time is local, as there. A path with a blank has `_` for it, since blanks separate the fields.
    """

    def line(self, event: Event, seconds: float, /) -> bytes | None:
        """Return the line of a transfer or deletion."""
        if not isinstance(event, FileSent | FileStored | FileDeleted) or event.who.user is None:
            return None
        if isinstance(event, FileDeleted):
            took, size, direction, is_complete = 0.0, event.bytes or 0, "d", True
        elif event.result is Result.REFUSED:
            return None  # it never began
        else:
            took, size, is_complete = event.seconds, event.bytes, event.result is Result.COMPLETE
            direction = "o" if isinstance(event, FileSent) else "i"
        when = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(seconds))
        # type b: binary, flag _: nothing done, access r: a real user, method 0: no RFC 931, id *: none
        fields = (when, f"{round(took)}", event.who.peer or "-", f"{size}", _unspaced(event.path), "b", "_", direction)
        rest = ("r", _unspaced(event.who.user), "ftp", "0", "*", "c" if is_complete else "i")
        return (" ".join((*fields, *rest)) + "\n").encode("utf-8", "replace")

    def lost(self, count: int, seconds: float, /) -> bytes:
        """Return nothing: a reader would take it for a transfer."""
        return b""


JSON_LINES: Final = JSONLines()
TEXT_LINES: Final = TextLines()
TRANSFER_LINES: Final = TransferLines()


def told(event: Event) -> str:
    """Return *event* as text for people, without the time."""
    who = event.who
    client = "@".join(each for each in (_word(who.user or ""), who.peer) if each and each != '""')
    return " ".join(part for part in (event.event, client, *_pairs(event)) if part)


def fields_of(event: Event) -> Iterator[tuple[str, str]]:
    """Yield the names and texts of the fields of *event*, those of the session behind its own; none that is empty."""
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        if field.name != "who" and value is not None:
            yield field.name, _text(value)
    for name in _LAST:
        if value := getattr(event.who, name):
            yield name, value


def _pairs(event: Event) -> Iterator[str]:
    for name, text in fields_of(event):
        yield f"{name}={_word(text)}"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, TLSFacts):
        return f"{value.version} {value.cipher} {'resumed' if value.resumed else 'full'}"
    return str(value)


def _word(text: str) -> str:
    """Return *text* as it is where it is one plain word, else in quotes."""
    if _PLAIN.fullmatch(text) and text.isprintable():
        return text
    # ASCII only: letters that look like quotes or turn the direction of writing are spelt out.
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _unspaced(text: str) -> str:
    """Return *text* without blanks and control characters, as wu-ftpd writes it."""
    return "".join(letter if letter.isprintable() and not letter.isspace() else "_" for letter in text) or "_"
