"""
Hosts: HOST, which chooses a virtual host before the login (RFC 7151).

Under TLS the client has seen one certificate and trusts it for one host. So it stays with the hosts of that
certificate: to reach one with another, it has to connect by that one's name. And if it has asked for a name in its TLS
hello, that is its host, and HOST can only repeat it (RFC 7151, 3.2.2; ProFTPD refuses the same).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftpsd.control.table import Family, Needs
from ftpsd.tls.certificates import CertificatePair
from ftpsd.wire.hostname import HostNameError, parse_host
from ftpsd.wire.reply import Reply, ReplyError

if TYPE_CHECKING:
    from ftpsd.control.session import Session

family = Family("hosts")


def shows_host(session: Session) -> str | None:
    """Return the line of FEAT: only where there is a choice, for lftp sends HOST as soon as it is offered."""
    return "HOST" if session.runtime.hosts.are_several else None


@family.command("HOST <SP> <hostname>", needs=Needs.NOTHING, rfc="7151", features=(shows_host,))
async def host(session: Session, argument: str) -> Reply:
    """Name the host you want to log in to."""
    if session.avatar is not None:
        raise ReplyError(503, "HOST comes before the login.")
    try:
        name = parse_host(argument)
    except HostNameError as error:
        raise ReplyError(501, str(error)) from None
    hosts = session.runtime.hosts
    named = hosts.called(name, session.local_host)
    if named is None:
        raise ReplyError(504, "Unknown host.")
    wanted = named.host.certificate or hosts.default.certificate
    tls = session.dtp.tls  # after CCC, too
    if tls is not None and named.host is not session.host and not _is_same(wanted, tls.pair):
        raise ReplyError(504, "That host has another certificate, connect to it by its own name.")
    if tls is not None and tls.server_name is not None and named.host is not session.first_host:
        raise ReplyError(504, "That is not the host you asked for in the TLS handshake.")
    session.user_name = None
    session.enter(named.host)
    return Reply(220, named.host.banner)


def _is_same(wanted: CertificatePair | None, shown: CertificatePair) -> bool:
    # A reload has read the files anew.
    return wanted is not None and wanted.fingerprint == shown.fingerprint
