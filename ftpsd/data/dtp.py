"""
The server-DTP of one session: from PASV or PORT to a data connection that is ready to carry one transfer.

    listen() or aim()  ->  open()  ->  DataConnection  ->  (the command's transfer)  ->  the next listen() or aim()

* At most one data port is agreed at a time; a new PASV or PORT replaces the old one. A failed command leaves it usable
  (Netscape's symlink probing relies on that), a transfer uses it up.
* A passive connection is accepted as soon as it arrives. Its TLS handshake begins with the transfer command, or a
  moment after the connection if no command comes: some clients start TLS before they say what they want.
* Only the address of the control connection may connect (the ports see to that), and with TLS only a connection that
  resumes this control session's TLS, unless the policy says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, cast

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ftpsd.audit.events import DataMode
from ftpsd.data.active import Dialer
from ftpsd.data.connection import DataConnection, Lost
from ftpsd.data.ports import PassivePorts, Reservation
from ftpsd.data.transport import DataSocket
from ftpsd.tls.session import SessionTLS
from ftpsd.workers import Workers

# Seconds between a passive connection and its transfer command after which TLS begins without it. Clients send both
# together.
WAIT_FOR_COMMAND = 0.25


class Trouble(Enum):
    """Why there is no data connection."""

    NO_PORT = auto()
    """Neither PASV nor PORT came first."""
    NOBODY_CAME = auto()
    NOT_REACHED = auto()
    NO_TLS = auto()
    NOT_RESUMED = auto()
    ABORTED = auto()


class DataError(Exception):
    """There is no data connection to use; *trouble* tells dispatch the reply, the text tells the audit log."""

    def __init__(self, trouble: Trouble, reason: str) -> None:
        super().__init__(reason)
        self.trouble = trouble
        self.reason = reason


Whose = Callable[[SSL.Connection], Coroutine[Any, Any, str | None]]


@dataclass(frozen=True, slots=True)
class DataSettings:
    """What the server-DTP needs beyond its session; times in seconds."""

    ports: PassivePorts
    dialer: Dialer | None
    workers: Workers
    clock: IReactorTime
    connect_timeout: float
    handshake_timeout: float


class ServerDTP:
    """
    The data side of one session.

    *peer_host* and *local_host* are the control connection's addresses. `tls` is set when the control connection is
    secure, `is_protected` by PROT P. *whose* names the session whose TLS session a data connection resumes, None where
    that does not count.
    """

    def __init__(self, settings: DataSettings, peer_host: str, local_host: str, whose: Whose) -> None:
        self.tls: SessionTLS | None = None
        self.is_protected = False
        self.needs_resumption = True
        self._whose = whose
        self._verdict: Deferred[str | None] | None = None
        self.resumed: str | None = None
        """The session whose TLS session the last data connection has resumed."""
        self.mode: DataMode = "passive"
        self.connection: DataConnection | None = None
        self._settings = settings
        self._peer_host = peer_host
        self._local_host = local_host
        self._reservation: Reservation | None = None
        self._target: tuple[str, int] | None = None
        self._early: Deferred[None] | None = None
        self._arrival: Deferred[DataConnection] | None = None
        self._command_timer: IDelayedCall | None = None
        self._dialing: Deferred[DataSocket] | None = None
        # Counts what ended the data connection or the wait for one, so that who waits for a port notices.
        self._aborts = 0

    @property
    def has_port(self) -> bool:
        """Whether PASV or PORT has agreed on a data port that is not used up."""
        return self._reservation is not None or self._target is not None

    async def listen(self) -> int:
        """
        Reserve a passive port and return its number.

        Raises:
            PortsExhausted: the range is full for this client.
        """
        self.forget()
        aborts = self._aborts
        arrived = cast("Callable[[object], None]", self._arrived)
        reservation = await self._settings.ports.claim(self._peer_host, arrived)
        if self._aborts != aborts:
            reservation.release()
            raise DataError(Trouble.ABORTED, "the session ended while it waited for a port")
        self._reservation = reservation
        self.mode = "passive"
        return reservation.port

    def aim(self, host: str, port: int) -> None:
        """Remember where the client listens (PORT, EPRT)."""
        self.forget()
        self._target = (host, port)
        self.mode = "active"

    def forget(self) -> None:
        """Drop the agreed port and whatever has connected to it."""
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            reservation.release()
        self._target = None
        self._stop_waiting_for_command()
        early, self._early = self._early, None
        if early is not None:
            # The handshake of a connection that no transfer asked for may fail unheard.
            early.addErrback(lambda _: None)
        self.abort("a new data port was agreed")

    def abort(self, reason: str) -> None:
        """End the data connection, or the wait for it."""
        self._aborts += 1
        self._stop_waiting_for_command()
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abort(reason)
        if self._dialing is not None:
            self._dialing.cancel()
        if self._verdict is not None:
            self._verdict.cancel()
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            arrival.errback(DataError(Trouble.ABORTED, reason))

    async def open(self, *, for_upload: bool = False) -> DataConnection:
        """
        Return the data connection for the transfer that starts now, checked and, with PROT P, under TLS; the port is
        used up.

        Raises:
            DataError: there is none; nothing may be transferred.
        """
        connection = await self._passive() if self._target is None else await self._active(*self._target)
        self._reservation = self._target = None
        self._stop_waiting_for_command()
        early, self._early = self._early, None
        if self.is_protected:
            tls = self.tls
            assert tls is not None, "PROT P needs TLS on the control connection"
            try:
                holds_back = for_upload and tls.has_late_tickets
                await (early or connection.secure(tls, self._settings.handshake_timeout, for_upload=holds_back))
            except Lost as lost:
                trouble = Trouble.NO_TLS if self.connection is connection else Trouble.ABORTED
                raise DataError(trouble, str(lost)) from None
            assert connection.tls is not None
            try:
                self._verdict = Deferred.fromCoroutine(self._whose(connection.tls))
                self.resumed = await self._verdict
            except CancelledError:
                raise DataError(Trouble.ABORTED, "aborted") from None
            finally:
                self._verdict = None
            if self.needs_resumption and self.resumed is None:
                raise DataError(
                    Trouble.NOT_RESUMED, "the data connection does not resume the control connection's TLS session"
                )
        elif early is not None:
            raise DataError(Trouble.NO_TLS, "PROT C was set after the data connection had begun TLS")
        return connection

    def let_go(self, connection: DataConnection) -> None:
        """Forget a connection that has been finished; it sees to its own end."""
        if self.connection is connection:
            self.connection = None

    async def _passive(self) -> DataConnection:
        """Return the connection that has arrived, or wait for it."""
        if self._reservation is None:
            raise DataError(Trouble.NO_PORT, "no data port was agreed")
        if self.connection is None:
            self._arrival = arrival = Deferred[DataConnection]()
            timer = self._settings.clock.callLater(self._settings.connect_timeout, self._nobody_came)
            try:
                await arrival
            finally:
                if timer.active():
                    timer.cancel()
        connection = self.connection
        assert connection is not None
        return connection

    async def _active(self, host: str, port: int) -> DataConnection:
        """Connect to the client."""
        if self._settings.dialer is None:
            raise DataError(Trouble.NOT_REACHED, "active mode is off")
        self._target = None
        self._dialing = self._settings.dialer.dial(self._local_host, host, port)
        try:
            sock = await self._dialing
        except Lost as lost:
            raise DataError(Trouble.NOT_REACHED, str(lost)) from None
        except CancelledError:
            raise DataError(Trouble.ABORTED, "aborted while connecting") from None
        finally:
            self._dialing = None
        self.connection = DataConnection(sock, self._settings.workers, self._settings.clock)
        return self.connection

    def _arrived(self, sock: DataSocket) -> None:
        """Take the client's connection to our passive port."""
        settings = self._settings
        connection = self.connection = DataConnection(sock, settings.workers, settings.clock)
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            arrival.callback(connection)
        elif self.is_protected and self.tls is not None and not self.tls.has_late_tickets:
            self._start_early(connection, self.tls)
        elif self.is_protected and self.tls is not None:
            # The command tells the direction, and that who may get tickets.
            self._command_timer = settings.clock.callLater(WAIT_FOR_COMMAND, self._start_early, connection, self.tls)

    def _start_early(self, connection: DataConnection, tls: SessionTLS) -> None:
        """Begin TLS before there is a command: the client may be waiting for it."""
        if self.connection is connection and self.is_protected:
            self._early = connection.secure(tls, self._settings.handshake_timeout)

    def _stop_waiting_for_command(self) -> None:
        timer, self._command_timer = self._command_timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _nobody_came(self) -> None:
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            reservation.release()
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            arrival.errback(DataError(Trouble.NOBODY_CAME, "nobody connected to the data port in time"))
