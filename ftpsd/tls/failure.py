"""
Failures: the reason why a TLS handshake did not come to its end, as OpenSSL names it, in words for the audit log.

All of the text comes from OpenSSL and from here; none of it is the client's.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from OpenSSL import SSL

# OpenSSL's texts for an alert that has come: "tlsv1 alert unknown ca", "ssl/tls alert handshake failure".
RECEIVED: Final = re.compile(r"(?:ssl/tls|sslv3|tlsv1|tlsv13) alert (.+)")
# The alerts that OpenSSL sends for its own refusals; it does not report them afterwards.
SENT: Final = {
    "unsupported protocol": "protocol version",
    "no shared cipher": "handshake failure",
    "no suitable key share": "handshake failure",
    "no application protocol": "no application protocol",
    "inappropriate fallback": "inappropriate fallback",
    "bad record type": "unexpected message",
    "unexpected message": "unexpected message",
    "decryption failed or bad record mac": "bad record mac",
    "digest check failed": "decrypt error",
}
# OpenSSL's errors for a first record that is none.
CLEAR: Final = frozenset({"wrong version number", "http request", "https proxy request", "packet length too long"})
# OpenSSL's errors for a server without a certificate, in TLS 1.2 and 1.3; and our reason where that is for its dates.
WITHOUT_CERTIFICATE: Final = frozenset({"no-shared-cipher", "no-suitable-signature-algorithm"})
OUT_OF_DATE: Final = "certificate-out-of-date"


@dataclass(frozen=True, slots=True)
class TLSFailure:
    """
    The failure of a handshake.

    *reason* is a word such as "no-shared-cipher", *alert* the alert that ended it and its sender, *detail* OpenSSL's
    own text.
    """

    reason: str
    alert: str | None = None
    detail: str | None = None


CLOSED: Final = TLSFailure("closed-in-handshake", None, "the client closed the connection in the middle of it")


def failure_of(error: BaseException | None) -> TLSFailure:
    """Return the failure that *error*, raised by a handshake, stands for."""
    if isinstance(error, SSL.SysCallError):
        number = error.args[0] if error.args else -1
        return CLOSED if number == -1 else TLSFailure("connection-broken", None, os.strerror(number))
    try:
        text = str(error.args[0][0][2]) if isinstance(error, SSL.Error) else ""
    except (IndexError, TypeError):
        text = ""
    if not text:
        return CLOSED
    if text in CLEAR:
        return TLSFailure("clear-text", None, text)
    received = RECEIVED.fullmatch(text)
    alert = f"received: {received[1]}" if received is not None else None
    if text in SENT:
        alert = f"sent: {SENT[text]}"
    return TLSFailure(word(text), alert, text)


def word(text: str) -> str:
    """Return OpenSSL's *text* as one word."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
