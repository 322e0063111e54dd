"""
Charsets: how names are written for clients, and in trees, that do not know UTF-8.

A charset is a codec of Python's in which ASCII is ASCII. Characters that the codec cannot write go out as `%u` and
four, or `%U` and eight, upper-case hexadecimal digits, and are read back from that: every name on disk has exactly one
spelling for the client, and comes back from it. A `%` goes out as `%u0025` where the text behind it would make it such
an escape, so that no name can be mistaken for another.
Text from a client that is not text in the charset is refused; its bytes could not be interpreted later.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from itertools import chain
from typing import Final

from ftpsd.values import text as wire_text

_ESCAPE: Final = re.compile(r"%u([0-9A-F]{4})|%U([0-9A-F]{8})")
_ERRORS: Final = "ftpsd.wire.charset"
_ASCII: Final = bytes(range(128))
# A raw byte of a name on disk that is not UTF-8, as `wire_text.decode` keeps it.
_RAW: Final = range(0xDC80, 0xDD00)
# The characters a codec is tried with: the Basic Multilingual Plane without ASCII, and without surrogates.
_PLANE: Final = "".join(map(chr, (*range(0x80, 0xD800), *range(0xE000, 0x10000))))
# Most codecs write few of them: a block of which one writes nothing is tried in one step.
_BLOCK: Final = 64
_BLOCKS: Final = tuple(_PLANE[start : start + _BLOCK] for start in range(0, len(_PLANE), _BLOCK))
# No byte of a character may look like a line end, a space, a slash or anything else that is read before decoding.
_LEAST_BYTE: Final = 0x30
_DELETE: Final = 0x7F


class Charset:
    """UTF-8, which writes everything: bytes that are not UTF-8 are kept."""

    def __init__(self, name: str = "utf-8") -> None:
        self.name = name
        """The codec's own name."""
        self.is_utf8 = name == "utf-8"
        self.has_ff = False
        """Whether the byte FF, Telnet's IAC, is a letter."""

    def decode(self, data: bytes) -> str:
        """Read *data*. Raises: UnicodeDecodeError for what is no text in this charset."""
        return wire_text.decode(data)

    def encode(self, text: str) -> bytes:
        """Write *text*. Raises: UnicodeEncodeError for a surrogate that stands for no byte."""
        return wire_text.encode(text)


UTF8: Final = Charset()


class LegacyCharset(Charset):
    """
    Any other charset, of Python's codec *codec*.

    Raises: ValueError with a sentence for the operator, for a codec in which ASCII is not ASCII.
    """

    def __init__(self, codec: codecs.CodecInfo) -> None:
        super().__init__(codec.name)
        self._one_way = _examine(codec.name)
        self._lossy = re.compile(f"[{re.escape(''.join(sorted(self._one_way)))}]") if self._one_way else None
        self.has_ff = _decoded(b"\xff", self.name) is not None

    def decode(self, data: bytes) -> str:
        """Read *data*, escapes too. Raises: UnicodeDecodeError for what is no text in this charset."""
        text = data.decode(self.name)
        return _ESCAPE.sub(self._unescape, text) if "%" in text else text

    def encode(self, text: str) -> bytes:
        """Write *text*, with escapes for what the charset does not have."""
        if "%" in text:
            text = _ESCAPE.sub(self._hide, text)
        elif text.isascii():
            return text.encode("ascii")
        if self._lossy is not None:
            text = self._lossy.sub(lambda match: _escape(match[0]), text)
        return text.encode(self.name, _ERRORS)

    def _unescape(self, match: re.Match[str]) -> str:
        return self._meaning(match) or match[0]

    def _hide(self, match: re.Match[str]) -> str:
        """Return text that only looks like an escape in a form that does not."""
        return match[0] if self._meaning(match) is None else f"%u0025{match[0][1:]}"

    def _meaning(self, match: re.Match[str]) -> str | None:
        """Return the character of an escape; None for one that `encode` would never write, which is plain text."""
        code = int(match[1] or match[2], 16)
        if code > 0x10FFFF or (match[2] is not None) != (code > 0xFFFF):
            return None
        letter = chr(code)
        if letter == "%" or letter in self._one_way or code in _RAW:
            return letter
        if 0xD800 <= code <= 0xDFFF:
            return None
        try:
            letter.encode(self.name)
        except UnicodeEncodeError:
            return letter
        return None


@lru_cache(maxsize=64)
def charset_of(name: str) -> Charset:
    """
    Return the charset *name*, as Python spells it or any of its aliases. The first use of each takes up to 0.1 s.

    Raises: ValueError with a sentence for the operator.
    """
    try:
        codec = codecs.lookup(name)
        "".encode(name)
    except (LookupError, ValueError):
        raise ValueError(f"{name} is no character encoding; write one such as utf-8, gbk or cp1251") from None
    return UTF8 if codec.name == UTF8.name else LegacyCharset(codec)


def _examine(name: str) -> frozenset[str]:
    """
    Try a codec with every character; return those that do not come back as what they were.

    Raises: ValueError: ASCII is not ASCII in it, or other characters take bytes that mean something in a command.
    """
    if _decoded(_ASCII, name) != _ASCII.decode("ascii") or _encoded(_ASCII.decode("ascii"), name) != _ASCII:
        raise ValueError(f"in {name} ASCII is not written as ASCII; FTP needs that")
    one_way: set[str] = set()
    for letter in chain.from_iterable(block for block in _BLOCKS if _writes_some(block, name)):
        data = _encoded(letter, name)
        if data is None:
            continue
        if _decoded(data, name) != letter:
            one_way.add(letter)  # Shift JIS writes the yen sign as a backslash
        elif data[0] < 0x80 or min(data) < _LEAST_BYTE or _DELETE in data:
            raise ValueError(f"{name} writes letters with bytes that mean something else in FTP")
    return frozenset(one_way)


def _writes_some(text: str, name: str) -> bool:
    try:
        return text.encode(name, "ignore") != b""
    except UnicodeError:
        return True  # a codec that knows no such way


def _decoded(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except UnicodeError:
        return None


def _encoded(text: str, name: str) -> bytes | None:
    try:
        return text.encode(name)
    except UnicodeError:
        return None


def _escape(text: str) -> str:
    return "".join(f"%u{ord(c):04X}" if c <= "\uffff" else f"%U{ord(c):08X}" for c in text)


def _escape_error(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return _escape(error.object[error.start : error.end]), error.end


codecs.register_error(_ERRORS, _escape_error)
