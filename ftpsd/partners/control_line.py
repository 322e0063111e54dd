"""
The control connection to a server: commands out, replies in, in clear until `secured`. It blocks.

A reply comes within `timeout` seconds, whatever trickles in meanwhile.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import Final

from ftpsd.partners.contact import Fault, PartnerError
from ftpsd.partners.replies import Answer

LONGEST_LINE: Final = 8192
# FEAT of the most talkative servers has 40 lines, a greeting is a page.
MOST_LINES: Final = 500
# Seconds for a reason that a server may have for what it has just done.
LINGER: Final = 5.0


class ControlLine:
    """The control connection *raw*, whose replies come within *timeout* seconds."""

    def __init__(self, raw: socket.socket, timeout: float) -> None:
        self._connection = raw
        self._timeout = timeout
        self._buffer = bytearray()

    @property
    def address(self) -> str:
        """The address of the server."""
        return str(self._connection.getpeername()[0])

    @property
    def session(self) -> ssl.SSLSession | None:
        """The TLS session, which data connections resume."""
        return self._connection.session if isinstance(self._connection, ssl.SSLSocket) else None

    @property
    def raw(self) -> socket.socket:
        """The connection, to be secured; nothing has been sent behind the last reply."""
        if self._buffer:
            raise PartnerError(Fault.UNTRUSTED, "it has sent more behind its reply to AUTH, in clear")
        return self._connection

    def secured(self, connection: ssl.SSLSocket) -> None:
        """Go on over *connection*."""
        self._connection = connection

    def ask(self, command: str) -> Answer:
        """Send *command* and return its reply. Raises: PartnerError where there is none."""
        self.send(command)
        return self.answer()

    def demand(self, command: str, first: int) -> Answer:
        """Send *command*, the reply to which must begin with the digit *first*."""
        return expected(self.ask(command), first)

    def send(self, command: str) -> None:
        """Send *command*."""
        try:
            line = command.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise PartnerError(Fault.REFUSED, "a name that has no bytes cannot be sent") from None
        if any(byte in line for byte in b"\r\n\0"):
            raise PartnerError(Fault.REFUSED, "a name with a control character cannot be sent")
        try:
            self._connection.sendall(line + b"\r\n")
        except OSError as error:
            raise lost(error) from None

    def answer(self, patience: float | None = None) -> Answer:
        """Return the next reply, within *patience* seconds. Raises: PartnerError; also for 421."""
        deadline = time.monotonic() + (patience or self._timeout)
        first = self._line(deadline)
        code, lines = first[:3], [first[4:]]
        if not (len(code) == 3 and code.isdecimal() and code.isascii()):
            raise PartnerError(Fault.BROKEN, "it does not speak FTP")
        if first[3:4] == "-":
            while True:
                line = self._line(deadline)
                if line[:4] in (code, f"{code} "):
                    lines.append(line[4:])
                    break
                lines.append(line.removeprefix(f"{code}-"))
                if len(lines) > MOST_LINES:
                    raise PartnerError(Fault.BROKEN, f"a reply of it is longer than {MOST_LINES} lines")
        answer = Answer(int(code), tuple(lines))
        if answer.code == 421:
            raise PartnerError(Fault.LATER, f"it ends the session: {answer}")
        return answer

    def why(self, error: PartnerError) -> PartnerError:
        """Return what the server says about a data connection that has failed, *error* where it says nothing soon."""
        try:
            answer = self.answer(LINGER)
        except PartnerError:
            return error
        return refusal(answer) if answer.code // 100 in (4, 5) else error

    def close(self) -> None:
        """Say by TLS that this is all, and close."""
        if isinstance(self._connection, ssl.SSLSocket):
            self._connection.setblocking(False)
            try:
                self._connection.unwrap()
            except (OSError, ValueError):
                pass  # its own close_notify is not waited for
        self._connection.close()

    def _line(self, deadline: float) -> str:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > LONGEST_LINE:
                raise PartnerError(Fault.BROKEN, f"a line of it is longer than {LONGEST_LINE} bytes")
            left = deadline - time.monotonic()
            if left <= 0:
                raise PartnerError(Fault.UNREACHABLE, "it does not answer")
            try:
                self._connection.settimeout(left)
                data = self._connection.recv(4096)
                self._connection.settimeout(self._timeout)
            except OSError as error:
                raise lost(error) from None
            if not data:
                raise PartnerError(Fault.UNREACHABLE, "it closed the connection")
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.rstrip(b"\r").decode("utf-8", "surrogateescape")


def expected(answer: Answer, first: int) -> Answer:
    """Return *answer*, the code of which must begin with the digit *first*. Raises: PartnerError."""
    if answer.code // 100 != first:
        raise refusal(answer)
    return answer


def refusal(answer: Answer) -> PartnerError:
    """Return *answer* as a failure."""
    return PartnerError(Fault.LATER if answer.code // 100 == 4 else Fault.REFUSED, str(answer))


def lost(error: OSError) -> PartnerError:
    """Return what the failure of a connection means."""
    if isinstance(error, TimeoutError):
        return PartnerError(Fault.UNREACHABLE, "it does not answer")
    if isinstance(error, ssl.SSLError):
        return PartnerError(Fault.UNREACHABLE, f"the connection was lost: {error.reason or 'TLS ended'}")
    return PartnerError(Fault.UNREACHABLE, f"the connection was lost: {error.strerror or 'it was closed'}")
