"""
Command lines: bytes of the control connection in, verbs and arguments out (RFC 959, 5.3).

Order of work: Telnet codes are taken out, LF ends a line, the carriage returns and NULs before it belong to the end,
NULs before the verb are nothing. Any other NUL stays where it is: without it "DELE a<NUL>b" would be about "ab".
The result never depends on where the network cut the bytes.
Memory is bounded: at most one unfinished line of MAX_LINE bytes and two bytes of an unfinished Telnet code are kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ftpsd.values import text as wire_text

# RFC 959 names no limit. PATH_MAX, and room for the longest words in front of a path: "MFMT 20240229235959.123 ".
# Carriage returns before the LF count, so a flood of them ends too.
MAX_LINE = 4096 + 64

_IAC = b"\xff"
# RFC 854: IAC WILL/WONT/DO/DONT and an option; IAC and a command (EOF, RFC 1184, up to SB); IAC IAC, the data byte
# FF. IAC before any other byte is nothing Telnet knows and stays, else "\xff\n" would swallow the end of a line.
# Codes in a row are one match: a flood of them then costs an eighth.
_TELNET_CODES = re.compile(rb"(?:\xff(?:[\xfb-\xfe].|[\xec-\xfa]))++|\xff(\xff)", re.DOTALL)
# Everything up to a Telnet code that the chunk cut in half.
_WHOLE = re.compile(rb"(?:[^\xff]++|\xff(?:[\xfb-\xfe].|[^\xfb-\xfe]))*+", re.DOTALL)
# The Synch before ABOR is urgent data (RFC 959, 4.1.3), and TCP may take its last byte out of the stream. The rest of
# IAC DM then stands before the verb. So do spaces, which some clients send (Pure-FTPd's parser).
_BEFORE_VERB = b"\0 \xf2\xff"
# The same with the codes whole: everything that counts as Telnet in a charset where FF is a letter.
_CODES_BEFORE_VERB = re.compile(rb"(?:[\0 ]|\xff(?:[\xfb-\xfe].|[\xec-\xfa\xff])|[\xf2\xff])*+", re.DOTALL)
# A flood of them costs a tenth of what it would cost to parse them.
_EMPTY = frozenset({b"", b"\r"})
_ASCII_ONLY = bytes(range(128)) + b"?" * 128


@dataclass(frozen=True, slots=True)
class CommandLine:
    """
    One command: *verb* upper-case ASCII, *argument* all that follows the one space behind it.

    Further spaces, also trailing ones, belong to the argument: they can be part of a file name.
    """

    verb: str
    argument: str


@dataclass(frozen=True, slots=True)
class LineTooLong:
    """The placeholder of a line of more than MAX_LINE bytes, which was thrown away."""


class LineBuffer:
    """
    A collector of the bytes of a control connection, until they are lines.

    With *has_ff* the client writes names in which FF is a letter ("я" in cp1251), and many such clients do not double
    it as RFC 959 asks. Telnet codes are then taken out in front of a verb only, and FF FF is one FF.
    """

    def __init__(self) -> None:
        self.has_ff = False
        self._partial = b""
        self._cut_code = b""
        self._discarding = False

    def feed(self, data: bytes) -> list[CommandLine | LineTooLong]:
        """
        Add *data* and return the lines it completes.

        Empty lines are dropped. An over-long line is reported once, as soon as it is over-long.
        """
        if self._cut_code or (_IAC in data and not self.has_ff):
            data = self._without_telnet(data)
        if not self._partial:
            data = data.lstrip(b"\0")  # or a client that sends one now and then would have sent a long line one day
        if self._discarding:
            _, newline, data = data.partition(b"\n")
            if not newline:
                return []
            self._discarding = False
        *lines, self._partial = (self._partial + data).split(b"\n")
        lines = [line for line in lines if line not in _EMPTY]
        if self.has_ff:
            lines = [_CODES_BEFORE_VERB.sub(b"", line, count=1).replace(_IAC * 2, _IAC) for line in lines]
        commands = [command for line in lines if (command := _parse(line)) is not None]
        if len(self._partial) > MAX_LINE:
            self._partial = b""
            self._discarding = True
            commands.append(LineTooLong())
        return commands

    def clear(self) -> None:
        """Forget all bytes kept: bytes sent in clear must not be read as part of the commands in TLS."""
        self._partial = b""
        self._cut_code = b""
        self._discarding = False

    def _without_telnet(self, data: bytes) -> bytes:
        data = self._cut_code + data
        whole = _WHOLE.match(data)
        end = whole.end() if whole else 0
        self._cut_code = data[end:]
        return _TELNET_CODES.sub(rb"\1", data[:end])


def _parse(line: bytes) -> CommandLine | LineTooLong | None:
    if len(line) > MAX_LINE:
        return LineTooLong()
    verb, _, argument = line.rstrip(b"\r\0").lstrip(_BEFORE_VERB).partition(b" ")
    if not verb:
        return None
    return CommandLine(verb.upper().translate(_ASCII_ONLY).decode("ascii"), wire_text.decode(argument))
