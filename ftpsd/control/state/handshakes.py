"""
Handshakes: the TLS that a session begins, and the audit events of handshakes that failed.

An operator can tell a client that distrusts the certificate from one that is too old, or that speaks TLS where FTP
begins in clear, or the reverse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from OpenSSL import SSL
from twisted.python.failure import Failure

from ftpsd.audit.events import DataConnectionRefused, TLSEstablished, TLSFailed
from ftpsd.data.candidates import Refusal
from ftpsd.tls.failure import OUT_OF_DATE, WITHOUT_CERTIFICATE, failure_of
from ftpsd.tls.session_tls import SessionTLS
from ftpsd.values.login.client_certificate import ClientCertificate

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
NO_CERTIFICATE = "the certificate for the client is out of its dates, and expired_certificate is refuse"
EARLY = "the client begins TLS with the connection where it begins with AUTH TLS"


class Handshake:
    """A handshake on the control connection of *session*, with the certificate of its host."""

    def __init__(self, session: Session, *, is_implicit: bool) -> None:
        certificate = session.host.certificate or session.runtime.hosts.default.certificate
        assert certificate is not None
        self.tls = SessionTLS(
            certificate, session.runtime.tls, address=session.peer_host, asks=session.asks_for_certificate
        )
        self._session = session
        self._is_implicit = is_implicit
        self._clock = session.clock
        self._started = self._clock.seconds()

    def completed(self) -> TLSEstablished:
        """Return the event for its success."""
        facts = self.tls.control_facts
        assert facts is not None
        seconds = self._clock.seconds() - self._started
        session, known = self._session, (facts.version, facts.cipher, facts.resumed)
        presented = identity_of(session.presented())
        return TLSEstablished(session.who, "control", *known, seconds, facts.group, *presented)

    def failed(self, reason: Failure) -> TLSFailed:
        """Return the event for its failure: the connection has ended, for *reason*."""
        session = self._session
        # An error of OpenSSL's kind without input is a hello that was refused before OpenSSL was given it.
        if not self.tls.has_input and reason.type is not SSL.Error:
            return TLSFailed(session.who, "control", "no-hello", None, WAITS if self._is_implicit else SILENT)
        if session.close_reason == TOO_LATE:
            return TLSFailed(session.who, "control", TOO_LATE)
        failure = failure_of(reason.value)
        if self.tls.is_without_certificate and failure.reason in WITHOUT_CERTIFICATE:
            session.lacks_certificate = True
            return TLSFailed(session.who, "control", OUT_OF_DATE, "sent: handshake failure", NO_CERTIFICATE)
        if failure.reason == "clear-text" and self._is_implicit:
            return TLSFailed(session.who, "control", "clear-ftp", failure.alert, f"{CLEAR} ({failure.detail})")
        return TLSFailed(session.who, "control", failure.reason, failure.alert, failure.detail)


def identity_of(presented: ClientCertificate | None) -> tuple[str | None, str | None]:
    """Return the last two fields of an event for the certificate that a client has *presented*."""
    return (None, None) if presented is None else (presented.fingerprint, presented.subject)


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
