"""Numbers, addresses and texts of the other server, as ftpsd.yaml may have them; None where it may not."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_DIGITS: Final = re.compile(r"[0-9]{1,12}")
_NAME: Final = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+"
)
MOST: Final = 1_000_000


def number(text: str) -> int | None:
    """Return a whole number of at most twelve digits."""
    text = text.strip()
    return int(text) if _DIGITS.fullmatch(text) else None


def count(text: str) -> int | None:
    """Return how many there may be, from 1 to a million."""
    found = number(text)
    return found if found is not None and 1 <= found <= MOST else None


def port(text: str) -> int | None:
    """Return a TCP port."""
    found = number(text)
    return found if found is not None and 1 <= found <= 65535 else None


def ports(first: str, last: str) -> str | None:
    """Return a range of TCP ports."""
    low, high = port(first), port(last)
    return f"{low}-{high}" if low is not None and high is not None and low <= high else None


def seconds(text: str) -> str | None:
    """Return a duration that is more than nothing and at most a year."""
    found = number(text)
    return f"{found}s" if found is not None and 1 <= found <= 366 * 86400 else None


def mode(text: str) -> str | None:
    """Return permission bits in three octal digits."""
    text = text.strip()
    if not re.fullmatch(r"0{0,2}[0-7]{1,3}", text):
        return None
    return f"{int(text, 8):03o}"


def address(text: str) -> str | None:
    """Return an IP address to listen on."""
    try:
        found = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return None if getattr(found, "scope_id", None) else str(found)


def public(text: str) -> str | None:
    """Return an IPv4 address or a DNS name that clients can be told."""
    found = address(text)
    if found is not None:
        ipv4 = ipaddress.ip_address(found)
        return found if ipv4.version == 4 and not ipv4.is_unspecified and not ipv4.is_multicast else None
    text = text.strip()
    return text if _NAME.fullmatch(text) and len(text) <= 253 and not text[-1].isdigit() else None


def line(text: str) -> str | None:
    """Return a text of one line that clients can be greeted with."""
    text = text.strip()
    return text if text and text.isprintable() and len(text) <= 500 else None


def file(text: str) -> str | None:
    """Return the path of a file that a setting can name."""
    text = text.strip()
    return text if text.startswith("/") and text.isprintable() and len(text) <= 1024 else None
