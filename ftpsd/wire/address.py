"""
Addresses: data connection endpoints as FTP spells them (RFC 959, 4.1.2; RFC 2428), and which client an address is.

Parsing returns what the client wrote. The rules for it (the control connection's own address, an unprivileged port) are
applied where the data connection is made.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

_PORT_ARGUMENT = re.compile(r",".join([r"([0-9]{1,3})"] * 6))
_NUMBER = re.compile(r"[0-9]{1,5}")

# Bits. RFC 6177 gives every site at least this prefix, and any machine in it may use all addresses behind it.
CLIENT_PREFIX = 64

# The address families of RFC 2428, 2, numbered as in EPRT and EPSV.
IPV4 = 1
IPV6 = 2


class AddressError(ValueError):
    """An address or port that cannot be read; its text is a sentence fit for a reply."""


class UnknownProtocol(AddressError):
    """An address family that is neither IPv4 nor IPv6: 522 in RFC 2428, where AddressError is 501."""


class HostPort(NamedTuple):
    """A numeric address in its canonical spelling, and a port from 1 to 65535."""

    host: str
    port: int


def parse_port(argument: str) -> HostPort:
    """
    Read the "h1,h2,h3,h4,p1,p2" of PORT.

    Raises: AddressError
    """
    match = _PORT_ARGUMENT.fullmatch(argument.strip(" "))
    numbers = [int(number) for number in match.groups()] if match else []
    if not numbers or max(numbers) > 255:
        raise AddressError("PORT takes six numbers from 0 to 255.")
    host = ".".join(map(str, numbers[:4]))
    return HostPort(host, _checked_port(numbers[4] * 256 + numbers[5]))


def parse_eprt(argument: str) -> tuple[int, HostPort]:
    """
    Read the "|protocol|address|port|" of EPRT, with any delimiter; the protocol is IPV4 or IPV6.

    Raises: AddressError, UnknownProtocol
    """
    argument = argument.strip(" ")
    delimiter = argument[:1]
    fields = argument.split(delimiter) if "!" <= delimiter <= "~" else []
    if len(fields) != 5 or fields[0] or fields[4] or not _NUMBER.fullmatch(fields[1]):
        raise AddressError("EPRT takes |protocol|address|port|.")
    _, protocol, host, port, _ = fields
    if not _NUMBER.fullmatch(port):
        raise AddressError("EPRT takes a port from 1 to 65535.")
    endpoint = HostPort(_canonical_host(int(protocol), host), _checked_port(int(port)))
    return int(protocol), endpoint


def passive_text(host: str, port: int) -> str:
    """
    Return the text of 227; *host* is an IPv4 address.

    Raises: AddressError
    """
    # NAT helpers and old clients match this sentence to the letter, and look for the first comma in it.
    numbers = (*_canonical_host(IPV4, host).split("."), *divmod(_checked_port(port), 256))
    return f"Entering Passive Mode ({','.join(map(str, numbers))})"


def extended_passive_text(port: int) -> str:
    """
    Return the text of 229.

    Raises: AddressError
    """
    # No trailing period: vsftpd 3.0.3 dropped it for a client that could not read past it.
    return f"Entering Extended Passive Mode (|||{_checked_port(port)}|)"


def client_of(host: str) -> str:
    """
    Return the key of the client at the numeric address *host* in limits, penalties and fairness: the IPv4 address, or
    the /64 of an IPv6 one. Text that is no address is its own key.
    """
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host.partition("%")[0])
    except AddressValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), CLIENT_PREFIX), strict=False))


def _canonical_host(protocol: int, host: str) -> str:
    try:
        if protocol == IPV4:
            return str(IPv4Address(host))
        if protocol == IPV6 and "%" not in host:  # a zone names an interface of the client's machine, not of ours
            # A dual-stack client may name its IPv4 address as its own socket spells it.
            address = IPv6Address(host)
            return str(address.ipv4_mapped or address)
    except AddressValueError:
        pass
    if protocol not in (IPV4, IPV6):
        raise UnknownProtocol("Network protocol not supported, use (1,2)")
    raise AddressError("Not a numeric address of that protocol.")


def _checked_port(port: int) -> int:
    if not 1 <= port <= 65535:
        raise AddressError("Ports run from 1 to 65535.")
    return port


def plain_address(host: str) -> str:
    """Return *host* in the form in which addresses are compared: no IPv6 mapping of an IPv4 address, no zone."""
    if host.startswith("::ffff:") and "." in host:
        return host[7:]
    return host.partition("%")[0]


def is_literal(host: str) -> bool:
    """Return whether *host* is an address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
