"""
The hosts of a configuration: which names they have, and which certificates.

Names are DNS names as TLS and HOST carry them, with a star as the whole first label where one entry serves many. The
functions look at attributes and plain values only, so that this file needs no model: it is read by the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Final, Literal, Protocol

from pydantic import PlainValidator, WithJsonSchema

from ftpsd.config.parsing.document import Key
from ftpsd.config.units import describe

# RFC 1123 section 2.1 with the length limits of RFC 1035; at least two labels behind a star: no authority signs
# "*.com".
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z)(?:\*\.{_LABEL}\.)?{_LABEL}(?:\.{_LABEL})*")
_SCHEMA: Final = {"type": "string", "pattern": r"^(\*\.)?[A-Za-z0-9.-]+$"}
# The names that a scraper may use for the machine: also "ftpsd_1", as containers are called, and an address behind NAT.
_SPOKEN: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")
_SPOKEN_SCHEMA: Final = {
    "oneOf": [{"const": "auto"}, {"type": "array", "items": {"type": "string", "pattern": "^[A-Za-z0-9_.:-]+$"}}],
}


def check_host_name(value: object) -> str:
    """Accept a DNS name, or one with a star for its first label; return it in lower case."""
    if isinstance(value, str):
        if _NAME.fullmatch(value) and not re.fullmatch(r"[0-9.]+", value):
            return value.lower()
        if not value.isascii():
            raise ValueError(f"{describe(value)} has letters that DNS does not have; write the name in its xn-- form")
    raise ValueError(f"{describe(value)} is not the name of a host; write one such as ftp.example.com or *.example.com")


def check_spoken_names(value: object) -> Literal["auto"] | tuple[str, ...]:
    """Accept `auto`, or a list of names and addresses as they stand in a Host header; return them in lower case."""
    if value == "auto":
        return "auto"
    if not isinstance(value, list | tuple):
        raise ValueError(f"{describe(value)} is no list of names; write one such as [ftp.example.com], or auto")
    return tuple(_check_spoken(each) for each in value)


def _check_spoken(value: object) -> str:
    if isinstance(value, str):
        if _SPOKEN.fullmatch(value):
            return value.lower()
        with suppress(ValueError):
            return str(IPv6Address(value))
    raise ValueError(f"{describe(value)} is not the name of a host; write one such as ftp.example.com, without a port")


SpokenNames = Annotated[
    Literal["auto"] | tuple[str, ...], PlainValidator(check_spoken_names), WithJsonSchema(_SPOKEN_SCHEMA)
]
HostName = Annotated[str, PlainValidator(check_host_name), WithJsonSchema(_SCHEMA)]


# The key of further pairs for the names of another.
ALSO: Final = "also"


@dataclass(frozen=True, slots=True)
class PairFiles:
    """The files of a certificate, the *key* of the section they stand in, and the *names* they are to serve."""

    key: Key
    certificate: Path
    private_key: Path
    names: tuple[str, ...] = ()


class PairLike(Protocol):
    """The files of a pair; an entry of also."""

    @property
    def certificate(self) -> Path: ...
    @property
    def private_key(self) -> Path: ...


class PairsLike(PairLike, Protocol):
    """A section with a pair, and further ones for the same names."""

    @property
    def also(self) -> Sequence[PairLike]: ...


class NamedPairLike(PairsLike, Protocol):
    """An entry of tls.server_names."""

    @property
    def names(self) -> Sequence[str]: ...


class TLSLike(PairsLike, Protocol):
    """The section tls."""

    @property
    def server_names(self) -> Sequence[NamedPairLike]: ...


class HostLike(Protocol):
    """An entry of virtual_hosts."""

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def certificate(self) -> Path | None: ...
    @property
    def private_key(self) -> Path | None: ...
    @property
    def also(self) -> Sequence[PairLike]: ...


class HostsLike(Protocol):
    """The sections that name hosts."""

    @property
    def tls(self) -> TLSLike: ...
    @property
    def virtual_hosts(self) -> Sequence[HostLike]: ...


def main_pairs(config: HostsLike) -> Iterator[PairFiles]:
    """Yield the main certificate of *config*, and those beside it."""
    yield PairFiles(("tls",), config.tls.certificate, config.tls.private_key)
    yield from _further(("tls",), config.tls.also)


def named_pairs(config: HostsLike) -> Iterator[PairFiles]:
    """Yield the certificates of *config* that have names: all but the main one and those beside it."""
    for number, entry in enumerate(config.tls.server_names):
        key: Key = ("tls", "server_names", number)
        yield PairFiles(key, entry.certificate, entry.private_key, tuple(entry.names))
        yield from _further(key, entry.also)
    for number, host in enumerate(config.virtual_hosts):
        if host.certificate is not None and host.private_key is not None:
            key = ("virtual_hosts", number)
            yield PairFiles(key, host.certificate, host.private_key, tuple(host.names))
            yield from _further(key, host.also)


def first_beside(key: Key) -> Key:
    """Return the key of the pair beside which that of *key* stands: its own, unless it is an entry of also."""
    return key[:-2] if key[-2:-1] == (ALSO,) else key


def _further(key: Key, pairs: Sequence[PairLike]) -> Iterator[PairFiles]:
    """Yield further pairs, whose names are to be those of the first: no names are checked at their own key."""
    for number, entry in enumerate(pairs):
        yield PairFiles((*key, ALSO, number), entry.certificate, entry.private_key)


def half_pairs(data: object) -> Iterator[tuple[Key, str]]:
    """Yield a key and a sentence for each host, in the plain *data* of the file, with half a certificate."""
    hosts = data.get("virtual_hosts") if isinstance(data, dict) else None
    for number, host in enumerate(hosts if isinstance(hosts, list) else ()):
        if isinstance(host, dict):
            there = [name for name in ("certificate", "private_key") if host.get(name) is not None]
            if len(there) == 1:
                other = "private_key" if there == ["certificate"] else "certificate"
                yield ("virtual_hosts", number, there[0]), f"goes together with {other}; add it, or remove both"
            elif not there and host.get(ALSO):
                message = "stands beside a certificate of the host's own; add certificate and private_key"
                yield ("virtual_hosts", number, ALSO), message


def repeated_names(config: HostsLike) -> Iterator[tuple[Key, str]]:
    """Yield a key and a sentence for each name that *config* gives to two entries."""
    entries: list[tuple[Key, Sequence[str]]] = [
        *((("tls", "server_names", number), entry.names) for number, entry in enumerate(config.tls.server_names)),
        *((("virtual_hosts", number), host.names) for number, host in enumerate(config.virtual_hosts)),
    ]
    seen: set[str] = set()
    for key, names in entries:
        for number, name in enumerate(names):
            if name in seen:
                yield (*key, "names", number), f"{name} is named already, further up; a name belongs to one entry"
            seen.add(name)
