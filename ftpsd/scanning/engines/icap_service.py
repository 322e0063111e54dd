"""
The words of an ICAP service about itself (RFC 3507, 4.10): how much of a file it wants to see first, how many
connections it takes, the version of its signatures, and for how long that may be believed.

It is kept for each service, in each process of the server, for `Options-TTL` seconds and an hour at most, or until an
answer has another ISTag. The connections that are in use are counted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from time import monotonic

from ftpsd.config.accept.engines import EngineAddress
from ftpsd.scanning.verdict import EngineFailed, said

# Seconds, also for a service that names none: RFC 3507 would have them believed for ever.
LONGEST = 3600.0
# Services that are remembered; a configuration has one or two.
_MOST_KNOWN = 64


@dataclass(frozen=True, slots=True)
class Abilities:
    """
    The abilities of a service.

    *preview* is how many bytes of a file it wants to see before it asks for the rest, None for all at once.
    *connections* is how many it takes, None for any number; *until* is when to ask again.
    """

    preview: int | None
    connections: int | None
    name: str
    tag: str
    until: float

    def share(self, processes: int) -> int | None:
        """Return how many of the connections each of so many *processes* may use, one at least."""
        return None if self.connections is None else max(1, self.connections // processes)

    @property
    def signatures(self) -> str:
        """The name of the service and the version of its signatures."""
        return said(f"{self.name} {self.tag}".strip())


def abilities_in(status: int, fields: Mapping[str, str]) -> Abilities:
    """Return what an answer to OPTIONS says. Raises: EngineFailed."""
    if status != 200:
        raise EngineFailed(f"it answers OPTIONS with {status}")
    methods = [method.strip().upper() for method in fields.get("methods", "").split(",")]
    if "RESPMOD" not in methods:
        raise EngineFailed("its service does not take RESPMOD")
    ttl = _number(fields, "options-ttl")
    return Abilities(
        _number(fields, "preview"),
        _number(fields, "max-connections") or None,
        said(fields.get("service", "")),
        said(fields.get("istag", "").strip('"')),
        monotonic() + min(LONGEST, LONGEST if ttl is None else ttl),
    )


def _number(fields: Mapping[str, str], name: str) -> int | None:
    """Return the number in field *name*, None where there is none. Raises: EngineFailed."""
    value = fields.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 10):
        raise EngineFailed(f"its field {name} has no number")
    return int(value)


class Services:
    """The services that are known, and their connections in use; used by all workers."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[EngineAddress, Abilities] = {}
        self._in_use: dict[EngineAddress, int] = {}

    def find(self, address: EngineAddress) -> Abilities | None:
        """Return what is known of the service at *address* and may still be believed."""
        with self._lock:
            known = self._known.get(address)
            return known if known is not None and monotonic() < known.until else None

    def keep(self, address: EngineAddress, abilities: Abilities) -> None:
        """Remember it."""
        with self._lock:
            self._known.pop(address, None)
            if len(self._known) >= _MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[address] = abilities

    def forget(self, address: EngineAddress) -> None:
        """Ask again the next time."""
        with self._lock:
            self._known.pop(address, None)

    def enter(self, address: EngineAddress, most: int | None) -> bool:
        """Take one of *most* connections; False when all are in use."""
        with self._lock:
            count = self._in_use.get(address, 0)
            if most is not None and count >= most:
                return False
            self._in_use[address] = count + 1
            return True

    def leave(self, address: EngineAddress) -> None:
        """Give one back."""
        with self._lock:
            count = self._in_use[address] - 1
            if count:
                self._in_use[address] = count
            else:
                del self._in_use[address]


# As the connections count for the service, whoever in this process holds them.
SERVICES = Services()
