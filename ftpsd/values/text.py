"""
Text: how names and sentences become bytes, and which characters may stand in them.

A name is `str` holding UTF-8; a byte that is not UTF-8 survives as a surrogate escape, so every name on disk has
exactly one spelling here and comes back byte for byte. The locale is never asked.
A control character is C0, DEL or C1: it ends a line, moves a cursor or starts an escape sequence; U+009B does that as
ESC [ does, also in terminals that read UTF-8. Paths refuse them, listings skip names that hold them, replies write them
as "?". U+2028, U+2029 and the characters that turn the direction of text are no controls: FTP and terminals end no line
there, and honest names hold them.
"""

from __future__ import annotations

import re
import time

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# U+DC80 to U+DCFF carry raw bytes; every other surrogate has no byte form at all.
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udc7f\udd00-\udfff]")


def decode(data: bytes) -> str:
    """Read *data* as UTF-8, keeping bytes that are not."""
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """
    Return the bytes that `decode` read *text* from.

    Raises: UnicodeEncodeError for a surrogate that stands for no byte.
    """
    return text.encode("utf-8", "surrogateescape")


def has_control(text: str) -> bool:
    """Return whether *text* holds a control character."""
    # Almost every name is printable, and that check costs half of the search.
    return not text.isprintable() and _CONTROL.search(text) is not None


def without_control(text: str) -> str:
    """Return *text* with "?" for each control character."""
    return _CONTROL.sub("?", text) if has_control(text) else text


def one_line(text: str) -> str:
    """Return *text* with "?" for each character that cannot stand inside a line."""
    return text if text.isprintable() else _UNSENDABLE.sub("?", text)


def moment(seconds: float) -> str:
    """Write a Unix time for people, in UTC and to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
