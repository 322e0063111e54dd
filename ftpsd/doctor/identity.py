"""
The server's identity as clients see it: the certificate's names and dates, and the address of a passive answer.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from ftpsd.config.model import Config
from ftpsd.doctor.finding import Finding, ok, problem, warning
from ftpsd.service.changing.addresses import look_up_ipv4, names_in
from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.served.validity import out_of_date

# Let's Encrypt renews 30 days ahead: with less than two weeks left, something is not renewing.
SOON = timedelta(days=14)
# TEST-NET-1 (RFC 5737). Nothing is sent: connecting a datagram socket only asks the kernel for a route.
SOMEWHERE = ("192.0.2.1", 9)


def look_at_certificate(pair: CertificatePair, host: str | None, now: datetime | None = None) -> Iterator[Finding]:
    """Yield findings about names and dates; *host* is the clients' name for the server, where that was given."""
    moment = now or datetime.now(UTC)
    left, trouble = pair.not_after - moment, out_of_date(pair, moment)
    renew = "renew it and send the daemon a SIGHUP"
    if trouble:
        yield problem(f"the certificate {trouble}, so clients that verify it refuse the server", renew)
    elif left < SOON:
        yield warning(f"the certificate is valid only until {pair.not_after:%Y-%m-%d}", renew)
    else:
        yield ok(f"the certificate is valid until {pair.not_after:%Y-%m-%d}, {left.days} days")
    if not pair.names:
        yield problem(
            "the certificate holds no name (subjectAltName), so that no client accepts it",
            "have it issued for the name that clients connect to",
        )
    elif host is not None and not covers(pair.names, host):
        names = ", ".join(pair.names[:5])
        yield problem(f"the certificate is for {names}, not for {host}", f"have it issued for {host} too")
    else:
        yield ok(f"the certificate is for {', '.join(pair.names[:5])}")


def covers(names: Sequence[str], host: str) -> bool:
    """Return whether a certificate for *names* is good for *host* (RFC 6125: a wildcard stands for one label)."""
    host = host.rstrip(".").lower()
    _, _, parent = host.partition(".")
    return any(name.lower() in (host, f"*.{parent}") for name in names)


def look_at_addresses(
    config: Config,
    look_up: Callable[[str], Sequence[str]] = look_up_ipv4,
    own_address: Callable[[], str | None] | None = None,
) -> Iterator[Finding]:
    """Resolve every address that a 227 may announce, and report the clients that cannot use it."""
    passive = config.passive
    resolved: dict[str, str] = {}
    for name in names_in(passive):
        try:
            resolved[name] = look_up(name)[0]
        except OSError as error:
            yield problem(f"{name}, which PASV announces, cannot be resolved: {error.strerror}", "correct the name")
        else:
            yield ok(f"{name} resolves to {resolved[name]}")
    for choice in passive.public_address_for:
        address = choice.address
        if any(network.is_global for network in choice.networks):
            yield from _looked_at("passive.public_address_for", resolved.get(address, address))
    address = passive.public_address
    if address != "auto":
        yield from _looked_at("passive.public_address", resolved.get(address, address))
    elif all(listener.proxy_protocol is not None for listener in config.listeners):
        yield ok("PASV announces the address at which clients reach the proxy")
        if passive.proxy_protocol is None:
            yield warning(
                "data connections come to the proxy too, and without a PROXY header they count as another client's",
                "set passive.proxy_protocol and let the proxy pass the passive ports on, or name this machine's own "
                "address in passive.public_address",
            )
    else:
        own = (own_address or outgoing_address)()
        if own is None or ip_address(own).is_global:
            yield ok(f"PASV announces the address that the client reached{f', such as {own}' if own else ''}")
        else:
            yield warning(
                f"PASV announces the address that the client reached, here {own}, which is private",
                "if clients come through NAT from the Internet, set passive.public_address to the outer address",
            )


def outgoing_address() -> str | None:
    """Return the IPv4 address from which this machine reaches others, None where there is no way out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(SOMEWHERE)
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _looked_at(key: str, address: str) -> Iterator[Finding]:
    try:
        is_global = ip_address(address).is_global
    except ValueError:
        return  # a name that was not resolved, as reported already
    if is_global:
        yield ok(f"PASV announces {address} ({key})")
    else:
        yield warning(
            f"PASV announces {address} ({key}), which is private: clients in the Internet cannot connect to it",
            "name the outer address, and the inner one for inner networks under passive.public_address_for",
        )
