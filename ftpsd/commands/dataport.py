"""
Data ports: PASV, EPSV, PORT, EPRT (RFC 959 and 2428).

The server connects only to the address the control connection comes from, never to a privileged port: no bounce attack.
"""

from __future__ import annotations

from ipaddress import ip_address

from ftpsd.audit.events import DataConnectionRefused, PassiveExhausted
from ftpsd.control.state.session import Session
from ftpsd.control.table import Family, Needs
from ftpsd.data.ports import PortsExhausted
from ftpsd.wire.address import (
    IPV4,
    IPV6,
    AddressError,
    HostPort,
    UnknownProtocol,
    extended_passive_text,
    parse_eprt,
    parse_port,
    passive_text,
)
from ftpsd.wire.reply import Reply, ReplyError

FIRST_UNPRIVILEGED_PORT = 1024

family = Family("dataport")


def _pasv_feature(session: Session) -> str | None:
    return None if ":" in session.local_host else "PASV"


def _eprt_feature(session: Session) -> str | None:
    # Old clients choose by FEAT (Explorer, IE).
    return "EPRT" if session.config.active.enabled else None


@family.command("PASV", needs=Needs.LOGIN, rfc="959", features=(_pasv_feature,))
async def pasv(session: Session, argument: str) -> Reply:
    """Let the server listen for the data connection (IPv4)."""
    _refuse_after_epsv_all(session)
    if ":" in session.local_host:
        raise ReplyError(522, "PASV knows only IPv4, use EPSV.")
    port = await _listen(session)
    return Reply(227, passive_text(session.runtime.public_address(session.peer_host, session.local_host), port))


@family.command("EPSV [<SP> <net-prt>]", needs=Needs.LOGIN, rfc="2428", features=("EPSV",))
async def epsv(session: Session, argument: str) -> Reply:
    """Let the server listen for the data connection (IPv4 and IPv6)."""
    wanted = argument.strip().upper()
    if wanted == "ALL":
        session.parameters.only_extended_passive = True
        return Reply(200, "Only EPSV from now on.")
    spoken = str(_spoken(session))
    if wanted and wanted not in ("1", "2"):
        raise ReplyError(501 if not wanted.isdigit() else 522, f"Unknown network protocol, use ({spoken})")
    if wanted and wanted != spoken:
        raise ReplyError(522, f"Network protocol not supported, use ({spoken})")
    return Reply(229, extended_passive_text(await _listen(session)))


@family.command("PORT <SP> <host-port>", needs=Needs.LOGIN, rfc="959")
async def port(session: Session, argument: str) -> Reply:
    """Let the server connect to the client (IPv4)."""
    _refuse_after_epsv_all(session)
    try:
        target = parse_port(argument)
    except AddressError as error:
        raise ReplyError(501, f"PORT: {error}") from None
    _aim(session, target)
    return Reply(200, "PORT accepted.")


@family.command(
    "EPRT <SP> <d><net-prt><d><net-addr><d><tcp-port><d>", needs=Needs.LOGIN, rfc="2428", features=(_eprt_feature,)
)
async def eprt(session: Session, argument: str) -> Reply:
    """Let the server connect to the client (IPv4 and IPv6)."""
    _refuse_after_epsv_all(session)
    try:
        protocol, target = parse_eprt(argument)
    except UnknownProtocol:
        raise ReplyError(522, "Network protocol not supported, use (1,2)") from None
    except AddressError as error:
        raise ReplyError(501, f"EPRT: {error}") from None
    spoken = _spoken(session)
    # An IPv6 mapping of an IPv4 address is how the socket of a dual-stack client spells the latter.
    if (protocol if ":" in target.host else IPV4) != spoken:
        # Data connections go only where the control connection comes from, and that is of one family.
        raise ReplyError(522, f"Network protocol not supported, use ({spoken})")
    _aim(session, target)
    return Reply(200, "EPRT accepted.")


def _spoken(session: Session) -> int:
    """Return the network protocol of the control connection, by its number in RFC 2428, 2."""
    return IPV6 if ":" in session.local_host else IPV4


async def _listen(session: Session) -> int:
    try:
        return await session.dtp.listen()
    except PortsExhausted:
        session.publish(PassiveExhausted(session.who))
        raise


def _aim(session: Session, target: HostPort) -> None:
    if not session.config.active.enabled:
        raise ReplyError(502, "Active mode is off, use PASV or EPSV.")
    if ip_address(target.host) != ip_address(session.peer_host) or target.port < FIRST_UNPRIVILEGED_PORT:
        session.publish(DataConnectionRefused(session.who, "foreign-target", "active"))
        raise ReplyError(504, "Data connections go only to your own address, to a port above 1023.")
    session.dtp.aim(target.host, target.port)


def _refuse_after_epsv_all(session: Session) -> None:
    if session.parameters.only_extended_passive:
        raise ReplyError(503, "Not after EPSV ALL.")
