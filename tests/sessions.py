"""
Sessions in memory: a whole server-PI with its server-DTP, on a clock the test moves.

    server = Server(tls={"require": "none"})
    client = server.connect()
    client.log_in()
    assert client.say("PWD") == '257 "/" is the working directory.'

Everything above storage is the real thing: the command table, dispatch, Portal, passive ports, TLS and the transports.
Fakes are the reactor (a Clock with descriptors), the worker pools (no threads) and the storage. Control and data
connections are TCP connections over loopback, because what they are about is the socket.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from ftpsd.audit.bus import AuditBus
from ftpsd.audit.events import Event
from ftpsd.audit.keeping import KEEPS_NOTHING, Keeper
from ftpsd.audit.metrics import Metrics
from ftpsd.auth.accounts import Accounts, FileAccounts
from ftpsd.auth.checker import UsersChecker, has_second_factors
from ftpsd.auth.credentials import WithCode
from ftpsd.auth.factors import SecondFactors
from ftpsd.auth.hashing.passwords import VerifiedCache
from ftpsd.auth.hashing.queue import LoginQueue
from ftpsd.auth.realm import Avatar, Granted, IAvatar, IProved, Proved
from ftpsd.commands import TABLE
from ftpsd.config.model import Config
from ftpsd.config.users import UserRecord
from ftpsd.control.factory import ControlFactory
from ftpsd.control.gate.eviction import reconsider
from ftpsd.control.pi import ServerPI
from ftpsd.control.state.hosts import Host, Hosts
from ftpsd.control.state.limits import SessionCounts, UserRates
from ftpsd.control.state.runtime import Runtime, Shared
from ftpsd.control.state.session import Session
from ftpsd.control.table import CommandTable
from ftpsd.data.active import Dialer
from ftpsd.data.dtp import DataSettings
from ftpsd.data.ports import PassivePorts
from ftpsd.data.sockets import DataSocket
from ftpsd.durable.store import Store
from ftpsd.storage.base import Storage
from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.live import LiveSessions
from ftpsd.workers import Workers
from tests.connection import Connection
from tests.dataclient import DataClient, close_notify, identity, new_client
from tests.fakes import MemoryStorage
from tests.reactor import Reactor, tcp_pair
from tests.tlsclient import Client
from tests.workers import InlineWorkers

E = TypeVar("E", bound=Event)

PEER, HOST = "198.51.100.7", "203.0.113.1"
USER, PASSWORD = "alice", "open sesame"


def configuration(**sections: object) -> Config:
    """Return a configuration of these sections, everything else as the defaults have it."""
    return Config.model_validate(sections, context={"folder": Path("/nowhere")})


def user_record(name: str = USER, **fields: Any) -> UserRecord:
    """Return a user whose stored "hash" is the password itself."""
    return UserRecord(**{"name": name, "password": PASSWORD, "home": Path("/"), **fields})


@implementer(IRealm)
class MemoryRealm:
    """Gives everybody the one storage, and counts who is in; or *fails_with* an error, or *waits_for* something."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.open = 0
        self.entered = 0
        self.fails_with: Exception | None = None
        self.waits_for: Deferred[None] | None = None

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: object) -> Any:
        """Open nothing yet: see `enter`."""
        user, code = (avatarId.user, avatarId.code) if isinstance(avatarId, WithCode) else (avatarId, None)
        return succeed((IProved, Proved(user, lambda: self.enter(user), code), lambda: None))

    def enter(self, user: UserRecord) -> Deferred[Granted]:
        """Open the storage."""
        self.entered += 1
        if self.fails_with is not None:
            return fail(self.fails_with)

        def log_out() -> None:
            self.open -= 1

        def opened(result: None) -> Granted:
            self.open += 1
            return IAvatar, Avatar(user, self.storage), log_out

        waited, self.waits_for = self.waits_for, None
        return (waited or succeed(None)).addCallback(opened)


class Server:
    """
    The surroundings of sessions; *sections* are those of ftpsd.yaml.

    *files*, *transfer* and *login* are the worker pools, *table* the commands, *keeper* keeps events,
    *state* is the state file.
    """

    def __init__(
        self,
        *,
        files: Workers | None = None,
        transfer: Workers | None = None,
        login: Workers | None = None,
        storage: Storage | None = None,
        user: UserRecord | None = None,
        table: CommandTable = TABLE,
        ports: range = range(3000, 3010),
        keeper: Keeper = KEEPS_NOTHING,
        certificate: bool = True,
        public_address: Callable[[str, str], str] = lambda client, local: local,
        state: Store | None = None,
        **sections: Mapping[str, object] | object,
    ) -> None:
        self.reactor: Any = Reactor()
        self.memory = MemoryStorage()
        self.config = configuration(**sections)
        self.table = table
        self.events: list[Event] = []
        self.counts = SessionCounts()
        self.sessions: set[ServerPI] = set()
        bus = AuditBus(self.reactor.seconds, keeper=keeper)
        bus.subscribe(lambda event, seconds: self.events.append(event))
        self.logins = LoginQueue(login or InlineWorkers())
        self.verified = VerifiedCache(self.reactor)
        self.realm = MemoryRealm(storage or self.memory)
        self.ports = PassivePorts(ports.start, ports.stop - 1, lambda port: None, self.reactor)
        limits = self.config.limits
        pair = identity()[0] if certificate else None
        default = self.host(user or user_record(), user_record("bob"), certificate=pair)
        self.runtime = Runtime(
            config=self.config,
            shared=Shared(
                clock=self.reactor,
                bus=bus,
                metrics=Metrics(CollectorRegistry(), "test"),
                files=files or InlineWorkers(),
                counts=self.counts,
                rates=UserRates(self.reactor),
                live=LiveSessions(self.reactor),
                factors=SecondFactors(state or Store(None, self.reactor.callFromThread), self.reactor),
            ),
            hosts=Hosts(default),
            data=DataSettings(
                ports=self.ports,
                dialer=Dialer(0, limits.data_connect_timeout, self.reactor) if self.config.active.enabled else None,
                workers=transfer or InlineWorkers(),
                clock=self.reactor,
                connect_timeout=limits.data_connect_timeout,
                handshake_timeout=limits.handshake_timeout,
            ),
            public_address=public_address,
        )

    def connect(
        self, *, peer: str = PEER, host: str = HOST, implicit: bool = False, tls: Client | None = None
    ) -> ControlClient:
        """Open a control connection; *tls* is the client's end of implicit TLS."""
        return ControlClient(self, peer, host, implicit=implicit, tls=tls)

    def connect_silently(self) -> ControlClient:
        """Open a connection of implicit TLS whose client says nothing yet."""
        return ControlClient(self, PEER, HOST, implicit=True, is_silent=True)

    def host(self, *records: UserRecord, certificate: CertificatePair | None = None) -> Host:
        """Return a default host with these users."""
        users = {record.name: record for record in records}
        return self.host_of(FileAccounts(users, self.logins, self.verified, check=operator.eq), certificate)

    def host_of(self, accounts: Accounts, certificate: CertificatePair | None = None) -> Host:
        """Return a default host with these accounts."""
        portal = Portal(self.realm, [UsersChecker(accounts, self.reactor, splits=has_second_factors(accounts.known()))])
        return Host("", self.config.banner, accounts, portal, certificate)

    def take(self, *records: UserRecord, **changes: Any) -> None:
        """Reload: from now on there are these users, and what else of the Runtime *changes*."""
        self.serve(self.host(*records, certificate=self.runtime.certificate), **changes)

    def serve(self, host: Host, **changes: Any) -> None:
        """Reload: from now on *host* is the default one, and what else of the Runtime *changes*."""
        hosts = Hosts(host, self.runtime.hosts.names.items())
        self.runtime = replace(self.runtime, **{"hosts": hosts, **changes})
        reconsider(self.sessions)

    def logged_in(self) -> ControlClient:
        """Open a control connection and log in."""
        client = self.connect()
        client.log_in()
        return client

    def published(self, kind: type[E]) -> list[E]:
        """Return the events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]


def clear_server(**arguments: Any) -> Server:
    """Return a server that asks nobody for TLS."""
    return Server(**{"tls": {"require": "none"}, **arguments})


class ControlClient:
    """The client's end of a control connection in memory; *greeting* is what the server said first."""

    def __init__(
        self,
        server: Server,
        peer: str,
        host: str,
        *,
        implicit: bool,
        tls: Client | None = None,
        is_silent: bool = False,
    ) -> None:
        self.server = server
        self.peer = peer
        self.tls: Client | None = None
        factory = ControlFactory(
            "test:0", lambda: server.runtime, server.table, server.sessions, starts_with_tls=implicit
        )
        self.pi = factory.buildProtocol(None)
        self.connection = Connection(server.reactor, self.pi, peer, host)
        if implicit and not is_silent:
            self.shake_hands(tls)
        self.greeting = self.replies()

    @property
    def session(self) -> Session:
        """The server's side of the session."""
        return self.pi.session

    @property
    def is_closed(self) -> bool:
        """Whether the server has closed the connection, or is flushing it to close it."""
        return self.connection.is_closed

    @property
    def is_cut(self) -> bool:
        """Whether the server has cut the connection off."""
        return self.connection.is_cut

    def send(self, *lines: str) -> None:
        """Send *lines* in one segment."""
        self.send_bytes(b"".join(line.encode("utf-8", "surrogateescape") + b"\r\n" for line in lines))

    def send_bytes(self, data: bytes) -> None:
        """Send *data*, through TLS when that has started."""
        self.connection.deliver(self.tls.write(data) if self.tls is not None else data)

    def replies(self) -> str:
        """Take what the server has said since: lines, without their ends."""
        self.server.reactor.advance(0)
        data = self.connection.hear()
        if self.tls is not None:
            data = _decrypted(self.tls, data)
        assert data.endswith(b"\r\n") or not data, data
        return "\n".join(data.decode("utf-8", "surrogateescape").split("\r\n")[:-1])

    def say(self, line: str) -> str:
        """Send a line and return what the server answers at once."""
        self.send(line)
        return self.replies()

    def shake_hands(self, tls: Client | None = None) -> None:
        """Do the TLS handshake, with *tls* or a client that asks for localhost."""
        self.tls = tls or new_client()
        to_server = self.tls.take(b"")
        while to_server:
            self.connection.deliver(to_server)
            to_server = self.tls.take(self.connection.take())

    def start_tls(self, tls: Client | None = None) -> None:
        """Protect the control connection, and take in the session that data connections resume."""
        assert self.say("AUTH TLS").startswith("234 ")
        self.shake_hands(tls)
        assert self.say("PBSZ 0") == "200 PBSZ=0"

    def log_in(self, name: str = USER, password: str = PASSWORD) -> None:
        """Log in."""
        assert self.say(f"USER {name}").startswith("331 ")
        assert self.say(f"PASS {password}").startswith("230 ")

    def hang_up(self, *, clean: bool = True) -> None:
        """End the connection from the client's side."""
        if self.tls is not None and clean:
            self.connection.deliver(close_notify(self.tls))
        self.connection.hang_up(clean=clean)

    def agree(self) -> int:
        """Agree on a passive port."""
        reply = self.say("EPSV")
        assert reply.startswith("229 "), reply
        return int(reply.split("|||")[1].split("|")[0])

    def connect_data(self, port: int | None = None, *, resume: bool = True) -> DataClient:
        """Connect to *port*, or agree on one first; with PROT P resuming the control connection's TLS session."""
        reservation = self.server.ports.take(self.agree() if port is None else port, self.peer)
        assert reservation is not None
        ours, theirs = tcp_pair()
        # Before it arrives: a handshake that begins at once must find our end ready to be told.
        data = DataClient(self.server.reactor, theirs)
        reservation.arrived(DataSocket(ours, self.server.reactor))
        if self.session.dtp.is_protected:
            assert self.tls is not None
            session = self.tls.tls.session if resume else None
            data.shake_hands(new_client(session))
        return data


def _decrypted(tls: Client, data: bytes) -> bytes:
    said = piece = tls.read(data)
    while piece:
        piece = tls.read()
        said += piece
    return said
