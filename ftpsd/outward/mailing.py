"""
Mail: one message to a server of the operator's, over verified TLS. Everything here blocks, in a worker.

The password is sent behind TLS alone. What comes from clients stands in the text, and in the subject, in which there is
no line end and no control character.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from ftpsd.config.automation.workflow_rules import Mail

_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
# Characters of what a server says that are kept.
LONGEST_REASON: Final = 200
LONGEST_SUBJECT: Final = 250


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


def _connected(mail: Mail, authority: bytes | None) -> smtplib.SMTP:
    port = mail.port or _PORTS[mail.security]
    context = ssl.create_default_context(cadata=None if authority is None else authority.decode("ascii", "replace"))
    if mail.security == "tls":
        return smtplib.SMTP_SSL(mail.server, port, timeout=mail.timeout, context=context)
    server = smtplib.SMTP(mail.server, port, timeout=mail.timeout)
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
