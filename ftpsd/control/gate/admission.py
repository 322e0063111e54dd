"""The admission of a connection: whether it becomes a session, and what is told of the session that has ended."""

from __future__ import annotations

from collections.abc import Iterator

from ftpsd.audit.events import Event, LeftWithoutLogin, SessionClosed
from ftpsd.control.gate.penalties import BANNED, RATE
from ftpsd.control.state.limits import WITHOUT_LOGIN
from ftpsd.control.state.session import Session


def why_not_admitted(session: Session, *, starts_with_tls: bool) -> str | None:
    """Count the connection of *session* and return None, or return the reason for which it is turned away."""
    limits, counts, penalties = session.config.limits, session.counts, session.runtime.shared.penalties
    peer = session.peer_host
    reason = (
        penalties.refusal(peer)
        or (penalties.handshake_refusal(peer) if starts_with_tls else None)
        or counts.admit(peer, limits.connections, limits.connections_per_address)
    )
    if reason == WITHOUT_LOGIN and penalties.is_known(peer):
        reason = counts.admit(peer, limits.connections, limits.connections_per_address, is_known=True)
    return reason


def may_be_told(session: Session, reason: str) -> bool:
    """
    Return whether the client of implicit TLS that is turned away for *reason* gets the handshake that tells it.

    That takes a context and the client's time, so few linger, and none that is refused for what it does.
    """
    return reason not in (BANNED, RATE) and session.counts.may_linger(session.peer_host)


def events_of_end(session: Session, lost: float, unlogged: int, *, has_input: bool) -> Iterator[Event]:
    """
    Return what is told of a session whose connection was lost at the time *lost*.

    *unlogged* commands before the login were only counted; with *has_input* its client has sent something.
    """
    why = session.close_reason or "connection-lost"
    is_own_end = why in ("connection-lost", "quit") and not session.lacks_certificate
    if is_own_end and has_input and session.who.user is None and not session.failed_logins:
        yield LeftWithoutLogin(session.who)
    seconds = lost - session.started
    yield SessionClosed(session.who, seconds, why, session.bytes_sent, session.bytes_received, unlogged or None)
