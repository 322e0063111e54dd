"""
Presence: the sessions that are there, as an operator sees them, and the end of some.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final

from ftpsd.control.pi import ServerPI
from ftpsd.control.state.phase import Phase
from ftpsd.control.state.session import Session
from ftpsd.data.trouble import Cause

# The text for the client of a session that an operator ends.
KICKED = "An operator has ended this session."
# Characters of a path or an argument that an operator is shown: PATH_MAX of every session would be megabytes.
MOST_SHOWN = 1024


@dataclass(frozen=True, slots=True)
class Presence:
    """
    One session of now.

    *session* is its name in the audit log, *host* that of its virtual host, *tls* the version on its control
    connection. *seconds* have gone by since it began, and *idle* seconds since it did anything. *command* is the one at
    work, with its *argument*. Of the transfer under way, called *transfer* as in its 150, *moved* bytes have crossed in
    *transfer_seconds*, of *size* where that is known, from or to *path*.
    """

    session: str
    user: str | None
    host: str
    peer: str
    listener: str
    is_secure: bool
    tls: str | None
    seconds: float
    idle: float
    command: str | None = None
    argument: str = ""
    transfer: str | None = None
    direction: str | None = None
    path: str | None = None
    moved: int = 0
    size: int | None = None
    transfer_seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return all of it by name; `asdict`, which copies every value, takes ten times as long."""
        return {name: getattr(self, name) for name in _NAMES}


_NAMES: Final = tuple(field.name for field in fields(Presence))


def present(registry: Iterable[ServerPI], most: int | None = None) -> list[Presence]:
    """Return *most* of the sessions in *registry*, the oldest first."""
    found = sorted(there(registry), key=lambda pi: pi.session.started)
    return [_seen(pi) for pi in found[:most]]


def busiest(registry: Iterable[ServerPI], most: int) -> list[Presence]:
    """Return *most* of the sessions in *registry*: those with a transfer first, then those that did something last."""
    found = sorted(there(registry), key=lambda pi: (pi.session.transfer is None, pi.idle))
    return [_seen(pi) for pi in found[:most]]


def there(registry: Iterable[ServerPI]) -> list[ServerPI]:
    """Return those of *registry* that operators count: one that has ended is there while its work is."""
    return [pi for pi in registry if pi.session.phase is Phase.LIVE or pi.is_busy]


def kick(registry: Iterable[ServerPI], session: str) -> bool:
    """End the one called *session*, and the transfer it has under way; False: none of that name is live."""
    return bool(_end(pi for pi in registry if pi.session.who.session == session))


def kick_user(registry: Iterable[ServerPI], user: str, host: str) -> int:
    """End every session of *user* on *host*, "" for the default one, and their transfers; return how many."""
    return _end(pi for pi in registry if pi.session.who.user == user and _is_on(pi, host))


def _is_on(pi: ServerPI, name: str) -> bool:
    """Return whether the session is on the host with that *name*, which may have others."""
    named = pi.session.runtime.hosts.find(name) if name else None
    host = pi.session.host
    return host.name == name if named is None else named.host is host


def _end(sessions: Iterable[ServerPI]) -> int:
    ended = [pi for pi in sessions if pi.session.phase is Phase.LIVE]
    for pi in ended:
        pi.end("kicked", KICKED, Cause.KICKED)
    return len(ended)


def hosts_of(registry: Iterable[ServerPI], user: str) -> set[str]:
    """Return the hosts on which a *user* of that name has sessions."""
    return {pi.session.host.name for pi in registry if pi.session.who.user == user}


def tls_of(session: Session) -> str | None:
    """Return the version of TLS on the control connection of *session*, None in clear and before it is there."""
    return None if session.tls is None else session.tls.version


def counted(registry: Iterable[ServerPI]) -> tuple[int, dict[str, float], dict[str, float]]:
    """
    Return how many of *registry* have a transfer, how many there are by version of TLS, and how many by virtual host.

    In one pass: with 10,000 sessions a pass takes milliseconds in which the reactor does nothing else.
    """
    transferring = 0
    kinds: dict[tuple[str | None, str], int] = {}
    for pi in registry:
        session = pi.session
        if session.transfer is not None:
            transferring += 1
        kind = tls_of(session), session.host.name
        kinds[kind] = kinds.get(kind, 0) + 1
    by_tls: dict[str, float] = {}
    by_host: dict[str, float] = {}
    for (version, host), number in kinds.items():
        by_tls[version or "none"] = by_tls.get(version or "none", 0) + number
        by_host[host or "default"] = by_host.get(host or "default", 0) + number
    return transferring, by_tls, by_host


def _seen(pi: ServerPI) -> Presence:
    session, transfer, at_work = pi.session, pi.session.transfer, pi.at_work
    now = session.clock.seconds()
    return Presence(
        session=session.who.session,
        user=session.who.user,
        host=session.host.name,
        peer=session.peer_host,
        listener=session.who.listener,
        is_secure=session.is_secure,
        tls=tls_of(session),
        seconds=now - session.started,
        idle=pi.idle,
        command=None if at_work is None else at_work.verb,
        argument="" if at_work is None else at_work.argument[:MOST_SHOWN],
        transfer=None if transfer is None else transfer.description,
        direction=None if transfer is None else transfer.direction,
        path=None if transfer is None else transfer.path[:MOST_SHOWN],
        moved=0 if transfer is None else transfer.moved,
        size=None if transfer is None else transfer.size,
        transfer_seconds=None if transfer is None else now - transfer.began,
    )
