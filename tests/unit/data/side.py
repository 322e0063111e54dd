"""The data side of a session for a test, with a range of one port."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ftpsd.data.active import Dialer
from ftpsd.data.candidates import GRACE, Refusal
from ftpsd.data.dtp import DataSettings, ServerDTP
from ftpsd.data.ports import PassivePorts
from ftpsd.data.sockets import DataSocket
from ftpsd.data.trouble import DataError, Trouble
from ftpsd.tls.session_tls import SessionTLS
from tests.dataclient import DataClient, identity
from tests.reactor import Reactor, tcp_pair
from tests.tlsclient import TLS_1_3, Client, client_context, connect_control
from tests.workers import InlineWorkers

HOST = "127.0.0.1"
CONNECT, HANDSHAKE = 60.0, 30.0


class Opening:
    """The outcome of `open` or `listen`."""

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self.result: Any = None
        self.is_over = False

        async def ask() -> Any:
            return await awaitable

        Deferred.fromCoroutine(ask()).addBoth(self._end)

    def _end(self, result: object) -> None:
        self.is_over = True
        self.result = result.value if isinstance(result, Failure) else result

    @property
    def trouble(self) -> Trouble:
        """Why there is no connection."""
        assert isinstance(self.result, DataError), self.result
        return self.result.trouble


class Side:
    """The data side of a session, with a range of one port."""

    def __init__(self, *, dialer: bool = True) -> None:
        self.reactor: Any = Reactor()
        self.ports = PassivePorts(5000, 5000, lambda port: None, self.reactor)
        self.settings = DataSettings(
            ports=self.ports,
            dialer=Dialer(0, CONNECT, self.reactor) if dialer else None,
            workers=InlineWorkers(),
            clock=self.reactor,
            connect_timeout=CONNECT,
            handshake_timeout=HANDSHAKE,
        )
        self.refusals: list[Refusal] = []
        self.dtp = ServerDTP(self.settings, HOST, HOST, self.refusals.append)
        self.control: Any = None

    def protect(self) -> None:
        """Put the control connection under TLS, and its data connections too."""
        self.dtp.tls = SessionTLS(identity()[0])
        self.control = connect_control(self.dtp.tls, client_context(identity()[1], TLS_1_3))
        self.dtp.is_protected = True

    def listen(self) -> None:
        """Agree on the passive port."""
        assert Opening(self.dtp.listen()).result == 5000

    def arrive(self) -> DataClient:
        """Let the client connect to it."""
        reservation = self.ports.take(5000, HOST)
        assert reservation is not None
        ours, theirs = tcp_pair()
        client = DataClient(self.reactor, theirs)
        reservation.arrived(DataSocket(ours, self.reactor))
        return client

    def open(self) -> Opening:
        """Ask for the connection, as a transfer does."""
        return Opening(self.dtp.open())

    def patience_ends(self) -> None:
        """Let the time pass in which another candidate may come."""
        self.reactor.advance(GRACE)

    def resuming(self) -> Any:
        """Return a TLS client that resumes the control connection's session."""
        context = self.control.client.tls.context
        return Client(context, self.control.client.tls.session)
