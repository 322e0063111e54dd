"""
An event as one line of JSON.

The line is flat: `time`, `event`, the session's facts, then the event's own fields under their own names; fields of
*who* that are None or empty are left out. Keys are ours, text typed by a client is a value. The bytes are plain ASCII
with
every control character escaped, so a line stays one line in any terminal, pager or shipper.
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
from json.encoder import encode_basestring_ascii
from math import isfinite

from ftpsd.audit.events import Event, Who
from ftpsd.values.handshake import TLSFacts

# 1234.567891: more digits of a duration are noise.
_DIGITS_OF_SECONDS = 6

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def encode_event(event: Event, seconds: float) -> bytes:
    """Return the line, with its line end, for *event* at the Unix time *seconds*."""
    # By hand: json's encoder builds itself anew for every line, and half of the log's processor time went there.
    line = [f'{{"time":"{format_time(seconds)}","event":"{event.event}"']
    _add_who(line, event.who)
    for name, key in _own_fields(type(event)):
        value = getattr(event, name)
        if value is not None:
            line += (key, _json(value))
    line.append("}\n")
    return "".join(line).encode("ascii")


def encode_lost(count: int, seconds: float) -> bytes:
    """Return the line that admits that *count* lines before it are missing."""
    return _encode({"time": format_time(seconds), "event": "audit-lost", "lost": count}).encode("ascii") + b"\n"


def format_time(seconds: float) -> str:
    """Return a Unix time as RFC 3339 in UTC, with microseconds."""
    whole, micro = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{_second(whole)}.{micro:06d}Z"


def _add_who(line: list[str], who: Who) -> None:
    for key, value in (
        (',"session":', who.session),
        (',"user":', who.user),
        (',"peer":', who.peer),
        (',"listener":', who.listener),
    ):
        if value:
            line += (key, _text(value))
    if who.host:
        line += (',"host":', _text(who.host))


def _json(value: object) -> str:
    """Return *value* as JSON that nests nothing."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"an event holds {value}, which JSON cannot say")
        return repr(round(value, _DIGITS_OF_SECONDS))
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, TLSFacts):
        # The group of the key exchange is a field of `tls-established`: what follows "resumed" would break readers.
        return _text(f"{value.version} {value.cipher} {'resumed' if value.resumed else 'full'}")
    raise TypeError(f"an event holds a {type(value).__name__}")


def _text(value: str) -> str:
    text: str = encode_basestring_ascii(value if value.isascii() else _without_lone_surrogates(value))
    return text


def _without_lone_surrogates(text: str) -> str:
    r"""
    Return *text* with each byte that was not UTF-8 spelt as ``\xff``.

    JSON can spell a lone surrogate, but strict readers (serde, so some log shippers) then refuse the whole line: a
    client could hide what it does behind one odd byte.
    """
    return _LONE_SURROGATE.sub(_spell, text)


def _spell(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


_fields_of: dict[type[Event], tuple[tuple[str, str], ...]] = {}


def _own_fields(kind: type[Event]) -> tuple[tuple[str, str], ...]:
    """Return the names of an event's own fields, each with the text that stands before its value."""
    fields = _fields_of.get(kind)
    if fields is None:
        names = (field.name for field in dataclasses.fields(kind) if field.name != "who")
        fields = _fields_of[kind] = tuple((name, f',"{name}":') for name in names)
    return fields


_last_second: tuple[int, str] = (0, "1970-01-01T00:00:00")


def _second(whole: int) -> str:
    # Events come many to the second and in order: the text of the last second is nearly always the one asked for. One
    # tuple, replaced whole, so that a second log's thread can never read one half of it.
    global _last_second
    second, text = _last_second
    if second != whole:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        _last_second = (whole, text)
    return text
