"""
Places: the keys of penalties. A client (`client_of` its address) is "192.0.2.7" or "2001:db8:1:2::/64"; a network has
its prefix.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from ftpsd.wire.address import CLIENT_PREFIX, client_of

Network = IPv4Network | IPv6Network
IPV4_BITS = 32


@lru_cache(maxsize=4096)
def network_of(address: str) -> Network | None:
    """Return the network that the client at *address* is; None for text that is no address."""
    try:
        return ip_network(client_of(address))
    except ValueError:
        return None


def widened(client: Network, prefix: int) -> Network:
    """Return the network of *prefix* bits around *client*; *client* itself where that is no wider."""
    return client if prefix >= client.prefixlen else client.supernet(new_prefix=prefix)


def key_of(network: Network) -> str:
    """Return the key of *network*: as `client_of` spells it where it is one client."""
    return str(network.network_address) if network.prefixlen == IPV4_BITS and network.version == 4 else str(network)


def place_from(text: str) -> Network:
    """
    Return the network that an operator means: an address is its client, which for IPv6 is the /64 around it.

    Raises: ValueError, with a sentence.
    """
    try:
        network = ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is neither an address nor a network; write 192.0.2.7 or 192.0.2.0/24") from None
    if isinstance(network, IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            return ip_network((mapped, network.prefixlen - 96), strict=False)
        if network.prefixlen > CLIENT_PREFIX:
            return network.supernet(new_prefix=CLIENT_PREFIX)
    return network
