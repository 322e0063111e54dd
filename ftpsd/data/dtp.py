"""
The server-DTP of one session: from PASV or PORT to a data connection that is ready to carry one transfer.

    listen() or aim()  ->  open()  ->  DataConnection  ->  (the command's transfer)  ->  the next listen() or aim()

* At most one data port is agreed at a time; a new PASV or PORT replaces the old one. A failed command leaves it usable
  (Netscape's symlink probing relies on that), a transfer uses it up.
* Only the address of the control connection may connect (the ports see to that), and with TLS only a connection that
  resumes this control session's TLS, unless the policy says otherwise. Which of several it is: `candidates.py`.
* A finished or refused connection sees to its own end, a bounded number of them (`ending.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from ftpsd.audit.events import DataMode
from ftpsd.data.active import Dialer
from ftpsd.data.candidates import Agreement, Candidates, Judge, Refusal, judge_by_resumption
from ftpsd.data.connection import DataConnection
from ftpsd.data.ending import Tails
from ftpsd.data.ports import PassivePorts
from ftpsd.data.sockets import DataSocket
from ftpsd.data.trouble import Cause, DataError, Lost, Trouble, aborted
from ftpsd.tls.session_tls import SessionTLS
from ftpsd.workers import Workers


@dataclass(frozen=True, slots=True)
class DataSettings:
    """The needs of the server-DTP beyond its session; times in seconds."""

    ports: PassivePorts
    dialer: Dialer | None
    workers: Workers
    clock: IReactorTime
    connect_timeout: float
    handshake_timeout: float


class ServerDTP:
    """
    The data side of one session.

    *peer_host* and *local_host* are the control connection's addresses, *refused* is called for every connection that
    is closed before it is used. `tls` is set when the control connection is secure, `is_protected` by PROT P; `judge`
    decides whose a connection is.
    """

    def __init__(
        self,
        settings: DataSettings,
        peer_host: str,
        local_host: str,
        refused: Callable[[Refusal], None],
    ) -> None:
        self.tls: SessionTLS | None = None
        self.is_protected = False
        self.needs_resumption = True
        self.fin_ends_uploads = False
        self.judge: Judge = judge_by_resumption
        self.resumed: str | None = None
        """The session whose TLS session the last data connection has resumed, where that was to be proved."""
        self.mode: DataMode = "passive"
        self.connection: DataConnection | None = None
        self.tails = Tails()
        self._settings = settings
        self._peer_host = peer_host
        self._local_host = local_host
        self._agreement = Agreement(
            tls=lambda: self.tls if self.is_protected else None,
            needs_proof=lambda: self.needs_resumption,
            fin_ends=lambda: self.fin_ends_uploads,
            judge=lambda connection: self.judge(connection),
            refused=refused,
            linger=self.tails.add,
        )
        self._candidates: Candidates | None = None
        self._target: tuple[str, int] | None = None
        self._dialing: Deferred[DataSocket] | None = None
        self._dismissal: Callable[[], None] | None = None
        # Counts the ends of data connections and of waits for one, so that a command that waits for a port notices.
        self._aborts = 0
        self._abort_cause = Cause.NEW_PORT

    def use(self, settings: DataSettings) -> None:
        """Go on with *settings*."""
        self._settings = settings

    @property
    def has_port(self) -> bool:
        """Whether PASV or PORT has agreed on a data port that is not used up."""
        return self._candidates is not None or self._target is not None

    async def listen(self) -> int:
        """
        Reserve a passive port and return its number.

        Raises:
            PortsExhausted: the range is full for this client.
        """
        self.forget()
        aborts = self._aborts
        candidates = self._new_candidates()
        arrived = cast("Callable[[object], None]", candidates.arrived)
        reservation = await self._settings.ports.claim(self._peer_host, arrived, candidates.wants_more)
        if self._aborts != aborts:
            reservation.release()
            raise aborted(Cause.CLIENT_GONE)
        candidates.reservation = reservation
        self._candidates = candidates
        self.mode = "passive"
        return reservation.port

    def aim(self, host: str, port: int) -> None:
        """Remember where the client listens (PORT, EPRT)."""
        self.forget()
        self._target = (host, port)
        self.mode = "active"

    def forget(self, cause: Cause = Cause.NEW_PORT) -> None:
        """Drop the agreed port and every connection to it."""
        self._target = None
        self.abort(cause)

    def abort(self, cause: Cause) -> None:
        """End the data connection, or the wait for it."""
        self._aborts += 1
        self._abort_cause = cause
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abort(cause)
        if self._dialing is not None:
            self._dialing.cancel()
        candidates, self._candidates = self._candidates, None
        if candidates is not None:
            candidates.close(cause)

    def dismiss_after_reply(self, *, is_whole: bool) -> None:
        """
        Let the connection of a transfer that failed end behind the reply that carries the reason.

        With *is_whole* the end is that of TLS: the bytes sent cannot pass for a file.
        """
        self._dismissal = partial(self._dismiss, is_whole=is_whole)

    def reply_was_sent(self) -> None:
        """End the connection that waited for the reply."""
        dismiss, self._dismissal = self._dismissal, None
        if dismiss is not None:
            dismiss()

    def _dismiss(self, *, is_whole: bool) -> None:
        connection, self.connection = self.connection, None
        if connection is not None and is_whole:
            connection.refuse()
            self.tails.add(connection)
        elif connection is not None:
            connection.abort(Cause.NEW_PORT)
        self.forget()

    def log_out(self) -> None:
        """Forget the user: the agreed port, and the user's settings; the protection level stays."""
        self.forget(Cause.LOGGED_OUT)
        self.needs_resumption, self.fin_ends_uploads = True, False

    def end(self, cause: Cause) -> None:
        """Give everything back, the ends of earlier transfers too: the session is over."""
        self.forget(cause)
        self.tails.close()

    async def open(self, *, for_upload: bool = False) -> DataConnection:
        """
        Return the data connection for the transfer that starts now, checked and, with PROT P, under TLS; the port is
        used up.

        Raises:
            DataError: there is none; nothing may be transferred.
        """
        assert self.tls is not None or not self.is_protected, "PROT P needs TLS on the control connection"
        if self._target is not None:
            self._candidates = await self._dialed(*self._target)
        candidates = self._candidates
        if candidates is None:
            raise DataError(Trouble.NO_PORT, "no data port was agreed")
        try:
            self.connection = await candidates.choose(for_upload=for_upload)
            self.resumed = candidates.resumed
        finally:
            if self._candidates is candidates:
                self._candidates = None
        return self.connection

    def let_go(self, connection: DataConnection) -> None:
        """Forget a connection that has been finished; it sees to its own end."""
        if self.connection is connection:
            self.connection = None
        self.tails.add(connection)

    async def _dialed(self, host: str, port: int) -> Candidates:
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
            raise aborted(self._abort_cause) from None
        finally:
            self._dialing = None
        candidates = self._new_candidates()
        candidates.arrived(sock)
        return candidates

    def _new_candidates(self) -> Candidates:
        settings = self._settings
        times = settings.connect_timeout, settings.handshake_timeout
        return Candidates(self._agreement, settings.workers, settings.clock, *times)
