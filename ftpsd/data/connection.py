"""
Data connections: one TCP connection that carries one transfer.

The socket belongs to the reactor or to exactly one worker, never to both; only its holder reads, writes or closes it.
`abort` may come at any time: it severs the TCP connection, which is safe from any thread, and leaves closing to the
holder.

    CONNECTED --secure--> HANDSHAKE --> READY --carry--> WATCHED <--> LENT
                              READY <--- transfer done ---'
    READY --finish--> CLOSING --> CLOSED            any state --abort--> CLOSED (from LENT when the worker has come
    back)
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum, auto

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ftpsd.data.pace import NO_LIMIT, Pace
from ftpsd.data.quantum import BUDGET, Channel, ClearChannel, Outcome, SecureChannel, Transfer, Truncated
from ftpsd.data.transport import DataSocket
from ftpsd.data.uplink import Uplink
from ftpsd.tls.session import SessionTLS
from ftpsd.workers import PoolBusy, Workers

# How long a finished connection waits for the client's FIN. A close() while client bytes are still on their way would
# answer them with a RST, and a RST can overtake the end of the file.
LINGER = 10.0
# What a client may still send meanwhile before we stop listening to it.
LINGER_BYTES = 256 * 1024
# A transfer that found its pool full tries again after this many seconds.
BUSY_PAUSE = 0.02


class State(IntEnum):
    """Who may touch the socket: the reactor, except while LENT. Numbers: Python 3.11 hashes other enums slowly."""

    CONNECTED = auto()
    HANDSHAKE = auto()
    READY = auto()
    WATCHED = auto()
    LENT = auto()
    CLOSING = auto()
    CLOSED = auto()


MOVES: dict[State, frozenset[State]] = {
    State.CONNECTED: frozenset({State.HANDSHAKE, State.READY, State.CLOSED}),
    State.HANDSHAKE: frozenset({State.READY, State.CLOSED}),
    State.READY: frozenset({State.HANDSHAKE, State.WATCHED, State.LENT, State.CLOSING, State.CLOSED}),
    State.WATCHED: frozenset({State.LENT, State.READY, State.CLOSED}),
    State.LENT: frozenset({State.WATCHED, State.READY, State.CLOSED}),
    State.CLOSING: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}


class Lost(Exception):
    """The data connection failed or, *is_abort*, was ended from our side; the text says why, for the audit log."""

    def __init__(self, reason: str, *, is_abort: bool = False) -> None:
        super().__init__(reason)
        self.is_abort = is_abort


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
        self._workers = workers
        self._clock = clock
        self._channel: Channel = ClearChannel(sock.socket)
        self._waiter: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None
        self._break: IDelayedCall | None = None
        self._has_said_goodbye = False
        self._has_answered = False
        self._uplink: Uplink | None = None
        self._failure: Lost | None = None
        self._transfer: Transfer | None = None
        self._is_inline = True
        self._pace = NO_LIMIT
        self._progress: Callable[[int], None] = _ignore
        self._reported = 0
        self._linger_bytes = LINGER_BYTES

    # --- before the transfer

    def secure(self, tls: SessionTLS, timeout: float, *, for_upload: bool = False) -> Deferred[None]:
        """
        Start the TLS handshake as its server (RFC 4217, 7); the Deferred fires when it is over.

        With *for_upload* the tickets of TLS 1.3 are held back until the client has sent everything: see `uplink.py`.
        Fails with `Lost` after *timeout* seconds or when the client gives up.
        """
        assert self.state in (State.CONNECTED, State.READY)
        result = self._wait()
        if self._failure is None:
            if for_upload:
                self._uplink = Uplink(self._socket.socket, tls.buffered_data_connection())
                self.tls = self._uplink.tls
            else:
                self.tls = tls.data_connection(self._socket.socket)
            self._go(State.HANDSHAKE)
            self._start_timer(timeout, "the TLS handshake took too long")
            # The client speaks first, and most do so only after our 150.
            self._socket.acknowledge_at_once()
            self._socket.watch(self._shake, read=True)
        return result

    def _shake(self) -> None:
        assert self.tls is not None
        try:
            if self._uplink is not None:
                self._uplink.shake_hands()
            else:
                if self._has_answered and self.tls.get_protocol_version_name() == "TLSv1.3":
                    # The last step sends nothing that the client waits for, but a ticket: it leaves with the file, if
                    # that is small. 2% of the processor time of 1 KiB for eight clients. In TLS 1.2 the client may be
                    # waiting for what comes now. (The control connection's tickets and its end gained nothing.)
                    self._socket.gather()
                self.tls.do_handshake()
        except SSL.WantReadError:
            self._has_answered = True
            self._socket.release()
            self._socket.acknowledge_at_once()
            self._socket.watch(self._shake, read=True)
        except SSL.WantWriteError:
            self._socket.watch(self._shake, write=True)
        except SSL.SysCallError:
            self._fail(Lost("the client closed the data connection before TLS was established"))
        except SSL.Error as error:
            # The alert would be lost if the client's last bytes turned the close into a RST.
            self._socket.release()
            reason = error.args[0][0][2] if error.args and error.args[0] else "unknown"
            self._fail(Lost(f"TLS handshake failed: {reason}"))
        else:
            self._stop_timer()
            self._channel = self._uplink or SecureChannel(self.tls, self._socket.socket)
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
        Run *transfer* to its end at *pace*; fails with `Lost`, or with what its storage raised.

        *progress* is told the bytes of each quantum. *inline* runs the quanta in the reactor thread: for bytes that
        are already in memory, where a hand-over costs more than the work. A transfer that moves nothing for
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
                # What the transfer before this one took too much: small files are one quantum and never paused inside.
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
                self._stumbled(Failure())
        else:
            self._go(State.LENT)
            self._workers.run(transfer.step, self._channel, BUDGET, allowance).addCallbacks(
                self._stepped, self._stumbled
            )

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
        if self._failure is not None:
            self._close()
        elif outcome is Outcome.DONE:
            self._transfer = None
            self._stop_timer()
            self._go(State.READY)
            self._succeed()
        elif pause > 0:
            self._go(State.WATCHED)
            self._break = self._clock.callLater(pause, self._resume)
        elif outcome is Outcome.AGAIN and not self._is_inline:
            self._next()
        else:
            self._go(State.WATCHED)
            if outcome is Outcome.AGAIN:
                self._break = self._clock.callLater(0, self._resume)
            else:
                self._socket.watch(self._resume, read=outcome is Outcome.READABLE, write=outcome is Outcome.WRITABLE)

    def _stumbled(self, failure: Failure) -> None:
        """End a transfer whose quantum raised."""
        if failure.check(PoolBusy):
            self._go(State.WATCHED)
            self._break = self._clock.callLater(BUSY_PAUSE, self._resume)
        elif failure.check(Truncated):
            self._fail(Lost(failure.getErrorMessage()))
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
        if transfer.moved == moved and self._timer is not None and not is_on_break:
            self._timer = None
            self.abort("the transfer stalled")
        else:
            self._timer = self._clock.callLater(timeout, self._watch_for_stall, transfer, transfer.moved, timeout)

    # --- the end

    def finish(self, timeout: float = LINGER, *, wait_for_peer: float = 0.0) -> Deferred[None]:
        """
        Say that this was all: close_notify, then FIN. The Deferred fires when both are with the kernel.

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
            if not self._has_said_goodbye:
                self._start_timer(timeout, "the client did not take the end of the transfer")
        return result

    def _say_goodbye(self, wait_for_peer: float) -> None:
        if self.tls is not None and self.is_secure:
            try:
                if self._uplink is not None:
                    self._uplink.shut_down()
                else:
                    self.tls.shutdown()
            except (SSL.WantWriteError, SSL.WantReadError):
                self._socket.watch(lambda: self._say_goodbye(wait_for_peer), write=True)
                return
            except SSL.Error:
                pass  # the client has gone; what was sent before is with it or is lost, and the FIN changes nothing
        try:
            self._socket.socket.shutdown(1)
        except OSError:
            pass
        self._has_said_goodbye = True
        self._stop_timer()
        if wait_for_peer:
            self._break = self._clock.callLater(wait_for_peer, self._succeed)
        self._linger()
        if self.state is State.CLOSING:
            self._start_timer(LINGER, "lingered")
        if not wait_for_peer:
            self._succeed()

    def _linger(self) -> None:
        """Read and forget what the client still sends, until its FIN."""
        if self.state is not State.CLOSING:
            return
        try:
            while self._linger_bytes > 0:
                late = self._socket.socket.recv(16384)
                if not late:
                    break
                self._linger_bytes -= len(late)
        except BlockingIOError:
            self._socket.watch(self._linger, read=True)
            return
        except OSError:
            pass
        self._close()

    def abort(self, reason: str) -> None:
        """End the connection now, whatever it is doing; who waits for it gets `Lost(reason)`."""
        if self.state is State.CLOSED or self._failure is not None:
            return
        if self.state is State.LENT:
            self._failure = Lost(reason, is_abort=True)
            self._socket.sever()
        else:
            self._fail(Lost(reason, is_abort=True))

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
        """Close, and tell whoever waits. An abort came first when there was one: its reason is the one to tell."""
        waiter, self._waiter = self._waiter, None
        if self._failure is not None:
            problem = self._failure
        else:
            self._failure = problem if isinstance(problem, Lost) else Lost("storage failed")
        self._close()
        if waiter is not None:
            waiter.errback(problem)

    def _close(self) -> None:
        if self.state is State.CLOSED:
            return
        self._stop_timer()
        self._stop_break()
        self._go(State.CLOSED)
        self._transfer = None
        self._socket.close()
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            # In CLOSING the client has closed first, which is all that was waited for.
            if self._failure is None:
                waiter.callback(None)
            else:
                waiter.errback(self._failure)
        self.closed.callback(None)

    def _start_timer(self, seconds: float, reason: str) -> None:
        self._stop_timer()
        self._timer = self._clock.callLater(seconds, self._timed_out, reason)

    def _timed_out(self, reason: str) -> None:
        self._timer = None
        if self._has_said_goodbye:
            self._close()
        else:
            self.abort(reason)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _stop_break(self) -> None:
        pause, self._break = self._break, None
        if pause is not None and pause.active():
            pause.cancel()


def _ignore(count: int) -> None:
    """Take no note of progress."""
