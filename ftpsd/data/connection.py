"""
Data connections: one TCP connection that carries one transfer.

The socket belongs to the reactor or to exactly one worker, never to both; only its holder reads, writes or closes it.
`abort` may come at any time: it severs the TCP connection, which is safe from any thread, and leaves closing to the
holder.

    CONNECTED --secure--> HANDSHAKE --> READY --carry--> WATCHED <--> LENT
                              READY <--- transfer done ---'
    READY --finish--> CLOSING --> CLOSED            any state --abort--> CLOSED
    (from LENT when the worker has come back)
"""

from __future__ import annotations

from collections.abc import Callable

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ftpsd.data.carry.channel import Channel, ClearChannel, Outcome, SecureChannel
from ftpsd.data.carry.pace import NO_LIMIT, Pace
from ftpsd.data.carry.quantum import BUDGET, Transfer
from ftpsd.data.carry.uplink import Uplink
from ftpsd.data.data_handshake import DataHandshake
from ftpsd.data.ending import REFUSED, Lingering, say_goodbye
from ftpsd.data.holder import MOVES, State
from ftpsd.data.sockets import DataSocket
from ftpsd.data.trouble import Cause, Lost, Truncated
from ftpsd.storage.base import StorageError
from ftpsd.tls.resumption import drop_session, is_resumed, keep_session
from ftpsd.tls.session_tls import SessionTLS
from ftpsd.workers import PoolBusy, Workers

# A transfer that found its pool full tries again after this many seconds.
BUSY_PAUSE = 0.02
# Seconds until a storage that is behind is asked again.
STORAGE_PAUSE = 0.005


class DataConnection:
    """
    One data connection, from the accepted or connected socket to its end.

    *workers* run the quanta of large transfers; *clock* gives the timers. Times in seconds.
    """

    def __init__(self, sock: DataSocket, workers: Workers, clock: IReactorTime) -> None:
        self.state = State.CONNECTED
        self.tls: SSL.Connection | None = None
        self.is_secure = False
        self.closed: Deferred[None] = Deferred()
        self._socket = sock
        self.workers = workers
        self._clock = clock
        self._channel: Channel = ClearChannel(sock.socket)
        self._secured: Uplink | SecureChannel | None = None
        self._waiter: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None
        self._break: IDelayedCall | None = None
        self._lingering: Lingering | None = None
        self._is_refused = False
        self._ends_by_fin = False
        self._uplink: Uplink | None = None
        self._failure: Lost | None = None
        self._transfer: Transfer | None = None
        self._is_inline = True
        self._pace = NO_LIMIT
        self._progress: Callable[[int], None] = _ignore
        self._reported = 0
        self._is_held = False  # by the storage, which is behind: no fault of the client

    @property
    def ended_by_fin(self) -> bool:
        """Whether an upload under TLS has ended without close_notify, and may."""
        return self._secured is not None and self._secured.ended_by_fin

    # --- before the transfer

    def secure(
        self, tls: SessionTLS, timeout: float, *, for_upload: bool = False, ends_by_fin: bool = False
    ) -> Deferred[None]:
        """
        Start the TLS handshake as its server (RFC 4217, 7); the Deferred fires when it is over.

        See `DataHandshake` for *for_upload* and *ends_by_fin*. Fails with `Lost` after *timeout* seconds or when the
        client gives up.
        """
        assert self.state in (State.CONNECTED, State.READY)
        result = self._wait()
        if self._failure is None:
            self._ends_by_fin = ends_by_fin
            self._go(State.HANDSHAKE)
            self._start_timer(timeout, Cause.NO_HANDSHAKE)
            DataHandshake(
                self._socket, tls, self._is_shaken, self._fail, for_upload=for_upload, ends_by_fin=ends_by_fin
            ).begin()
        return result

    def _is_shaken(self, tls: SSL.Connection, uplink: Uplink | None) -> None:
        self._stop_timer()
        self.tls, self._uplink = tls, uplink
        self._channel = self._secured = uplink or SecureChannel(tls, self._socket.socket, ends_by_fin=self._ends_by_fin)
        self.is_secure = True
        self._go(State.READY)
        self._succeed()

    # --- the transfer

    def carry(
        self,
        transfer: Transfer,
        pace: Pace,
        stall_timeout: float,
        *,
        progress: Callable[[int], None],
        inline: bool = False,
    ) -> Deferred[None]:
        """
        Run *transfer* to its end at *pace*; fails with `Lost`, or with the error of its storage.

        *progress* is called with the bytes of each quantum. *inline* runs the quanta in the reactor thread: for bytes
        that are already in memory, where a hand-over costs more than the work. A transfer that moves nothing for
        *stall_timeout* seconds is aborted.
        """
        result = self._wait()
        if self._failure is None:
            if self.state is State.CONNECTED:
                self._go(State.READY)
            self._go(State.WATCHED)
            if inline:
                self._socket.gather()
            else:
                self._socket.release()
            self._transfer = transfer
            self._is_inline = inline
            self._pace = pace
            self._progress = progress
            self._reported = transfer.moved
            if (pause := pace.pause()) > 0:
                # The bytes that the transfer before this one took too much: small files are one quantum and never
                # paused inside.
                self._break = self._clock.callLater(pause, self._resume)
            else:
                self._next()
            if self._transfer is transfer:
                # A small file is often gone by now, and a timer costs as much as encrypting it.
                self._watch_for_stall(transfer, transfer.moved, stall_timeout)
        return result

    def _next(self) -> None:
        """Run the next quantum, here or in a worker."""
        transfer = self._transfer
        assert transfer is not None
        allowance = self._pace.allowance()
        if self._is_inline:
            try:
                self._stepped(transfer.step(self._channel, BUDGET, allowance))
            except Exception:
                self._failed(Failure())
        else:
            self._go(State.LENT)
            self.workers.run(transfer.step, self._channel, BUDGET, allowance).addCallbacks(self._stepped, self._failed)

    def _stepped(self, outcome: Outcome) -> None:
        """Take the socket back after a quantum and decide what comes next."""
        transfer = self._transfer
        assert transfer is not None
        pause = 0.0
        if transfer.moved != self._reported:
            moved = transfer.moved - self._reported
            self._reported = transfer.moved
            self._progress(moved)
            pause = self._pace.spend(moved)
        self._is_held = False
        if self._failure is not None:
            self._close()
        elif outcome is Outcome.DONE:
            self._transfer = None
            self._stop_timer()
            self._go(State.READY)
            self._succeed()
        elif pause > 0 or outcome is Outcome.PAUSED:
            self._go(State.WATCHED)
            self._is_held = outcome is Outcome.PAUSED
            self._break = self._clock.callLater(max(pause, STORAGE_PAUSE if self._is_held else 0.0), self._resume)
        elif outcome is Outcome.AGAIN and not self._is_inline:
            self._next()
        else:
            self._go(State.WATCHED)
            if outcome is Outcome.AGAIN:
                self._break = self._clock.callLater(0, self._resume)
            else:
                if outcome is Outcome.READABLE:
                    # A client that leaves Nagle on holds the next bytes back until then, also close_notify.
                    self._socket.acknowledge_at_once()
                self._socket.watch(self._resume, read=outcome is Outcome.READABLE, write=outcome is Outcome.WRITABLE)

    def _failed(self, failure: Failure) -> None:
        """End a transfer whose quantum raised."""
        if failure.check(PoolBusy):
            self._go(State.WATCHED)
            self._break = self._clock.callLater(BUSY_PAUSE, self._resume)
        elif isinstance(cut := failure.value, Truncated):
            self._fail(Lost(cut.cause, cut.detail))
        elif failure.check(StorageError) and self._failure is None:
            # The connection is as good as before; it is ended behind the reply with the reason.
            self._transfer = None
            self._stop_timer()
            self._go(State.READY)
            waiter, self._waiter = self._waiter, None
            if waiter is not None:
                waiter.errback(failure)
        else:
            self._fail(failure)

    def _resume(self) -> None:
        """Go on after a wait."""
        if self._failure is not None:
            self._close()
        elif self.state is State.WATCHED:
            self._next()

    def _watch_for_stall(self, transfer: Transfer, moved: int, timeout: float) -> None:
        """Look every *timeout* seconds whether bytes have moved since; cheaper than a timer reset for every quantum."""
        is_on_break = self._break is not None and self._break.active()
        if transfer.moved == moved and self._timer is not None and not is_on_break and not self._is_held:
            self._timer = None
            self.abort(Cause.STALLED)
        else:
            self._timer = self._clock.callLater(timeout, self._watch_for_stall, transfer, transfer.moved, timeout)

    # --- the end

    def finish(self, timeout: float, *, wait_for_peer: float = 0.0) -> Deferred[None]:
        """
        End the stream: close_notify, then FIN. The Deferred fires when both are with the kernel.

        Fails with `Lost` when there is no room for them within *timeout* seconds: without them the file has no end.
        With *wait_for_peer* it fires when the client has closed too, or after that many seconds: curl fails when 226
        overtakes a data connection it has not accepted yet. The socket lingers behind the Deferred until the client
        closes.
        """
        result = self._wait()
        if self._failure is None:
            if self.state is State.CONNECTED:
                self._go(State.READY)
            self._go(State.CLOSING)
            self._say_goodbye(wait_for_peer)
            if self.state is State.CLOSING and self._lingering is None:
                self._start_timer(timeout, Cause.END_NOT_TAKEN)
        return result

    def refuse(self) -> None:
        """
        End a connection that is not needed, or no longer: like `finish`, where there is something to end properly.

        Clients that find TLS cut off report that to their users, and not the text of the reply.
        """
        if self.state not in (State.CONNECTED, State.READY):
            self.abort(Cause.NOT_CHOSEN)
        else:
            self._is_refused = True
            self.finish(REFUSED).addErrback(lambda _: None)

    def _say_goodbye(self, wait_for_peer: float) -> None:
        try:
            say_goodbye(self._socket, (self._uplink or self.tls) if self.is_secure else None)
        except (SSL.WantWriteError, SSL.WantReadError):
            self._socket.watch(lambda: self._say_goodbye(wait_for_peer), write=True)
            return
        self._stop_timer()
        if wait_for_peer:
            self._break = self._clock.callLater(wait_for_peer, self._succeed)
        self._lingering = Lingering(self._socket, self._clock, self._close, is_refused=self._is_refused)
        self._lingering.read()
        if not wait_for_peer:
            self._succeed()

    def abort(self, cause: Cause) -> None:
        """End the connection now, in any state; a caller that waits for it gets `Lost(cause)`."""
        if self.state is State.CLOSED or self._failure is not None:
            return
        if self.state is State.LENT:
            self._failure = Lost(cause, is_abort=True)
            self._socket.sever()
        else:
            self._fail(Lost(cause, is_abort=True))

    # --- inside

    def _go(self, state: State) -> None:
        assert state is self.state or state in MOVES[self.state], f"{self.state} -> {state}"
        self.state = state

    def _wait(self) -> Deferred[None]:
        assert self._waiter is None, "one thing at a time"
        result: Deferred[None] = Deferred()
        if self._failure is not None:
            result.errback(self._failure)
        else:
            self._waiter = result
        return result

    def _succeed(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)

    def _fail(self, problem: Lost | Failure) -> None:
        """Close, and fire the waiting Deferred. The reason is that of an abort when one came first."""
        waiter, self._waiter = self._waiter, None
        if self._failure is not None:
            problem = self._failure
        else:
            self._failure = problem if isinstance(problem, Lost) else Lost(Cause.STORAGE)
        self._close()
        if waiter is not None:
            waiter.errback(problem)

    def _close(self) -> None:
        if self.state is State.CLOSED:
            return
        self._stop_timer()
        if self._break is not None and self._break.active():
            self._break.cancel()
        # Each knows the other: a ring would hold all of the transfer, and 17 KiB of OpenSSL's, until it is collected.
        lingering, self._lingering = self._lingering, None
        if lingering is not None:
            lingering.stop()
        if self.is_secure and self.tls is not None:
            if is_resumed(self.tls):
                keep_session(self.tls)
            elif self._is_refused:
                # It belongs to no user: any client that reaches the port could fill the cache with such sessions.
                drop_session(self.tls)
        self._go(State.CLOSED)
        self._transfer = None
        self._socket.close()
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            # In CLOSING the client has closed first, and the wait was for that.
            if self._failure is None:
                waiter.callback(None)
            else:
                waiter.errback(self._failure)
        self.closed.callback(None)

    def _start_timer(self, seconds: float, cause: Cause) -> None:
        self._stop_timer()
        self._timer = self._clock.callLater(seconds, self.abort, cause)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


def _ignore(count: int) -> None:
    """Take no note of progress."""
