"""
Candidates: the connections that came to an agreed data port, until one of them is the data connection.

Other programs can reach the client's port from the client's own address: a machine behind the same NAT, another
account, a scanner. So where a data connection has to prove its owner, the first that comes is not taken unseen.

* Every connection is a candidate and does its TLS handshake. The first that the agreement's `judge` accepts is the data
  connection; the port is given back then, and the others are closed.
* A candidate that is refused is closed at once, with close_notify where there is TLS, and the wait goes on. When no
  other is left, and none comes within GRACE seconds, the command gets the reason as its reply: a client that cannot
  resume must not wait for `connect_timeout`.
* At most MOST candidates at a time: a further one closes the oldest but the first. So an attacker who comes behind the
  client does no harm, and one who keeps the port full before it has to open nearly as many again while the client
  shakes hands.
* Where nothing is to be proved (PROT C, `data_session_reuse: offered`) the first connection counts, and the port is
  given back when it comes. In active mode there is one, and no port.
* The handshake begins with the transfer command, which sets the direction. Where the direction does not matter it
  begins at once, else after WAIT_FOR_COMMAND seconds: some clients start TLS before they send the command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ftpsd.data.connection import DataConnection
from ftpsd.data.holder import State
from ftpsd.data.ports import Reservation
from ftpsd.data.sockets import DataSocket
from ftpsd.data.trouble import Cause, DataError, Lost, Trouble, aborted
from ftpsd.tls.failure import TLSFailure
from ftpsd.tls.resumption import is_resumed
from ftpsd.tls.session_tls import SessionTLS
from ftpsd.workers import Workers

MOST = 8
# For the client's own connection when another one came first: a SYN that was lost comes again after one second.
GRACE = 3.0
# Seconds between a connection and its transfer command after which TLS begins without it. Clients send both together.
WAIT_FOR_COMMAND = 0.25
# Refusals that are logged for one port; a client has to log in first to add to the audit log.
MOST_LOGGED = 32


# Returns the name of the session whose TLS session a connection resumes, None where that does not count; where that has
# to be waited for, a Deferred: one for every small file would cost 15 us.
Judge: TypeAlias = Callable[[SSL.Connection], "Deferred[str | None] | str | None"]


def judge_by_resumption(connection: SSL.Connection) -> str | None:
    """Let any connection count that resumes a session of its context."""
    return "" if is_resumed(connection) else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason for closing a candidate: *detail* for the audit log, *failure* where its handshake failed."""

    trouble: Trouble
    detail: str
    failure: TLSFailure | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """
    The rules for the data connection of a session, read when they matter: PROT may come behind the connection.

    With *fin_ends* an upload may end without close_notify.
    *refused* is called for every candidate that is closed, *linger* ends those that are closed properly.
    """

    tls: Callable[[], SessionTLS | None]
    needs_proof: Callable[[], bool]
    fin_ends: Callable[[], bool]
    judge: Judge
    refused: Callable[[Refusal], None]
    linger: Callable[[DataConnection], None]


class Candidates:
    """
    The candidates of one agreed port; *reservation* is set where it is a passive one.

    *workers* are for the connections. Times in seconds.
    """

    def __init__(
        self,
        agreement: Agreement,
        workers: Workers,
        clock: IReactorTime,
        connect_timeout: float,
        handshake_timeout: float,
    ) -> None:
        self.reservation: Reservation | None = None
        self.winner: DataConnection | None = None
        self.resumed: str | None = None
        """The session whose TLS session the winner resumes, where that was to be proved."""
        self._agreement = agreement
        self._workers = workers
        self._clock = clock
        self._connect_timeout = connect_timeout
        self._handshake_timeout = handshake_timeout
        # The oldest first.
        self._open: list[DataConnection] = []
        self._commands: dict[DataConnection, IDelayedCall] = {}
        # Candidates whose owner is about to log in.
        self._judged: dict[DataConnection, Deferred[str | None]] = {}
        self._waiter: Deferred[DataConnection] | None = None
        self._is_upload = False
        self._refusal: Refusal | None = None
        self._is_refusal_logged = False
        self._logged = 0
        self._timers: list[IDelayedCall] = []
        self._grace: IDelayedCall | None = None

    def wants_more(self) -> bool:
        """Return whether the port stays open to others behind a connection that comes to it."""
        return self._agreement.tls() is not None and self._agreement.needs_proof()

    def arrived(self, sock: DataSocket) -> None:
        """Take a connection that has come, or that was made."""
        connection = DataConnection(sock, self._workers, self._clock)
        if len(self._open) >= MOST:
            self._drop(self._open[1], Cause.CROWDED)
        self._open.append(connection)
        self._stop_grace()
        tls = self._agreement.tls()
        if tls is None:
            if self._waiter is not None:
                self._win(connection)
        elif self._waiter is not None or not self._needs_direction(tls):
            self._secure(connection, tls)
        else:
            self._commands[connection] = self._clock.callLater(WAIT_FOR_COMMAND, self._start_early, connection)

    def choose(self, *, for_upload: bool) -> Deferred[DataConnection]:
        """
        Return the data connection for the transfer that starts now, secured where PROT P says so.

        Fails with `DataError` when there is none.
        """
        result: Deferred[DataConnection] = Deferred()
        self._waiter = result
        self._is_upload = for_upload
        tls = self._agreement.tls()
        if tls is None and (self.winner is not None or any(each.state is State.HANDSHAKE for each in self._open)):
            if self.winner is not None:
                self._dismiss(self.winner)
            self._fail(DataError(Trouble.NO_TLS, "PROT C was set after the data connection had begun TLS"))
        elif self.winner is not None:
            self._succeed(self.winner)
        else:
            self._timers.append(self._clock.callLater(self._connect_timeout, self._time_is_up))
            if tls is not None:
                for connection in list(self._open):
                    if connection.state is State.CONNECTED:
                        self._secure(connection, tls)
            elif self._open:
                self._win(self._open[0])
            self._consider()
        return result

    def close(self, cause: Cause) -> None:
        """End all of it: the port is no longer needed."""
        self._stop()
        candidates, self._open = self._open, []
        for connection in candidates:
            self._stop_judging(connection)
            connection.abort(cause)
        winner, self.winner = self.winner, None
        if winner is not None:
            winner.abort(cause)
        if self._waiter is not None:
            self._fail(aborted(cause))

    # --- inside

    def _start_early(self, connection: DataConnection) -> None:
        """Begin TLS before there is a command: the client may be waiting for it."""
        tls = self._agreement.tls()
        if tls is not None:
            self._secure(connection, tls)

    def _needs_direction(self, tls: SessionTLS) -> bool:
        """Return whether uploads need more of their TLS than downloads: see `Uplink`."""
        return tls.has_late_tickets or tls.has_cache or self._agreement.fin_ends()

    def _secure(self, connection: DataConnection, tls: SessionTLS) -> None:
        self._stop_waiting_for_command(connection)
        for_upload = self._is_upload and self._needs_direction(tls)
        ends_by_fin = self._agreement.fin_ends()
        secured = connection.secure(tls, self._handshake_timeout, for_upload=for_upload, ends_by_fin=ends_by_fin)
        secured.addCallbacks(lambda _: self._shaken(connection), lambda failure: self._failed(connection, failure))

    def _shaken(self, connection: DataConnection) -> None:
        """Decide whether *connection*, whose handshake is complete, is the data connection."""
        if connection not in self._open:
            return
        assert connection.tls is not None
        if self._agreement.needs_proof():
            judged = self._agreement.judge(connection.tls)
            if not isinstance(judged, Deferred):
                self._decide(connection, judged)
                return
            self._judged[connection] = judged
            judged.addCallbacks(
                lambda whose: self._decide(connection, whose), lambda failure: failure.trap(CancelledError)
            )
        else:
            self._win(connection)

    def _decide(self, connection: DataConnection, whose: str | None) -> None:
        """Take *connection*, which resumes the TLS session of the session *whose*, or end it."""
        self._judged.pop(connection, None)
        if whose is not None:
            self.resumed = whose
            self._win(connection)
        else:
            self._open.remove(connection)
            self._dismiss(connection)
            self._refuse(Refusal(Trouble.NOT_RESUMED, Cause.NOT_RESUMED))

    def _failed(self, connection: DataConnection, failure: Failure) -> None:
        if connection not in self._open:
            return
        self._open.remove(connection)
        lost = failure.value
        assert isinstance(lost, Lost)
        # A client that connects first and then reads 550 gives its connection up: that is no refusal.
        is_given_up = lost.cause is Cause.HANDSHAKE_CUT and self._waiter is None
        self._refuse(Refusal(Trouble.NO_TLS, str(lost), lost.failure), is_logged=not is_given_up)

    def _refuse(self, refusal: Refusal, *, is_logged: bool = True) -> None:
        """Note that a candidate is none any more, and set the command's answer if it was the last."""
        self._refusal = refusal
        self._is_refusal_logged = is_logged
        if is_logged:
            self._log(refusal)
        self._consider()

    def _dismiss(self, connection: DataConnection) -> None:
        """End a connection that has shaken hands, and is not needed, with close_notify."""
        connection.refuse()
        self._agreement.linger(connection)

    def _drop(self, connection: DataConnection, cause: Cause) -> None:
        """Close a candidate that has not been judged."""
        self._open.remove(connection)
        self._stop_waiting_for_command(connection)
        self._stop_judging(connection)
        connection.abort(cause)
        self._log(Refusal(Trouble.NOT_CHOSEN, cause))

    def _log(self, refusal: Refusal) -> None:
        self._logged += 1
        if self._logged <= MOST_LOGGED:
            self._agreement.refused(refusal)

    def _win(self, connection: DataConnection) -> None:
        """Make *connection* the data connection."""
        self._open.remove(connection)
        self._stop_waiting_for_command(connection)
        self.winner = connection
        self._give_back()
        for other in list(self._open):
            self._drop(other, Cause.NOT_CHOSEN)
        if self._waiter is not None:
            self._succeed(connection)

    def _consider(self) -> None:
        """Answer the command that waits, when no candidate is left and none can be expected."""
        if self._waiter is None or self._open:
            return
        is_open = self.reservation is not None and self.reservation.is_pending
        refusal = self._refusal
        if is_open and refusal is not None:
            self._stop_grace()
            self._grace = self._clock.callLater(GRACE, self._time_is_up)
        elif not is_open and refusal is not None:
            self._fail(DataError(refusal.trouble, refusal.detail, is_logged=self._is_refusal_logged))
        elif not is_open:
            stranger = self.reservation.stranger if self.reservation is not None else None
            if stranger is None:
                self._fail(DataError(Trouble.NOBODY_CAME, "nobody connected to the data port in time"))
            else:
                reason = f"a connection came from {stranger}, not from the address of the control connection"
                self._fail(DataError(Trouble.FOREIGN_ADDRESS, reason))

    def _time_is_up(self) -> None:
        """Expect no connection any more; a handshake that has begun has its own time."""
        self._give_back()
        self._consider()

    def _succeed(self, connection: DataConnection) -> None:
        waiter, self._waiter = self._waiter, None
        self._stop()
        assert waiter is not None
        waiter.callback(connection)

    def _fail(self, error: DataError) -> None:
        waiter, self._waiter = self._waiter, None
        assert waiter is not None
        self.close(Cause.NOT_CHOSEN)
        waiter.errback(error)

    def _give_back(self) -> None:
        if self.reservation is not None:
            self.reservation.release()

    def _stop(self) -> None:
        """Expect no connection and no command any more."""
        self._give_back()
        self.reservation = None  # a ring, as its port is for these candidates
        self._stop_grace()
        for timer in (*self._timers, *self._commands.values()):
            if timer.active():
                timer.cancel()
        self._timers.clear()
        self._commands.clear()

    def _stop_grace(self) -> None:
        timer, self._grace = self._grace, None
        if timer is not None and timer.active():
            timer.cancel()

    def _stop_judging(self, connection: DataConnection) -> None:
        judged = self._judged.pop(connection, None)
        if judged is not None:
            judged.cancel()

    def _stop_waiting_for_command(self, connection: DataConnection) -> None:
        timer = self._commands.pop(connection, None)
        if timer is not None and timer.active():
            timer.cancel()
