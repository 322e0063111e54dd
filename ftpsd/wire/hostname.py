"""
The argument of HOST: the name or address that the client typed to reach the server (RFC 7151, 3.1).
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,254}}\Z){_LABEL}(?:\.{_LABEL})*\.?")


class HostNameError(ValueError):
    """Text that is neither a host name nor an address; the exception's text is a sentence fit for a reply."""


def parse_host(argument: str) -> str:
    """
    Read a host name, an IPv4 address or an IPv6 address in brackets; addresses come back in their canonical spelling.

    Raises: HostNameError
    """
    text = argument.strip(" ")
    try:
        if text.startswith("[") and text.endswith("]") and "%" not in text:
            return str(IPv6Address(text[1:-1]))
        if re.fullmatch(r"[0-9.]+", text):
            return str(IPv4Address(text))
    except AddressValueError:
        pass
    else:
        if _NAME.fullmatch(text):
            return text.lower().removesuffix(".")
    raise HostNameError("HOST takes a host name, an IPv4 address, or an IPv6 address in brackets.")
