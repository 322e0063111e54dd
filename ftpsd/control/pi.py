"""
The server-PI: one control connection, from greeting to close_notify.

* One command runs at a time, in the order received; each gets exactly one final reply. Only commands that `interrupt`
  (ABOR, STAT) are looked at while another runs. The queue is bounded: beyond it nothing more is read. After a few
  commands other connections have their turn (`budget.py`).
* What arrived in clear is never executed inside TLS: when TLS starts, line buffer and queue are emptied.
* A client that does not read its replies is not read from either.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ftpsd.audit.events import (
    ConnectionRejected,
    SessionClosed,
    SessionOpened,
    TLSEstablished,
)
from ftpsd.control import border
from ftpsd.control.answered import command_done
from ftpsd.control.budget import BeforeLogin, TurnBudget
from ftpsd.control.dispatch import respond
from ftpsd.control.handshakes import HELLO, TLS_TOO_EARLY, TOO_LATE, handshake_failed, new_tls, tls_too_early
from ftpsd.control.state.limits import REJECTIONS
from ftpsd.control.state.runtime import Runtime
from ftpsd.control.state.session import Session
from ftpsd.control.table import Command, CommandTable, Interrupts, Needs
from ftpsd.control.timers import Timers
from ftpsd.control.transport import RecordsWithoutData
from ftpsd.data.sockets import keep_alive
from ftpsd.data.trouble import Cause
from ftpsd.wire.address import plain_address
from ftpsd.wire.lines import CommandLine, LineBuffer, LineTooLong
from ftpsd.wire.reply import Reply, ReplyError, ReplyPart

if TYPE_CHECKING:
    from ftpsd.control.transport import Transport

# Commands a client may send ahead. Pipelining clients (lftp's mirror) stay below 20.
MAX_QUEUED = 100
# Seconds for the last reply and close_notify to leave before the connection is cut.
FAREWELL = 5.0

TOO_LONG = CommandLine("", "")


@implementer(IHandshakeListener, IPushProducer)
class ServerPI(Protocol):
    """
    One control connection.

    *current* answers with the Runtime of now, *registry* holds every open connection of the server. With
    *starts_with_tls* the connection is implicit FTPS.
    """

    transport: Transport  # type: ignore[assignment]  # Twisted's own knows no start_tls

    def __init__(
        self,
        current: Callable[[], Runtime],
        table: CommandTable,
        listener: str,
        registry: set[ServerPI],
        *,
        starts_with_tls: bool,
    ) -> None:
        self.session: Session | None = None
        self._current = current
        self._runtime = runtime = current()
        self._table = table
        self._listener = listener
        self._registry = registry
        self._starts_with_tls = starts_with_tls
        self._clock = runtime.shared.clock
        self._lines = LineBuffer()
        self._queue: deque[CommandLine] = deque()
        self._budget = TurnBudget(self._clock, self._next)
        self._before_login = BeforeLogin()
        self._is_busy = False
        self._is_transferring = False
        self._is_draining = False
        self._is_reading = True
        self._can_write = True
        self._is_closing = False
        self._is_counted = False
        self._is_lingering = False
        self._has_heard = False
        self._ended: float | None = None
        self._handshake_started: float | None = None
        self._idle_timeout = runtime.config.limits.idle_timeout
        self._last_activity = self._clock.seconds()
        self._timers = Timers(self._clock)

    # --- the connection

    def connectionMade(self) -> None:
        """Count the connection, start TLS when implicit, greet."""
        runtime = self._runtime
        peer = plain_address(self.transport.getPeer().host)
        local = plain_address(self.transport.getHost().host)
        self.transport.setTcpNoDelay(True)
        keep_alive(self.transport.getHandle())
        # ftplib sends all of "ABOR" as urgent data; out of line the kernel would keep its last byte, the LF, from us.
        self.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        self.session = Session(self._current, self._table, peer, local, self._listener, self._send)
        limits = runtime.config.limits
        refusal = runtime.shared.counts.admit(peer, limits.connections, limits.connections_per_address)
        self._is_counted = refusal is None
        if refusal is not None:
            self._reject(refusal)
            return
        if self._starts_with_tls:
            # Implicit TLS implies PBSZ 0 and PROT P ([MS-FTPS] 3.2.5.1): aioftp sends neither.
            self.session.has_buffer_size = self.session.dtp.is_protected = True
            self._start_tls()
        self._registry.add(self)
        self.transport.registerProducer(self, True)
        self._timers.set(
            "login", limits.login_timeout, partial(self._time_out, "login-timeout", "Login took too long.")
        )
        self._timers.set("idle", limits.idle_timeout, self._check_idle)
        self.session.publish(SessionOpened(self.session.who))
        if not self._starts_with_tls:
            self._greet()

    def _greet(self) -> None:
        assert self.session is not None
        self._send(Reply(220, self.session.host.banner))

    def _reject(self, reason: str) -> None:
        """
        Say 421 in the greeting's place: a reset would make clients retry at once (rclone).

        In clear that is said and done in one turn. Under TLS it takes a context and the client's time, so few linger.
        """
        assert self.session is not None
        self.session.publish(ConnectionRejected(self.session.who, reason))
        if self._starts_with_tls:
            self._is_lingering = self._runtime.shared.counts.may_linger(self.session.peer_host)
            if not self._is_lingering:
                self._is_closing = True
                self.transport.loseConnection()
                return
            self.transport.when_client_speaks(self._start_tls)
        self._send(REJECTIONS[reason])
        self._close(reason)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Give everything back."""
        session = self.session
        self._timers.stop()
        self._budget.stop()
        self._queue.clear()
        if session is None:
            self._registry.discard(self)
            return
        if self._handshake_started is not None:
            session.publish(handshake_failed(session, reason, is_implicit=self._starts_with_tls))
        session.end()
        if reason.check(RecordsWithoutData):
            session.close_after_reply("records-without-data")
        if self._is_lingering:
            self._runtime.shared.counts.lingered(session.peer_host)
        if self._is_counted:
            self._is_counted = False
            self._runtime.shared.counts.closed(session.peer_host)
            self._ended = self._clock.seconds()
        if not self._is_busy:
            self._leave()

    def _leave(self) -> None:
        """Be gone: nothing of the session is at work any more, and no event of its comes behind its end."""
        session = self.session
        assert session is not None
        self._registry.discard(self)
        if self._ended is not None:
            why = session.close_reason or "connection-lost"
            seconds = self._ended - session.started
            sent, received, unlogged = session.bytes_sent, session.bytes_received, self._before_login.unlogged
            session.publish(SessionClosed(session.who, seconds, why, sent, received, unlogged or None))

    # --- TLS

    def _start_tls(self) -> None:
        session = self.session
        assert session is not None
        self._lines.clear()
        self._queue.clear()
        session.tls = session.dtp.tls = new_tls(session)
        self._handshake_started = self._clock.seconds()
        limit = session.runtime.config.limits.handshake_timeout
        self._timers.set("handshake", limit, partial(self._abort, TOO_LATE))
        self.transport.start_tls(session.tls)

    def _stop_tls(self) -> None:
        """Go on in clear (CCC); data connections stay as they are, and resume the session that TLS had here."""
        assert self.session is not None
        self.session.tls = None
        self.transport.stop_tls()

    def handshakeCompleted(self) -> None:
        """Note that the control connection is secure (IHandshakeListener)."""
        session = self.session
        assert session is not None
        assert self._handshake_started is not None
        self._timers.cancel("handshake")
        seconds = self._clock.seconds() - self._handshake_started
        self._handshake_started = None
        assert session.tls is not None
        facts = session.tls.control_facts
        assert facts is not None
        session.tls_was_established()
        if session.tls.expires is not None:
            self._timers.set("tickets", session.tls.expires - self._clock.seconds(), self._outlived_tickets)
        session.publish(TLSEstablished(session.who, "control", facts.version, facts.cipher, facts.resumed, seconds))
        if self._starts_with_tls and not self._is_closing:
            # Not before: the greeting is that of the host whose name came with the handshake.
            self._greet()

    # --- commands

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._is_closing:
            return
        if not self._has_heard:
            self._has_heard = True
            assert self.session is not None
            if data.startswith(HELLO) and not self._starts_with_tls:
                self.session.publish(tls_too_early(self.session))
                self._time_out("tls-on-a-clear-port", TLS_TOO_EARLY)
                return
        self._last_activity = self._clock.seconds()
        if not self._queue:
            self._budget.renew()
        for line in self._lines.feed(data):
            self._queue.append(TOO_LONG if isinstance(line, LineTooLong) else line)
            if self._is_busy and not isinstance(line, LineTooLong):
                self._interrupt(line)
        if self._is_reading and len(self._queue) > MAX_QUEUED:
            self._is_reading = False
            self.transport.pauseProducing()
        self._next()

    def _interrupt(self, line: CommandLine) -> None:
        """Look at the newest *line* while a command runs."""
        session = self.session
        assert session is not None
        command = self._table.find(line.verb)
        if command is None or not self._is_transferring or line.argument:
            return
        if command.interrupts is Interrupts.ANSWERS and self._can_write and self._budget.take():
            self._queue.pop()
            self._run(command, line, is_aside=True)
        elif command.interrupts is Interrupts.ABORTS and not (len(self._queue) > 1 and self._is_abort(self._queue[0])):
            # One that is there already has ended the transfer; this one waits its turn.
            self._queue.pop()
            # The transfer answers 426 first, then ABOR its 226 (RFC 959, 4.1.3).
            self._queue.appendleft(line)
            session.is_abort_wanted = True
            if session.transfer is not None:
                session.dtp.abort(Cause.ABOR)

    def _next(self) -> None:
        """Run what is queued, one command after the other."""
        if self._is_draining:
            return
        self._is_draining = True
        while self._queue and not self._is_busy and self._can_write and not self._is_closing and self._budget.take():
            line = self._queue.popleft()
            if line is TOO_LONG:
                self._send(Reply(500, "Command line too long."))
                self._close("line-too-long")
            elif self._before_login.is_spent:
                self._time_out("too-many-commands", "Too many commands without a login.")
            else:
                self._is_busy = True
                self._run(*self._table.match(line))
        self._is_draining = False
        if not self._is_reading and len(self._queue) <= MAX_QUEUED // 2:
            self._is_reading = True
            self.transport.resumeProducing()

    def _run(self, command: Command | None, line: CommandLine, *, is_aside: bool = False) -> None:
        assert self.session is not None
        if not is_aside:
            self._is_transferring = command is not None and (command.is_long or bool(command.needs & Needs.DATA_PORT))
            # An ABOR that came in the same segment means this transfer already.
            self.session.is_abort_wanted = self._is_transferring and any(map(self._is_abort, self._queue))
        answered = partial(self._answered, command=command, started=self._clock.seconds(), is_aside=is_aside)
        try:
            line = self.session.understood(command, line)
        except ReplyError as error:
            answered(error.reply, line=line)
        else:
            border.run(respond(self.session, command, line), partial(answered, line=line))

    def _is_abort(self, line: CommandLine) -> bool:
        command = self._table.find(line.verb)
        return command is not None and command.interrupts is Interrupts.ABORTS

    def _answered(
        self, reply: Reply, command: Command | None, line: CommandLine, started: float, is_aside: bool
    ) -> None:
        """Send the final reply of a command and go on."""
        session = self.session
        assert session is not None
        if not self._is_closing:
            # Behind a 421 nothing more is said, whatever was still at work.
            self._send(reply)
        self._last_activity = now = self._clock.seconds()
        session.publish(command_done(session, self._before_login, command, line, reply, now - started))
        if is_aside:
            return
        self._is_busy = self._is_transferring = False
        self._lines.has_ff = session.charset.has_ff
        session.reply_was_sent()
        if session.avatar is not None:
            self._timers.cancel("login")
        if not session.is_open:
            self._leave()
            return
        if session.idle_timeout != self._idle_timeout:
            self._check_idle()
        if session.close_reason is not None:
            self._close(session.close_reason)
        elif session.wants_tls:
            session.wants_tls = False
            self._start_tls()
        elif session.wants_clear:
            session.wants_clear = False
            self._stop_tls()
        self._next()

    # --- replies

    def _send(self, reply: Reply | ReplyPart) -> None:
        if self.session is not None and self.session.is_open:
            self.transport.write(reply.to_bytes(self.session.charset))

    def pauseProducing(self) -> None:
        """Run no further command: the client does not read its replies (IPushProducer)."""
        self._can_write = False
        if self.session is not None:
            self.session.room_changed(False)

    def resumeProducing(self) -> None:
        """Go on (IPushProducer)."""
        self._can_write = True
        if self.session is not None:
            self.session.room_changed(True)
        self._next()

    def stopProducing(self) -> None:
        """Nothing to stop; `connectionLost` follows (IPushProducer)."""

    # --- the end

    @property
    def is_busy(self) -> bool:
        """Whether a command runs."""
        return self._is_busy

    def drain(self) -> None:
        """End the session as soon as its current command is answered: the server is stopping."""
        self._end_behind_command("stopping", "The server is shutting down.")

    def _outlived_tickets(self) -> None:
        """End the session: the keys that its TLS session shares with others must go."""
        self._end_behind_command("tls-session-expired", "This TLS session is a day old, connect again.")

    def _end_behind_command(self, reason: str, text: str) -> None:
        assert self.session is not None
        if self._is_busy:
            self.session.close_after_reply(reason)
        else:
            self._time_out(reason, text)

    def reconsider(self) -> None:
        """End the session if its user could not log in as things are now: the configuration has changed."""
        assert self.session is not None
        reason = self.session.why_not_now()
        if reason is not None:
            self.end(reason, "The configuration has changed, this session ends.", Cause.NOT_ALLOWED)

    def end(self, reason: str, text: str, cause: Cause) -> None:
        """End the session now, whatever it does: a transfer is aborted for *cause*, an upload is not published."""
        session = self.session
        assert session is not None
        if self._is_closing or not session.is_open:
            return
        self._send(Reply(421, text))
        self._close(reason)
        session.is_abort_wanted = True
        session.end_cause = cause
        session.end()

    def cut(self) -> None:
        """End the connection now: the server has waited for it long enough."""
        assert self.session is not None
        self.session.end_cause = Cause.CUT_OFF
        self._abort("stopping")

    def _abort(self, reason: str) -> None:
        assert self.session is not None
        self.session.close_after_reply(reason)
        self.transport.abortConnection()

    def _time_out(self, reason: str, text: str) -> None:
        if not self._is_closing:
            self._send(Reply(421, text))
            self._close(reason)

    def _check_idle(self) -> None:
        """Close a session that has been silent for too long; a command at work counts as activity."""
        assert self.session is not None
        limit = self._idle_timeout = self.session.idle_timeout
        if self._is_busy:
            self._last_activity = self._clock.seconds()
        remaining = self._last_activity + limit - self._clock.seconds()
        if remaining <= 0:
            self._time_out("idle", "Idle for too long, closing the control connection.")
        else:
            self._timers.set("idle", remaining, self._check_idle)

    def _close(self, reason: str) -> None:
        """Send what is to be sent, then close_notify and FIN."""
        assert self.session is not None
        self.session.close_after_reply(reason)
        self._is_closing = True
        self._queue.clear()
        if not self._is_reading:
            # A TLS shutdown has to read the client's answer.
            self._is_reading = True
            self.transport.resumeProducing()
        if self._is_counted:
            self.transport.unregisterProducer()
        self._timers.set("farewell", FAREWELL, self.transport.abortConnection)
        self.transport.loseConnection()
