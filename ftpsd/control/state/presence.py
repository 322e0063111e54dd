"""
Presence: the sessions that are there, as an operator sees them, and the end of one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ftpsd.control.pi import ServerPI
from ftpsd.data.trouble import Cause

# The text for the client of a session that an operator ends.
KICKED = "An operator has ended this session."


@dataclass(frozen=True, slots=True)
class Presence:
    """
    One session of now.

    *session* is its name in the audit log, *host* that of its virtual host. *seconds* have gone by since it began. Of
    the transfer under way, called as in its 150, *moved* bytes have crossed, of *size* where that is known.
    """

    session: str
    user: str | None
    host: str
    peer: str
    listener: str
    is_secure: bool
    seconds: float
    transfer: str | None = None
    moved: int = 0
    size: int | None = None


def present(registry: Iterable[ServerPI]) -> list[Presence]:
    """Return the sessions in *registry*, the oldest first."""
    return sorted(map(_seen, registry), key=lambda each: -each.seconds)


def kick(registry: Iterable[ServerPI], session: str) -> bool:
    """End the one called *session*, and the transfer it has under way; False: there is none of that name."""
    for pi in registry:
        if pi.session.who.session == session:
            pi.end("kicked", KICKED, Cause.KICKED)
            return True
    return False


def _seen(pi: ServerPI) -> Presence:
    session, transfer = pi.session, pi.session.transfer
    return Presence(
        session=session.who.session,
        user=session.who.user,
        host=session.host.name,
        peer=session.peer_host,
        listener=session.who.listener,
        is_secure=session.is_secure,
        seconds=session.clock.seconds() - session.started,
        transfer=None if transfer is None else transfer.description,
        moved=0 if transfer is None else transfer.moved,
        size=None if transfer is None else transfer.size,
    )
