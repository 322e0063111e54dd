"""The names that a self-signed certificate can have: addresses and DNS names."""

from __future__ import annotations

import re
import socket
from ipaddress import ip_address

# RFC 1035, 2.3.4; underscores are in names of machines, though not of hosts.
LONGEST = 253
_NAME = re.compile(
    r"([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)


def is_name(host: str) -> bool:
    """Return whether *host* is an address, or a DNS name in ASCII."""
    try:
        ip_address(host)
    except ValueError:
        return len(host) <= LONGEST and _NAME.fullmatch(host) is not None
    return True


def own_name() -> str:
    """Return what this machine calls itself, or localhost where no certificate can have that name."""
    name = socket.getfqdn()
    return name if is_name(name) else "localhost"
