"""
Answers of an ICAP server, as they come in (RFC 3507): the head, the HTTP heads within, the body in pieces, its end.

Each part has a bound, beyond which the answer is refused; a body may have any length, and no byte of it is kept here.
Lines end with CRLF alone. An answer that cannot be read for sure is an error: from these answers it follows whether a
file is taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

# Bytes of an ICAP head, of the HTTP heads in it, or of a trailer; engines send 2 KiB.
MOST_HEAD = 16 * 1024
# Bytes of the line before a chunk, with its extensions.
MOST_LINE = 256

_STATUS = re.compile(rb"ICAP/1\.[0-9] ([1-5][0-9]{2})(?: [^\r\n]*)?")
_HTTP_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-5][0-9]{2})(?: [^\r\n]*)?")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECTION = re.compile(r"([a-z]+-(?:hdr|body))=([0-9]{1,6})")
# 15 digits are a petabyte; a length of more cannot be meant.
_CHUNK = re.compile(rb"0*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
CONTINUE, OK, NO_CONTENT = 100, 200, 204


class IcapError(ValueError):
    """Bytes that are no answer; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    The head of an answer; the names of *fields* are in small letters.

    *http_status* is that of the HTTP response within, None where there is none; with *has_body*, pieces and an `End`
    follow.
    """

    status: int
    fields: dict[str, str]
    http_status: int | None = None
    has_body: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """The end of a body, with the *fields* of its trailer."""

    fields: dict[str, str]


# A piece of a body is bytes.
Event = Answer | End | bytes


class AnswerReader:
    """Reads the answers of one connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._step: Callable[[], list[Event] | None] = self._head
        self._head_read: Answer | None = None  # whose HTTP heads are awaited
        self._inner = 0  # bytes of those
        self._left = 0  # bytes of the chunk

    def feed(self, data: bytes) -> list[Event]:
        """
        Take *data*, and return what it completes.

        Raises: IcapError when no answer stands before the error, and then with each call.
        """
        self._buffer += data
        found: list[Event] = []
        try:
            while (events := self._step()) is not None:
                found += events
        except IcapError:
            self._step = self._broken
            self._buffer.clear()
            if not found:
                raise
        return found

    def _broken(self) -> None:
        raise IcapError("it goes on behind an error")

    def _head(self) -> list[Event] | None:
        head = self._until(b"\r\n\r\n", MOST_HEAD, "its head")
        if head is None:
            return None
        first, _, rest = head.partition(b"\r\n")
        match = _STATUS.fullmatch(first)
        if match is None:
            raise IcapError("what it says is not ICAP")
        status, fields = int(match[1]), _fields(rest)
        answer = Answer(status, fields)
        if status in (CONTINUE, NO_CONTENT) or "encapsulated" not in fields:
            return [answer]
        self._inner, has_body = _sections(fields["encapsulated"])
        self._head_read = Answer(status, fields, None, has_body)
        self._step = self._http_heads
        return []

    def _http_heads(self) -> list[Event] | None:
        head = self._head_read
        assert head is not None
        if len(self._buffer) < self._inner:
            return None
        http = bytes(self._buffer[: self._inner])
        del self._buffer[: self._inner]
        self._step = self._chunk_line if head.has_body else self._head
        return [Answer(head.status, head.fields, _http_status(head.fields["encapsulated"], http), head.has_body)]

    def _chunk_line(self) -> list[Event] | None:
        line = self._until(b"\r\n", MOST_LINE, "the line before a chunk")
        if line is None:
            return None
        match = _CHUNK.fullmatch(line)
        if match is None:
            raise IcapError("its chunks have no length")
        self._left = int(match[1], 16)
        self._step = self._chunk if self._left else self._trailer
        return []

    def _chunk(self) -> list[Event] | None:
        if not self._buffer:
            return None
        piece = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(piece)
        if not self._left:
            self._step = self._chunk_end
        return [piece]

    def _chunk_end(self) -> list[Event] | None:
        if len(self._buffer) < 2:
            return None
        if self._buffer[:2] != b"\r\n":
            raise IcapError("a chunk has another length than it says")
        del self._buffer[:2]
        self._step = self._chunk_line
        return []

    def _trailer(self) -> list[Event] | None:
        if self._buffer[:2] == b"\r\n":
            del self._buffer[:2]
            self._step = self._head
            return [End({})]
        if len(self._buffer) < 2:
            return None
        trailer = self._until(b"\r\n\r\n", MOST_HEAD, "its trailer")
        if trailer is None:
            return None
        self._step = self._head
        return [End(_fields(trailer))]

    def _until(self, end: bytes, most: int, what: str) -> bytes | None:
        """Return what stands before *end*, and take both; None as long as it is not there."""
        place = self._buffer.find(end, 0, most + len(end))
        if place < 0:
            if len(self._buffer) >= most + len(end):
                raise IcapError(f"{what} is too long")
            return None
        found = bytes(self._buffer[:place])
        del self._buffer[: place + len(end)]
        return found


def _fields(lines: bytes) -> dict[str, str]:
    """Return the fields of a head; of one that comes twice, both values with a comma between."""
    found: dict[str, str] = {}
    name = ""
    for line in lines.split(b"\r\n") if lines else ():
        if line[:1] in (b" ", b"\t"):  # a folded line, as X-Violations-Found has them
            if not name:
                raise IcapError("its head begins with a folded line")
            found[name] += " " + _text(line)
            continue
        before, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(before):
            raise IcapError("a line of its head is no field")
        name = before.decode("ascii").lower()
        found[name] = f"{found[name]}, {_text(value)}" if name in found else _text(value)
    return found


def _text(value: bytes) -> str:
    return value.strip(b" \t").decode("utf-8", "replace")


def _sections(encapsulated: str) -> tuple[int, bool]:
    """Return how many bytes of HTTP heads follow, and whether a body does (RFC 3507, 4.4.1)."""
    offset = 0
    *heads, last = (part.strip() for part in encapsulated.split(","))
    for number, part in enumerate((*heads, last)):
        match = _SECTION.fullmatch(part)
        is_last = number == len(heads)
        if match is None or is_last != match[1].endswith("-body") or int(match[2]) < offset:
            raise IcapError("its Encapsulated field cannot be read")
        if not number and int(match[2]):
            raise IcapError("its Encapsulated field does not begin at 0")
        offset = int(match[2])
    if offset > MOST_HEAD:
        raise IcapError("the HTTP heads in it are too long")
    return offset, not last.startswith("null-body")


def _http_status(encapsulated: str, heads: bytes) -> int | None:
    """Return the status of the HTTP response among *heads*, None where there is none."""
    for part in encapsulated.split(","):
        name, _, offset = part.strip().partition("=")
        if name == "res-hdr":
            match = _HTTP_STATUS.match(heads, int(offset))
            if match is None:
                raise IcapError("the response in it is not HTTP")
            return int(match[1])
    return None
