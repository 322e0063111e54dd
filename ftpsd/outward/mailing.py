"""
Mail: one message to a server of the operator's, over verified TLS. Everything here blocks, in a worker.

The password is sent behind TLS alone. Words of clients stand in the text, and in the subject, in which there is
no line end and no control character.
"""

from __future__ import annotations

import smtplib
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any, Final

from ftpsd.config.automation.workflow_rules import Mail

_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
# Characters of what a server says that are kept.
LONGEST_REASON: Final = 200
LONGEST_SUBJECT: Final = 250
# Bytes of one reply: EHLO of the most talkative servers has a page.
MOST_REPLY: Final = 64 * 1024


class NotSent(Exception):
    """A mail that the server has not taken; the text says why, without secrets."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message; *id* is the same whenever it is sent again, *seconds* (Unix time) those of what it tells."""

    sender: str
    to: Sequence[str]
    subject: str
    text: str
    id: str
    seconds: float


def send_letter(letter: Letter, mail: Mail, password: str | None, authority: bytes | None) -> None:
    """
    Send *letter* by the server of *mail*; *authority* are the certificates it is verified by, in PEM form.

    Raises: NotSent.
    """
    message = message_of(letter)
    try:
        with _connected(mail, authority) as server:
            if mail.user is not None and password is not None:
                server.login(mail.user, password)
            refused = server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except smtplib.SMTPAuthenticationError as error:
        raise NotSent(f"{mail.server} does not take user and password ({error.smtp_code})") from None
    except smtplib.SMTPResponseException as error:
        raise NotSent(f"{mail.server} answered {error.smtp_code} {_said(error.smtp_error)}") from None
    except ssl.SSLCertVerificationError as error:
        raise NotSent(f"the certificate of {mail.server} is not to be trusted: {error.verify_message}") from None
    except (smtplib.SMTPException, OSError) as error:
        raise NotSent(f"{mail.server}: {_said(str(error))}") from None
    if refused:
        # Those who are taken would have it again at each attempt, with the same id; none of them is left out.
        name, (code, text) = next(iter(refused.items()))
        raise NotSent(f"{mail.server} does not take {name}: {code} {_said(text)}")


def message_of(letter: Letter) -> EmailMessage:
    """Return *letter* as RFC 5322 has it."""
    message = EmailMessage()
    message["From"] = letter.sender
    message["To"] = ", ".join(letter.to)
    subject = "".join(character if character.isprintable() else " " for character in _plain(letter.subject))
    message["Subject"] = subject[:LONGEST_SUBJECT]
    message["Date"] = format_datetime(datetime.fromtimestamp(letter.seconds, UTC))
    message["Message-ID"] = f"<{letter.id}@{Address(addr_spec=letter.sender).domain}>"
    # RFC 3834: nobody's absence note is wanted.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_plain(letter.text))
    return message


class _Replies:
    """
    The replies of a server, from which smtplib reads lines: each is over by a deadline and has a bounded length.

    By itself smtplib would wait for ever where a byte comes now and then, and keep all lines that a server sends.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._buffer = b""
        self._left = 0
        self._timeout = self._deadline = 0.0

    def begin(self, timeout: float) -> None:
        """Begin a reply."""
        self._left, self._timeout, self._deadline = MOST_REPLY, timeout, time.monotonic() + timeout

    def readline(self, most: int) -> bytes:
        """Return the next line, or so much of it. Raises: OSError."""
        while b"\n" not in self._buffer and len(self._buffer) < most:
            left = self._deadline - time.monotonic()
            try:
                self._connection.settimeout(max(left, 0.001))
                data = self._connection.recv(4096)
            except TimeoutError:
                raise TimeoutError("its answer takes too long") from None
            self._connection.settimeout(self._timeout)
            if not data:
                break
            self._buffer += data
        end = min(most, self._buffer.find(b"\n") + 1 or most)
        line, self._buffer = self._buffer[:end], self._buffer[end:]
        self._left -= len(line)
        if self._left < 0:
            raise OSError(f"its answer is longer than {MOST_REPLY} bytes")
        return line

    def close(self) -> None:
        """Close nothing: the connection is smtplib's."""


class _Bounded(smtplib.SMTP):
    """A client whose server cannot keep it or fill it."""

    def getreply(self) -> tuple[int, bytes]:
        """Return a reply."""
        if self.file is None:
            self.file = _Replies(self.sock)
        self.file.begin(self.timeout)
        return super().getreply()


class _BoundedTLS(_Bounded, smtplib.SMTP_SSL):
    """The same over TLS from the first byte on."""


def _connected(mail: Mail, authority: bytes | None) -> smtplib.SMTP:
    port = mail.port or _PORTS[mail.security]
    context = ssl.create_default_context(cadata=None if authority is None else authority.decode("ascii", "replace"))
    if mail.security == "tls":
        return _BoundedTLS(mail.server, port, timeout=mail.timeout, context=context)
    server = _Bounded(mail.server, port, timeout=mail.timeout)
    if mail.security == "starttls":
        try:
            server.starttls(context=context)
        except BaseException:
            with suppress(OSError, smtplib.SMTPException):
                server.close()
            raise
    return server


def _plain(text: str) -> str:
    """Return *text* with bytes that are no text written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _said(text: bytes | str) -> str:
    """Return what a server said, in one line."""
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return "".join(character if character.isprintable() else " " for character in plain)[:LONGEST_REASON]
