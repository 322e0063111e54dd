"""Listeners: sentences for operators, systemd's sockets, and passive ports on every address."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack
from typing import Any

import pytest
from twisted.logger import capturedLogs, formatEvent

from ftpsd.audit.bus import AuditBus
from ftpsd.audit.events import ConnectionRejected, Event, Who
from ftpsd.audit.labels import NAME
from ftpsd.commands import TABLE
from ftpsd.config.model import Config, Listener, ProxyProtocol
from ftpsd.control.factory import ControlFactory
from ftpsd.service.listeners import (
    MOST_WARNED,
    ListenProblem,
    PassiveListeners,
    bound_address,
    bound_port,
    close_unused,
    listener_name,
    open_control,
    port_of,
)
from tests.reactor import PATIENCE, Reactor
from tests.sessions import configuration
from tests.unit.service.site import PortReactor

FACTORY: Any = None
BUS = AuditBus(failed=lambda count: None)


def refusal(number: int) -> str:
    """Return what is said of a port that cannot be bound."""
    reactor = PortReactor(lambda port, interface: number)
    with pytest.raises(ListenProblem) as problem:
        open_control(Listener(mode="explicit", address="192.0.2.1", port=21), FACTORY, {}, BUS, reactor)
    return str(problem.value)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EADDRINUSE, "port 21 on 192.0.2.1 is in use by another program; find it with: ss -tlnp 'sport = :21'"),
        (errno.EACCES, "port 21 on 192.0.2.1 may not be bound by this user; start through the systemd sockets or use"),
        (errno.EADDRNOTAVAIL, "port 21 on 192.0.2.1 cannot be bound: no interface of this machine has that address"),
        (errno.ENOBUFS, "port 21 on 192.0.2.1 cannot be bound: No buffer space available"),
    ],
)
def test_a_port_that_cannot_be_bound(number: int, words: str) -> None:
    """The sentence says what to do."""
    assert refusal(number).startswith(words)


def test_a_kernel_without_ipv6() -> None:
    """The default address still means everywhere."""
    reactor = PortReactor(lambda port, interface: errno.EAFNOSUPPORT if interface == "::" else None)
    (port,) = open_control(Listener(mode="explicit", address="::", port=21), FACTORY, {}, BUS, reactor)
    assert bound_address(port) == "0.0.0.0"


def test_a_socket_of_systemd() -> None:
    """It is found by its name, every one of that name."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        reactor = PortReactor()
        sockets = {"explicit": [one.fileno(), two.fileno()]}
        assert len(open_control(Listener(mode="explicit", socket="explicit"), FACTORY, sockets, BUS, reactor)) == 2
        assert reactor.adopted == [(one.fileno(), socket.AF_INET), (two.fileno(), socket.AF_INET)]


def test_a_socket_of_systemd_stays_open() -> None:
    """Looking at it must not close it."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        open_control(Listener(mode="explicit", socket="x"), FACTORY, {"x": [one.fileno()]}, BUS, PortReactor())
        os.fstat(one.fileno())


@pytest.mark.parametrize(("sockets", "have"), [({}, "none"), ({"b": [3], "a": [4]}, "a, b")])
def test_a_socket_that_was_not_passed(sockets: dict[str, list[int]], have: str) -> None:
    """The sentence names what is there, and what to enable."""
    with pytest.raises(ListenProblem) as problem:
        open_control(Listener(mode="explicit", socket="explicit"), FACTORY, sockets, BUS, PortReactor())
    assert f"(passed: {have})" in str(problem.value)
    assert "FileDescriptorName=explicit" in str(problem.value)


@pytest.mark.parametrize(
    ("listener", "port", "name"),
    [
        (Listener(mode="explicit", port=21), None, "explicit:21"),
        (Listener(mode="implicit", socket="implicit"), 990, "implicit:990"),
    ],
)
def test_names_of_listeners(listener: Listener, port: int | None, name: str) -> None:
    """The name in audit log and metrics is the port, also of a socket that has a name, for a label has one form."""
    assert listener_name(listener, port) == name
    assert NAME.fullmatch(name)


def test_a_socket_that_is_no_tcp_socket() -> None:
    """A sentence that says what its unit needs."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as passed,
        pytest.raises(ListenProblem, match="ListenStream="),
    ):
        port_of(passed.fileno())


def test_a_socket_that_nobody_uses() -> None:
    """Clients are refused although somebody else keeps it open; what cannot be shut down is closed all the same."""
    with socket.create_server(("127.0.0.1", 0)) as kept, socket.socket(socket.AF_UNIX) as other:
        port = kept.getsockname()[1]
        passed = {"implicit": [os.dup(kept.fileno())], "odd": [os.dup(other.fileno())]}
        first, second = close_unused(passed)
        assert f"the socket implicit (port {port})" in first
        assert "the socket odd that" in second
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), PATIENCE)
        for descriptors in passed.values():
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(descriptors[0])


@pytest.mark.parametrize("has_socket", [True, False], ids=["socket", "port"])
def test_a_listener_behind_a_proxy(has_socket: bool) -> None:
    """Bound here or passed by systemd: who is no proxy is closed and told of, and systemd's socket stays open."""
    reactor: Any = Reactor()
    events: list[Event] = []
    bus = AuditBus()
    bus.subscribe(lambda event, seconds: events.append(event))
    no_runtime: Any = None
    factory = ControlFactory("explicit:x", no_runtime, TABLE, set(), starts_with_tls=False)
    proxies = ProxyProtocol.model_validate({"trusted": ["192.0.2.2"]})
    with socket.create_server(("127.0.0.1", 0)) as passed:
        passed.setblocking(False)
        place = {"socket": "x"} if has_socket else {"address": "127.0.0.1", "port": free_port()}
        listener = Listener.model_validate({"mode": "explicit", "proxy_protocol": proxies, **place})
        (port,) = open_control(listener, factory, {"x": [passed.fileno()]}, bus, reactor)
        with socket.create_connection(("127.0.0.1", bound_port(port)), PATIENCE) as client:
            reactor.run_until(lambda: bool(events))
            assert client.recv(1) == b""
        assert events == [
            ConnectionRejected(
                Who("", None, "127.0.0.1", "explicit:x"), "proxy-protocol", "not one of proxy_protocol.trusted"
            )
        ]
        port.stopListening()
        reactor.advance(0)
        assert reactor.watched == 0
        os.fstat(passed.fileno())


def test_a_listener_behind_a_proxy_whose_port_is_taken() -> None:
    """The sentence is the same as for every listener."""
    reactor: Any = Reactor()
    proxies = ProxyProtocol.model_validate({"trusted": ["192.0.2.2"]})
    factory = ControlFactory("x", FACTORY, TABLE, set(), starts_with_tls=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listener = Listener(mode="explicit", address="127.0.0.1", port=taken.getsockname()[1], proxy_protocol=proxies)
        with pytest.raises(ListenProblem, match="is in use by another program"):
            open_control(listener, factory, {}, BUS, reactor)


# --- passive ports


class Passive:
    """Passive listeners on a reactor that the test turns."""

    def __init__(self, *addresses: str) -> None:
        self.reactor: Any = Reactor()
        self.asked: list[tuple[int, str]] = []
        config: Config = configuration()
        self.listeners = PassiveListeners(config, BUS, self.reactor)
        self.listeners.accept = self._accept
        self.listeners.use(set(addresses))

    def _accept(self, port: int, address: str) -> None:
        self.asked.append((port, address))

    def connect(self, port: int, address: str = "127.0.0.1") -> bytes:
        """Connect to *port* as a stranger and return what comes: the end."""
        asked = len(self.asked)
        with socket.create_connection((address, port), PATIENCE) as client:
            self.reactor.run_until(lambda: len(self.asked) > asked)
            return client.recv(1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_a_passive_port_asks_whose_connection_it_is() -> None:
    """With its own number and the client's address; a stranger is closed."""
    passive, port = Passive("127.0.0.1"), free_port()
    passive.listeners.listen(port)
    assert passive.connect(port) == b""
    assert passive.asked == [(port, "127.0.0.1")]
    passive.listeners.close()


def test_a_passive_port_is_opened_on_every_address() -> None:
    """Clients of each control listener reach it."""
    passive, port = Passive("127.0.0.1", "127.0.0.2"), free_port()
    passive.listeners.listen(port)
    for address in ("127.0.0.1", "127.0.0.2"):
        assert passive.connect(port, address) == b""
    passive.listeners.close()


def test_a_passive_port_that_is_taken() -> None:
    """OSError, and what was opened on other addresses is closed again."""
    passive = Passive("127.0.0.1", "127.0.0.2")
    with socket.create_server(("127.0.0.2", 0)) as taken:
        with pytest.raises(OSError, match="in use"):
            passive.listeners.listen(taken.getsockname()[1])
        assert passive.reactor.watched == 0


def test_passive_ports_that_are_taken_are_told_once() -> None:
    """It says how to find the other program; every claim tries the port again, and a range may be taken whole."""
    passive = Passive("127.0.0.1")
    with capturedLogs() as told, ExitStack() as taken:
        ports = [
            taken.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(MOST_WARNED + 2)
        ]
        for port in [*ports, *ports]:
            with pytest.raises(OSError, match="in use"):
                passive.listeners.listen(port)
    lines = [formatEvent(event) for event in told]
    assert len(lines) == MOST_WARNED
    assert lines[0] == (
        f"passive.ports: port {ports[0]} on 127.0.0.1 is in use by another program; "
        f"find it with: ss -tlnp 'sport = :{ports[0]}'"
    )
    assert lines[-1].endswith("; other ports are not named any more")


@pytest.mark.parametrize("addresses", [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1", "::1")])
def test_a_wildcard_covers_its_family(addresses: tuple[str, ...]) -> None:
    """One control listener everywhere and one on loopback: the passive ports open all the same."""
    passive, port = Passive(*addresses), free_port()
    passive.listeners.listen(port)
    assert passive.connect(port) == b""
    passive.listeners.close()


def test_closing_closes_every_port() -> None:
    """Nothing is watched any more."""
    passive = Passive("127.0.0.1")
    passive.listeners.listen(free_port())
    passive.listeners.listen(free_port())
    passive.listeners.close()
    passive.reactor.turn()
    assert passive.reactor.watched == 0
