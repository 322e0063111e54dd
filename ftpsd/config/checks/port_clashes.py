"""
Ports of a configuration that clash.

The functions look at attributes only, so that this file needs no model: it is read by the model.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, Protocol

from ftpsd.config.parsing.document import Key
from ftpsd.config.units import PortRange


class ListenerLike(Protocol):
    """A listener to compare."""

    @property
    def address(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def socket(self) -> str | None: ...


class PassiveLike(Protocol):
    """The passive section to compare."""

    @property
    def ports(self) -> PortRange: ...


class MetricsLike(Protocol):
    """The metrics section to compare."""

    @property
    def address(self) -> str: ...
    @property
    def port(self) -> int: ...


class ConfigLike(Protocol):
    """The sections that open ports."""

    @property
    def listeners(self) -> Sequence[ListenerLike]: ...
    @property
    def passive(self) -> PassiveLike: ...
    @property
    def metrics(self) -> MetricsLike | None: ...
    @property
    def processes(self) -> int | Literal["auto"]: ...


def misplaced(data: object) -> Iterator[tuple[Key, str]]:
    """Yield a key and a sentence for every listener, in the plain *data* of the file, that names no place or two."""
    listeners = data.get("listeners") if isinstance(data, dict) else None
    for index, listener in enumerate(listeners if isinstance(listeners, list) else ()):
        if not isinstance(listener, dict):
            continue
        if listener.get("socket") is not None:
            if not listener.keys().isdisjoint({"port", "address"}):
                yield ("listeners", index), "the socket brings its port and address from systemd; remove them here"
        elif listener.keys() <= {"mode", "address", "socket", "proxy_protocol"}:
            # With a strange key beside these, the port is probably there, misspelt; that complaint is enough.
            yield ("listeners", index), "a listener needs a port, or the socket: NAME that systemd passes"


def clashes(config: ConfigLike) -> Iterator[tuple[Key, str]]:
    """Yield a key and a sentence for every port that two parts of *config* claim; port 0 never clashes."""
    for index, listener in enumerate(config.listeners):
        key = ("listeners", index, "port" if listener.socket is None else "socket")
        for sentence in _listener_clashes(listener, config.listeners[:index], config.passive.ports):
            yield key, sentence
    ports = len(config.passive.ports)
    if config.processes != "auto" and config.processes > ports:
        yield (
            ("processes",),
            f"{config.processes} processes need a passive port each, and passive.ports {config.passive.ports} "
            f"has {ports}; widen passive.ports, or write {ports} here at most",
        )
    metrics = config.metrics
    if metrics is None or not metrics.port:
        return
    if metrics.port in config.passive.ports:
        yield ("metrics", "port"), f"{metrics.port} lies in passive.ports {config.passive.ports}; move one of the two"
    for index, listener in enumerate(config.listeners):
        if _same_port(listener, metrics.address, metrics.port):
            yield ("metrics", "port"), f"{metrics.port} is taken by listeners[{index}]; choose another port"


def _listener_clashes(listener: ListenerLike, earlier: Iterable[ListenerLike], passive: PortRange) -> Iterator[str]:
    for index, other in enumerate(earlier):
        if listener.socket is not None:
            if listener.socket == other.socket:
                yield f"the socket {listener.socket} is used by listeners[{index}] already; remove one of the two"
        elif _same_port(other, listener.address, listener.port):
            yield f"{listener.port} is taken by listeners[{index}] already; remove one of the two or change its port"
    if listener.socket is None and listener.port in passive:
        yield f"{listener.port} lies in passive.ports {passive}; move one of the two"


def _same_port(listener: ListenerLike, address: str, port: int) -> bool:
    return listener.socket is None and port != 0 and listener.port == port and _overlap(listener.address, address)


def _overlap(one: str, other: str) -> bool:
    # "::" is opened for both families.
    first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    if first == second or "::" in (one, other):
        return True
    return first.version == second.version and (first.is_unspecified or second.is_unspecified)
