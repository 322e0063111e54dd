"""
Handshakes: the TLS that a session begins, and what the audit log says of handshakes that failed.

An operator can tell a client that distrusts the certificate from one that is too old, or that speaks TLS where FTP
begins in clear, or the reverse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.python.failure import Failure

from ftpsd.audit.events import DataConnectionRefused, TLSFailed
from ftpsd.data.candidates import Refusal
from ftpsd.tls.failure import failure_of
from ftpsd.tls.session_tls import SessionTLS

if TYPE_CHECKING:
    from ftpsd.control.state.session import Session

# The first two bytes of every ClientHello (RFC 8446, 5.1); no command begins with a control character.
HELLO = b"\x16\x03"
# The `close_reason` of a session whose handshake took too long.
TOO_LATE = "handshake-timeout"

TLS_TOO_EARLY = "TLS begins with AUTH TLS here, or at once on the port of implicit TLS. Closing."

SILENT = "the client sent nothing"
WAITS = "the client sent nothing; one that knows no implicit TLS waits for a greeting in clear here"
CLEAR = "the client speaks FTP in clear where TLS begins with the connection"
EARLY = "the client begins TLS with the connection where it begins with AUTH TLS"


def new_tls(session: Session) -> SessionTLS:
    """Return the TLS for the control connection of *session*, with the certificate of its host."""
    certificate = session.host.certificate or session.runtime.hosts.default.certificate
    assert certificate is not None
    return SessionTLS(certificate, session.runtime.tls, address=session.peer_host)


def handshake_failed(session: Session, reason: Failure, *, is_implicit: bool) -> TLSFailed:
    """Return the event for a handshake that the end of the connection, for *reason*, has cut off."""
    if session.tls is None or not session.tls.has_heard:
        return TLSFailed(session.who, "control", "no-hello", None, WAITS if is_implicit else SILENT)
    if session.close_reason == TOO_LATE:
        return TLSFailed(session.who, "control", TOO_LATE)
    failure = failure_of(reason.value)
    if failure.reason == "clear-text" and is_implicit:
        return TLSFailed(session.who, "control", "clear-ftp", failure.alert, f"{CLEAR} ({failure.detail})")
    return TLSFailed(session.who, "control", failure.reason, failure.alert, failure.detail)


def tls_too_early(session: Session) -> TLSFailed:
    """Return the event for a client that begins with TLS where it is not expected yet."""
    return TLSFailed(session.who, "control", "tls-on-a-clear-port", None, EARLY)


def data_refused(session: Session, refusal: Refusal) -> None:
    """Publish that a data connection was closed before it was used."""
    mode = session.dtp.mode
    session.publish(DataConnectionRefused(session.who, refusal.trouble.label, mode, refusal.detail))
    failure = refusal.failure
    if failure is not None:
        session.publish(TLSFailed(session.who, "data", failure.reason, failure.alert, failure.detail))
