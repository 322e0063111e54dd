"""
The units of the configuration: durations, sizes, rates, modes, port ranges.

Every function takes any value of a YAML scalar and returns the value in base units (seconds, bytes, bytes per second),
or raises ValueError with a sentence for the operator.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ftpsd.config.parsing.hiding import HIDDEN, could_be_secret

# More bytes a second than any machine moves. A user's `unlimited` overrules the server's limit with it, because None
# there means "as the server says".
UNLIMITED: Final = 2**62
# Longer than any machine runs; keeps every clock far from overflow.
MAX_DURATION: Final = 100 * 365 * 86400.0

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES: Final = {
    "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
DURATION_PATTERN: Final = r"^[0-9]{1,12}(\.[0-9]{1,6})? ?(ms|s|m|h|d|w)$"
SIZE_PATTERN: Final = r"^[0-9]{1,15}(\.[0-9]{1,6})? ?(B|[kK]B|MB|GB|TB|KiB|MiB|GiB|TiB)$"
RATE_PATTERN: Final = SIZE_PATTERN[:-1] + "/s$"
MODE_PATTERN: Final = r"^0?[0-7]{3}$"
PORTS_PATTERN: Final = r"^[0-9]{1,5}( ?- ?[0-9]{1,5})?$"


@dataclass(frozen=True, slots=True)
class PortRange:
    """The TCP ports from *first* to *last*, both included."""

    first: int
    last: int

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and self.first <= port <= self.last

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last + 1))

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def parse_duration(value: object) -> float:
    """Return seconds from "500ms", "60s", "10m", "24h", "1d", "2w" or a number of seconds."""
    if isinstance(value, str) and re.fullmatch(DURATION_PATTERN[1:-1], value):
        number, unit = _split(value)
        seconds = number * _SECONDS[unit]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise ValueError(f"{describe(value)} is not a duration; write one as 60s, 10m, 24h or 1d")
    if not math.isfinite(seconds) or not 0 <= seconds <= MAX_DURATION:
        raise ValueError(f"{describe(value)} is not a duration between 0 and 100 years")
    return seconds


def show_duration(seconds: float) -> str:
    """Write *seconds* the way an operator does, in the largest unit that leaves a whole number."""
    for unit in ("d", "h", "m", "s"):
        if seconds % _SECONDS[unit] == 0 and seconds >= _SECONDS[unit]:
            return f"{round(seconds / _SECONDS[unit])}{unit}"
    return f"{round(seconds * 1000)}ms" if seconds else "0s"


def parse_size(value: object) -> int:
    """Return bytes from "10MiB", "10MB" or a whole number of bytes."""
    if isinstance(value, str) and re.fullmatch(SIZE_PATTERN[1:-1], value):
        number, unit = _split(value)
        size = round(number * _BYTES[unit])
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        raise ValueError(f"{describe(value)} is not a size; write one as 10MiB (1024 KiB each) or 10MB (1000 kB each)")
    if not 0 <= size < UNLIMITED:
        raise ValueError(f"{describe(value)} is not a size between 0 and 4 EiB")
    return size


def parse_room(value: object) -> int:
    """Return bytes from a size that is more than nothing."""
    size = parse_size(value)
    if size < 1:
        raise ValueError("0 would leave room for nothing; write null for no limit")
    return size


def parse_rate(value: object) -> int:
    """Return bytes per second from "10MiB/s" or a whole number of bytes per second; UNLIMITED for "unlimited"."""
    if value == "unlimited":
        return UNLIMITED
    if isinstance(value, str) and re.fullmatch(RATE_PATTERN[1:-1], value):
        rate = parse_size(value.removesuffix("/s"))
    elif isinstance(value, int) and not isinstance(value, bool):
        rate = parse_size(value)
    else:
        raise ValueError(f"{describe(value)} is not a rate; write one as 10MiB/s, or unlimited")
    if rate < 1:
        raise ValueError("a rate of 0 would never finish; write unlimited for no limit")
    return rate


def parse_mode(value: object) -> int:
    """Return permission bits from a quoted octal string such as "077"."""
    if isinstance(value, str) and re.fullmatch(MODE_PATTERN[1:-1], value):
        return int(value, 8)
    if isinstance(value, int) and not isinstance(value, bool):
        # YAML 1.1 reads a bare 077 as 63 and YAML 1.2 as 77: only the quotes leave no doubt.
        raise ValueError('a mode must be written in quotes, as in "077"')
    raise ValueError(f'{describe(value)} is not a mode; write three octal digits in quotes, as in "077"')


def parse_ports(value: object) -> PortRange:
    """Return the range from "3000-3050", or from one port."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(PORTS_PATTERN[1:-1], text):
        raise ValueError(f"{describe(value)} is not a range of ports; write one as 3000-3050")
    first, _, last = text.partition("-")
    ports = PortRange(int(first), int(last or first))
    if ports.first > ports.last:
        raise ValueError(f"{describe(value)} runs backwards")
    if ports.first < 1 or ports.last > 65535:
        raise ValueError(f"{describe(value)} leaves the TCP ports 1-65535")
    return ports


def split_url(value: object) -> tuple[SplitResult, str, int | None] | None:
    """Return the parts of a URL in printable ASCII, its host ("" for none) and its port; None for anything else."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        return None
    try:
        url = urlsplit(value)
        return url, url.hostname or "", url.port
    except ValueError:
        return None


def describe(value: object) -> str:
    """Name a YAML value in a sentence, short and safe to print."""
    if isinstance(value, str):
        if could_be_secret(value):
            return HIDDEN
        text = "".join(c if c.isprintable() else "?" for c in value[:40])
        return (text + "..." if len(value) > 40 else text) if text.strip() else "empty text"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, (list, tuple)):
        return "a list"
    return str(value)


def _split(text: str) -> tuple[float, str]:
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    return float(number), text[len(number) :].strip()
