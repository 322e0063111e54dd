"""
Replies: the lines of the server-PI on the control connection (RFC 959, 4.2).

One reply is one value; it becomes bytes in one place. With any text of a file name, a configuration or a client in it,
the reply stays the lines it was built of: control characters go out as "?", and inner lines start with a space, so none
of them can pass for a closing line.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ftpsd.values import text as wire_text
from ftpsd.wire.charset import UTF8, Charset

# A multi-line reply needs a closing line (RFC 959, 4.2); this one carries nothing else.
_CLOSING = "End."


@dataclass(frozen=True, slots=True)
class Reply:
    """
    One reply.

    *text* is the first or only line. With *body* or *last* the reply is multi-line: "ddd-text", each line of *body*
    behind exactly one space, "ddd last".

    *reason* is the reason of a refusal, for the audit log alone: it never reaches the client.
    """

    code: int
    text: str
    body: tuple[str, ...] = ()
    last: str | None = None
    reason: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        # RFC 2228 adds the 6yz replies to RFC 959's five classes.
        if not 100 <= self.code <= 699:
            raise ValueError(f"{self.code} is not a reply code")

    @property
    def code_class(self) -> str:
        """Return the class of the code, as in "2xx"."""
        return f"{self.code // 100}xx"

    def because(self, reason: str) -> Reply:
        """Return the same reply with its *reason*, unless it has one."""
        return replace(self, reason=reason) if self.reason is None else self

    def to_bytes(self, charset: Charset = UTF8) -> bytes:
        """Encode the reply with its line ends, ready for the control connection; names in *charset*."""
        # Not memoised: a single line takes 0.3 us, finding it by its value 0.2 us.
        if not self.body and self.last is None:
            return _encode_line(f"{self.code} {self.text}", charset)
        closing = _CLOSING if self.last is None else self.last
        lines = [f"{self.code}-{self.text}", *(f" {line}" for line in self.body), f"{self.code} {closing}"]
        return b"".join(_encode_line(line, charset) for line in lines)


@dataclass(frozen=True, slots=True)
class ReplyPart:
    """
    The beginning, or more lines, of a reply too long to be one value.

    With *code* and *text* it is the beginning, "ddd-text"; each line of *body* stands behind exactly one space. A
    single-line `Reply` of the same code ends the reply.
    """

    body: tuple[str, ...]
    code: int | None = None
    text: str = ""

    def to_bytes(self, charset: Charset = UTF8) -> bytes:
        """Encode the lines with their ends; names in *charset*."""
        first = [] if self.code is None else [f"{self.code}-{self.text}"]
        return b"".join(_encode_line(line, charset) for line in (*first, *(f" {line}" for line in self.body)))


class ReplyError(Exception):
    """The end of a command with this reply to the client; *reason* is for the audit log, which else has the text."""

    def __init__(self, code: int, text: str, reason: str | None = None) -> None:
        super().__init__(code, text)
        self.reply = Reply(code, text, reason=reason)


def _encode_line(line: str, charset: Charset) -> bytes:
    # The control connection is Telnet (RFC 959, 2.3): a name that holds the raw byte FF would otherwise start a Telnet
    # command. vsftpd and Pure-FTPd double it too.
    return charset.encode(wire_text.one_line(line)).replace(b"\xff", b"\xff\xff") + b"\r\n"
