"""
Listeners: control ports, bound here or passed by systemd, and the passive ports, on the same addresses.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger

from ftpsd.audit.bus import AuditBus
from ftpsd.config.model import Config, Listener, ProxyProtocol
from ftpsd.config.parsing.document import ConfigError
from ftpsd.control.factory import ControlFactory
from ftpsd.control.proxied import ProxiedControlPort, rejecting_data
from ftpsd.control.transport import ControlTransport
from ftpsd.data.ports import Reservation
from ftpsd.data.proxy_header import HeaderStage, ProxiedDataPort
from ftpsd.data.sockets import DataPort, DataSocket

log = Logger()
BACKLOG = 1024
# Passive ports that cannot be opened and are named in the log; a whole range may belong to another program.
MOST_WARNED = 5
ANY_IPV6, ANY_IPV4 = "::", "0.0.0.0"
INTERNET = (socket.AF_INET, socket.AF_INET6)


class ListenProblem(Exception):
    """A port that cannot be opened, in a sentence that says what to do; *complaint* has its place in the file."""

    def __init__(self, sentence: str, complaint: ConfigError | None = None) -> None:
        super().__init__(sentence)
        self.complaint = complaint

    def told(self, path: Path) -> str:
        """Return the line for the operator of the server with the configuration at *path*."""
        return f"{path}: {self}" if self.complaint is None else str(self.complaint)


class OpenPorts:
    """The ports of a server that are open: those of each control listener, behind its mode, and the one for metrics."""

    def __init__(self) -> None:
        self.control: list[tuple[str, list[IListeningPort]]] = []
        self.admin: IListeningPort | None = None

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Close again the ports opened within, when one cannot be opened (ListenProblem)."""
        try:
            yield
        except ListenProblem:
            self.close()
            raise

    @property
    def addresses(self) -> set[str]:
        """The addresses that clients reach."""
        return {bound_address(port) for _, ports in self.control for port in ports}

    @property
    def metrics_port(self) -> int | None:
        """The number of the port for metrics."""
        return None if self.admin is None else bound_port(self.admin)

    def describe(self) -> str:
        """Name the control listeners, for people."""
        named = [f"{mode} on port {bound_port(port)}" for mode, ports in self.control for port in ports]
        return ", ".join(dict.fromkeys(named))

    def hold(self) -> None:
        """Let clients wait in the queue of the kernel, until `go_on`."""
        for _, ports in self.control:
            for port in ports:
                port.stopReading()  # type: ignore[attr-defined]

    def go_on(self) -> None:
        """Accept those who wait, and others."""
        for _, ports in self.control:
            for port in ports:
                port.startReading()  # type: ignore[attr-defined]

    def hold_admin(self) -> None:
        """Leave the questions about metrics and health to another process, until `go_on_with_admin`."""
        if self.admin is not None:
            self.admin.stopReading()  # type: ignore[attr-defined]

    def go_on_with_admin(self) -> None:
        """Answer them."""
        if self.admin is not None:
            self.admin.startReading()  # type: ignore[attr-defined]

    def descriptors(self) -> list[int]:
        """Return the sockets that listen, that for metrics among them."""
        every = [port for _, ports in self.control for port in ports] + ([] if self.admin is None else [self.admin])
        return [port.fileno() for port in every]  # type: ignore[attr-defined]

    def stop_listening(self) -> None:
        """Accept no more clients. Metrics and health are answered until the end: operators watch a drain by them."""
        for _, ports in self.control:
            for port in ports:
                port.stopListening()
        self.control.clear()

    def close(self) -> None:
        """Close every port."""
        self.stop_listening()
        if self.admin is not None:
            self.admin.stopListening()
            self.admin = None


class PassiveListeners:
    """The opener of the long-lived listener of a passive port on every address that a control listener has."""

    def __init__(self, config: Config, bus: AuditBus, reactor: Any) -> None:
        self.accept: Callable[[int, str], Reservation | None] | None = None
        self.addresses: list[str] = []
        self.may_be_held = False
        """Whether a process from before an upgrade may have some of the ports still; nothing is warned of then."""
        self._reactor = reactor
        self._open: list[DataPort] = []
        self._warned: set[int] = set()
        proxies = config.passive.proxy_protocol
        self._stage = None if proxies is None else HeaderStage(proxies.trusted, reactor, rejecting_data(bus))

    def use(self, addresses: set[str]) -> None:
        """Listen on *addresses* from now on; a wildcard covers the others of its family, `::` those of both."""
        if ANY_IPV6 in addresses:
            addresses = {ANY_IPV6}
        elif ANY_IPV4 in addresses:
            addresses = {ANY_IPV4, *(address for address in addresses if ":" in address)}
        self.addresses = sorted(addresses)

    def listen(self, port: int) -> None:
        """
        Open *port*.

        Raises:
            OSError: on one of the addresses it cannot be opened.
        """
        opened: list[DataPort] = []
        try:
            for address in self.addresses:
                listener = self._listener(port, address)
                listener.startListening()
                opened.append(listener)
        except CannotListenError as error:
            for listener in opened:
                listener.stopListening()  # type: ignore[no-untyped-call]
            self._warn(port, why_not(address, port, error))
            raise OSError(error.socketError.errno, os.strerror(error.socketError.errno or 0)) from None
        self._open += opened

    def _warn(self, port: int, why: str) -> None:
        """Warn of *port* once: it is tried again whenever a client might get it."""
        if self.may_be_held or port in self._warned or len(self._warned) >= MOST_WARNED:
            return
        self._warned.add(port)
        rest = "; other ports are not named any more" if len(self._warned) == MOST_WARNED else ""
        log.warn("passive.ports: {why}{rest}", why=why, rest=rest)

    def close_some(self, ports: Collection[int]) -> None:
        """Close *ports*."""
        for listener in [each for each in self._open if each.port in ports]:
            self._open.remove(listener)
            listener.stopListening()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close every port."""
        for listener in self._open:
            listener.stopListening()  # type: ignore[no-untyped-call]
        self._open.clear()
        if self._stage is not None:
            self._stage.close()

    def _listener(self, port: int, address: str) -> DataPort:
        accept = partial(self._arrived, port)
        if self._stage is None:
            return DataPort(port, address, accept, self._reactor)
        return ProxiedDataPort(port, address, accept, self._reactor, self._stage)

    def _arrived(self, port: int, address: str) -> Callable[[DataSocket], None] | None:
        assert self.accept is not None
        reservation = self.accept(port, address)
        return None if reservation is None else reservation.arrived


def open_control(
    listener: Listener, factory: IProtocolFactory, sockets: dict[str, list[int]], bus: AuditBus, reactor: Any
) -> list[IListeningPort]:
    """
    Open one configured listener.

    Raises:
        ListenProblem: it cannot be opened.
    """
    if listener.socket is not None:
        passed = passed_as(listener.socket, sockets)
        return [adopt(listener, descriptor, factory, bus, reactor) for descriptor in passed]
    try:
        if listener.proxy_protocol is not None:
            port = _proxied(listener.proxy_protocol, listener.port, listener.address, factory, bus, reactor)
            port.startListening()
            return [outlived(port)]
        return [_speaking_at_once(outlived(reactor.listenTCP(listener.port, factory, BACKLOG, listener.address)))]
    except CannotListenError as error:
        number = error.socketError.errno
        if number == errno.EAFNOSUPPORT and listener.address == ANY_IPV6:
            # A kernel without IPv6: the default address still means "everywhere".
            return open_control(listener.model_copy(update={"address": ANY_IPV4}), factory, sockets, bus, reactor)
        raise ListenProblem(why_not(listener.address, listener.port, error)) from None


def bound(listener: Listener) -> socket.socket:
    """
    Return the listening socket of one configured *listener*, as Twisted makes them, for others to accept from.

    Raises:
        ListenProblem: it cannot be opened.
    """
    try:
        family, kind, _, _, place = socket.getaddrinfo(
            listener.address, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )[0]
        opened = socket.socket(family, kind)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(place)
            opened.listen(BACKLOG)
        except OSError:
            opened.close()
            raise
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT and listener.address == ANY_IPV6:
            return bound(listener.model_copy(update={"address": ANY_IPV4}))
        problem = CannotListenError(listener.address, listener.port, error)
        raise ListenProblem(why_not(listener.address, listener.port, problem)) from None
    opened.setblocking(False)
    return opened


def open_admin_port(
    config: Config, site: IProtocolFactory, reactor: Any, given: Callable[[str, int], int | None] = lambda *_: None
) -> IListeningPort | None:
    """
    Open the port of *site*, where the configuration has one; *given* returns the socket that listens there already.

    Raises:
        ListenProblem: it cannot be opened.
    """
    metrics = config.metrics
    if metrics is None:
        return None
    descriptor = given(metrics.address, metrics.port)
    try:
        if descriptor is not None:
            family = socket.AF_INET6 if ":" in metrics.address else socket.AF_INET
            adopted: IListeningPort = reactor.adoptStreamPort(descriptor, family, site)
            return adopted
        listening = outlived(reactor.listenTCP(metrics.port, site, BACKLOG, metrics.address))
    except CannotListenError as error:
        raise ListenProblem(f"metrics: {why_not(metrics.address, metrics.port, error)}") from None
    return listening


def listener_name(listener: Listener, port: int | None = None) -> str:
    """Return the name in audit log and metrics of *listener*, whose socket, where systemd opened it, is on *port*."""
    return f"{listener.mode}:{port or listener.socket or listener.port}"


def bound_address(port: IListeningPort) -> str:
    """Return the address a listener is bound to."""
    host: str = port.getHost().host  # type: ignore[attr-defined]
    return host


def bound_port(port: IListeningPort) -> int:
    """Return the port number a listener is bound to."""
    number: int = port.getHost().port  # type: ignore[attr-defined]
    return number


def passed_as(name: str, sockets: dict[str, list[int]]) -> list[int]:
    """
    Return the descriptors of those of systemd's *sockets* that are called *name*.

    Raises:
        ListenProblem: there is none.
    """
    try:
        return sockets[name]
    except KeyError:
        have = ", ".join(sorted(sockets)) or "none"
        raise ListenProblem(
            f"systemd passed no socket named {name} (passed: {have}); "
            f"enable a socket unit with FileDescriptorName={name}"
        ) from None


def adopt(
    listener: Listener, descriptor: int, factory: IProtocolFactory, bus: AuditBus, reactor: Any
) -> IListeningPort:
    """Open *listener* on the socket *descriptor*, which stays open when the port is closed."""
    # The descriptor stays ours: a listener that is closed on reload must leave systemd's socket as it was.
    with _checked(descriptor) as passed:
        # A server that did not use it has closed it (close_unused), and it is still systemd's.
        if not passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            passed.listen(BACKLOG)
        if listener.proxy_protocol is not None:
            host = passed.getsockname()[0]
            port = _proxied(listener.proxy_protocol, 0, host, factory, bus, reactor)
            port.adopt(descriptor, passed.family)
            return port
        return _speaking_at_once(reactor.adoptStreamPort(descriptor, passed.family, factory))


def port_of(descriptor: int) -> int:
    """Return the port of the socket *descriptor*."""
    with _checked(descriptor) as passed:
        number: int = passed.getsockname()[1]
        return number


def close_unused(sockets: dict[str, list[int]]) -> list[str]:
    """
    Close *sockets* of systemd's that no listener uses, and return a sentence for each.

    systemd keeps them open too, so closing ours would leave clients waiting for a greeting that never comes: the
    sockets themselves are shut down, and clients are refused.
    """
    told = []
    for name, descriptors in sockets.items():
        for descriptor in descriptors:
            where = ""
            with socket.socket(fileno=descriptor) as passed, suppress(OSError):
                if passed.family in INTERNET:
                    where = f" (port {passed.getsockname()[1]})"
                passed.shutdown(socket.SHUT_RDWR)
            told.append(
                f"the socket {name}{where} that systemd has opened is used by no listener, and is closed: "
                f"write {{mode: explicit or implicit, socket: {name}}} into listeners, or mask its socket unit"
            )
    return told


def _checked(descriptor: int) -> socket.socket:
    """Return the TCP socket *descriptor*, by a descriptor of its own."""
    passed = socket.socket(fileno=os.dup(descriptor))
    if passed.family in INTERNET and passed.type == socket.SOCK_STREAM:
        return passed
    passed.close()
    raise ListenProblem("a socket that systemd passed is no TCP socket; its unit needs ListenStream= with a port")


def _proxied(
    settings: ProxyProtocol, port: int, host: str, factory: IProtocolFactory, bus: AuditBus, reactor: Any
) -> ProxiedControlPort:
    # The supervisor, which accepts nothing, opens its listeners without proxies (processes/supervisor.py).
    assert isinstance(factory, ControlFactory)
    return ProxiedControlPort(port, host, factory, settings, bus, reactor)


def outlived(port: Any) -> IListeningPort:
    """Have the end of *port* close its descriptor and no more: a successor may listen on the same socket."""
    port._shouldShutdown = False
    listening: IListeningPort = port
    return listening


def _speaking_at_once(port: Any) -> IListeningPort:
    """Make the connections of *port* send replies at once."""
    port.transport = ControlTransport
    listening: IListeningPort = port
    return listening


def why_not(address: str, port: int, error: CannotListenError) -> str:
    """Return why a port cannot be bound, and the remedy."""
    number = error.socketError.errno or 0
    where = f"port {port} on {address}"
    if number == errno.EADDRINUSE:
        return f"{where} is in use by another program; find it with: ss -tlnp 'sport = :{port}'"
    if number == errno.EACCES:
        return f"{where} may not be bound by this user; start through the systemd sockets or use a port above 1023"
    if number == errno.EADDRNOTAVAIL:
        return f"{where} cannot be bound: no interface of this machine has that address"
    return f"{where} cannot be bound: {os.strerror(number)}"
