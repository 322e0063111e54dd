"""
The server-PI: one control connection, from greeting to close_notify.

* One command runs at a time, in the order received; each gets exactly one final reply. Only commands that `interrupt`
  (ABOR, STAT) are looked at while another runs. The queue is bounded: beyond it nothing more is read. After a few
  commands other connections have their turn (`budget.py`).
* Bytes that arrived in clear are never executed inside TLS: when TLS starts, line buffer and queue are emptied.
* A client that does not read its replies is not read from either.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IHandshakeListener, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ftpsd.audit.events import SessionOpened
from ftpsd.control import border
from ftpsd.control.dispatch import at_work, command_done, respond
from ftpsd.control.flow.backlog import TOO_LONG, Backlog
from ftpsd.control.flow.budget import BeforeLogin, TurnBudget
from ftpsd.control.flow.silence import Silence
from ftpsd.control.flow.timers import Timers
from ftpsd.control.gate.admission import events_of_end, may_be_told, why_not_admitted
from ftpsd.control.state.handshakes import HELLO, TLS_TOO_EARLY, TOO_LATE, Handshake, tls_too_early
from ftpsd.control.state.limits import REJECTIONS
from ftpsd.control.state.phase import After, Phase
from ftpsd.control.state.session import Session
from ftpsd.control.state.status import AtWork
from ftpsd.control.table import Command, CommandTable, Interrupts
from ftpsd.control.transport import RecordsWithoutData
from ftpsd.data.sockets import keep_alive
from ftpsd.data.trouble import Cause
from ftpsd.wire.address import plain_address
from ftpsd.wire.lines import CommandLine
from ftpsd.wire.reply import Reply, ReplyError, ReplyPart

if TYPE_CHECKING:
    from ftpsd.control.transport import Transport

# Makes the session of a client at one address that has reached another; it writes its replies with the function.
Begin = Callable[[str, str, Callable[[Reply | ReplyPart], None]], Session]

# Seconds for the last reply and close_notify to leave before the connection is cut.
FAREWELL = 5.0


@implementer(IHandshakeListener)
class ServerPI(Protocol):
    """
    One control connection.

    *begin* makes its session, *registry* holds every connection that was admitted. With *starts_with_tls* the
    connection is implicit FTPS.
    """

    transport: Transport  # type: ignore[assignment]  # Twisted's own knows no start_tls
    session: Session

    def __init__(
        self,
        begin: Begin,
        clock: IReactorTime,
        table: CommandTable,
        registry: set[ServerPI],
        *,
        starts_with_tls: bool,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._table = table
        self._registry = registry
        self._starts_with_tls = starts_with_tls
        self._budget = TurnBudget(clock, self._next)
        self._before_login = BeforeLogin()
        self._timers = Timers(clock)
        self.at_work: AtWork | None = None
        """The command at work, for operators."""
        self._is_busy = False
        self._is_transferring = False
        self._goodbye: Reply | None = None
        self._is_in_next = False
        self._has_input = False
        self._handshake: Handshake | None = None
        self._uncount: Callable[[str], None] | None = None
        self._silence = Silence(
            clock,
            self._timers,
            lambda: self._is_busy,
            lambda: self.session.parameters.idle_timeout,
            self._idle_too_long,
        )
        self._lost: float | None = None
        """The time at which the connection was lost."""

    # --- the connection

    def connectionMade(self) -> None:
        """Begin the session, count it, start TLS when implicit, greet."""
        peer = plain_address(self.transport.getPeer().host)
        local = plain_address(self.transport.getHost().host)
        self.session = session = self._begin(peer, local, self._send)
        self._backlog = Backlog(self.transport)
        self.transport.setTcpNoDelay(True)
        keep_alive(self.transport.getHandle())
        # ftplib sends all of "ABOR" as urgent data; out of line the kernel would keep its last byte, the LF, from us.
        self.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        session.room.go_on = self._next
        self.transport.registerProducer(session.room, True)
        reason = why_not_admitted(session, starts_with_tls=self._starts_with_tls)
        if reason is not None:
            self._reject(reason)
            return
        self._uncount = session.counts.closed
        self._registry.add(self)
        if self._starts_with_tls:
            # Implicit TLS implies PBSZ 0 and PROT P ([MS-FTPS] 3.2.5.1): aioftp sends neither.
            session.has_buffer_size = session.dtp.is_protected = True
            self._start_tls()
        self._timers.set("login", session.config.limits.login_timeout, self._login_takes_too_long)
        self._silence.watch()
        session.publish(SessionOpened(session.who))
        if not self._starts_with_tls:
            self._greet()

    def _greet(self) -> None:
        self._send(Reply(220, self.session.host.banner))

    def _reject(self, reason: str) -> None:
        """Send 421 in the greeting's place, in one turn: a reset would make clients retry at once (rclone)."""
        session = self.session
        session.publish(session.runtime.shared.penalties.rejection(session.who, reason))
        if self._starts_with_tls:
            if not may_be_told(session, reason):
                self._close(reason)
                return
            self._uncount = session.counts.lingered
            self.transport.when_client_speaks(self._start_tls)
        self._close(reason, REJECTIONS[reason])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Give everything back."""
        session = self.session
        self._timers.stop()
        self._budget.stop()
        self._backlog.clear()
        if self._handshake is not None:
            session.publish(self._handshake.failed(reason))
        if reason.check(RecordsWithoutData):
            session.after_reply(After.CLOSE, "records-without-data")
        session.end()
        if self._uncount is not None:
            self._uncount(session.peer_host)
        self._lost = self._clock.seconds()
        if not self._is_busy:
            self._leave()

    def _leave(self) -> None:
        """Close: nothing of the session is at work any more, and no event of its comes behind its end."""
        session = self.session
        if self not in self._registry or self._lost is None:
            return
        self._registry.discard(self)
        unlogged = self._before_login.unlogged
        for event in events_of_end(session, self._lost, unlogged, has_input=self._has_input):
            session.publish(event)

    # --- TLS

    def _start_tls(self) -> None:
        session = self.session
        self._backlog.clear()
        self._handshake = Handshake(session, is_implicit=self._starts_with_tls)
        session.tls = session.dtp.tls = self._handshake.tls
        self._timers.set("handshake", session.config.limits.handshake_timeout, partial(self._abort, TOO_LATE))
        self.transport.start_tls(session.tls)

    def _stop_tls(self) -> None:
        """Go on in clear (CCC); data connections stay as they are, and resume the session that TLS had here."""
        self.session.tls = None
        self.transport.stop_tls()

    def handshakeCompleted(self) -> None:
        """Note that the control connection is secure (IHandshakeListener)."""
        session, handshake, self._handshake = self.session, self._handshake, None
        assert handshake is not None
        self._timers.cancel("handshake")
        session.tls_was_established()
        if handshake.tls.expires is not None:
            self._timers.set("tickets", handshake.tls.expires - self._clock.seconds(), self._outlived_tickets)
        session.publish(handshake.completed())
        if self._starts_with_tls and session.phase is Phase.LIVE:
            # Not before: the greeting is that of the host whose name came with the handshake.
            self._greet()

    # --- commands

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self.session.phase is not Phase.LIVE:
            return
        if not self._has_input:
            self._has_input = True
            if data.startswith(HELLO) and not self._starts_with_tls:
                self.session.publish(tls_too_early(self.session))
                self.end("tls-on-a-clear-port", TLS_TOO_EARLY)
                return
        self._silence.since = self._clock.seconds()
        if not self._backlog:
            self._budget.renew()
        self._backlog.feed(data, self._interrupt)
        self._next()

    def _interrupt(self, line: CommandLine) -> None:
        """Look at *line*, the newest, while a command runs."""
        session, backlog = self.session, self._backlog
        if not self._is_busy or not self._is_transferring or line.argument:
            return
        command = self._table.find(line.verb)
        if command is None:
            return
        if command.interrupts is Interrupts.ANSWERS and session.room.is_there and self._budget.take():
            self._run(command, backlog.take_newest(), is_aside=True)
        elif command.interrupts is Interrupts.ABORTS and not (len(backlog) > 1 and self._is_abort(next(iter(backlog)))):
            # One that is there already has ended the transfer; this one waits its turn.
            # The transfer answers 426 first, then ABOR its 226 (RFC 959, 4.1.3).
            backlog.advance(backlog.take_newest())
            session.is_abort_wanted = True
            if session.transfer is not None:
                session.dtp.abort(Cause.ABOR)

    def _next(self) -> None:
        """Run the waiting commands, one after the other."""
        if self._is_in_next:
            return
        self._is_in_next = True
        while self._may_run and self._budget.take():
            line = self._backlog.take()
            if line is TOO_LONG:
                self._close("line-too-long", Reply(500, "Command line too long."))
            elif self._before_login.is_spent:
                self.end("too-many-commands", "Too many commands without a login.")
            else:
                self._is_busy = True
                self._run(*self._table.match(line))
        self._is_in_next = False
        self._backlog.read_on()

    @property
    def _may_run(self) -> bool:
        """Whether a command waits, and nothing is in its way."""
        session = self.session
        return bool(self._backlog) and not self._is_busy and session.room.is_there and session.phase is Phase.LIVE

    def _run(self, command: Command | None, line: CommandLine, *, is_aside: bool = False) -> None:
        if not is_aside:
            self.at_work = at_work(command, line)
            self._is_transferring = command is not None and (command.is_long or command.takes_data_port)
            # An ABOR that came in the same segment means this transfer already.
            self.session.is_abort_wanted = self._is_transferring and any(map(self._is_abort, self._backlog))
        answered = partial(self._answered, command=command, started=self._clock.seconds(), is_aside=is_aside)
        try:
            line = self.session.parameters.understood(command, line)
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
        self._send(reply)
        self._silence.since = now = self._clock.seconds()
        session.publish(command_done(session, self._before_login, command, line, reply, now - started))
        if is_aside:
            return
        self._is_busy = self._is_transferring = False
        self.at_work = None
        self._backlog.lines.has_ff = session.parameters.charset.has_ff
        after = session.reply_was_sent()
        if session.avatar is not None:
            self._timers.cancel("login")
        if session.phase is not Phase.LIVE:
            self._leave()
            return
        self._silence.limit_may_have_changed()
        if after is After.CLOSE:
            self._close(last=self._goodbye)
        elif after is After.START_TLS:
            self._start_tls()
        elif after is After.STOP_TLS:
            self._stop_tls()
        self._next()

    # --- replies

    def _send(self, reply: Reply | ReplyPart) -> None:
        """Send *reply*; behind the last one nothing more is sent, whatever is still at work."""
        if self.session.phase is Phase.LIVE:
            self.transport.write(reply.to_bytes(self.session.parameters.charset))

    # --- the end

    @property
    def is_busy(self) -> bool:
        """Whether a command runs."""
        return self._is_busy

    @property
    def idle(self) -> float:
        """The seconds since the client sent something or was answered; none while a command runs."""
        return self._silence.seconds

    def drain(self) -> None:
        """End the session as soon as its current command is answered: the server is stopping."""
        self.end_behind_command("stopping", "The server is shutting down.")

    def _outlived_tickets(self) -> None:
        """End the session: the keys that its TLS session shares with others must go."""
        self.end_behind_command("tls-session-expired", "This TLS session is a day old, connect again.")

    def end_behind_command(self, reason: str, text: str, *, is_told: bool = False) -> None:
        """
        End the session with 421 *text*, as soon as its current command is answered.

        The reply to a command at work is the last one, but where *is_told*: clients that wait for the end of a transfer
        read 226, and then why there is no more.
        """
        if not self._is_busy:
            self.end(reason, text)
            return
        if is_told:
            self._goodbye = Reply(421, text)
        self.session.after_reply(After.CLOSE, reason)

    def end(self, reason: str, text: str, cause: Cause | None = None) -> None:
        """
        End the session now: 421 *text* is the last reply.

        With *cause* all work ends too: a transfer is aborted for it, an upload is not published. One that is here,
        whole, and about to be published is answered first: whatever becomes of it, its client has to read so.
        """
        session = self.session
        if session.phase is not Phase.LIVE:
            return
        if cause is not None and cause is not Cause.CUT_OFF and session.is_publishing:
            session.is_abort_wanted = True
            session.end_cause = cause
            self.end_behind_command(reason, text, is_told=True)
            return
        self._close(reason, Reply(421, text))
        if cause is not None:
            session.is_abort_wanted = True
            session.end_cause = cause
            session.end()

    def cut(self) -> None:
        """End the session now, whatever is at work: the server has waited for it long enough."""
        if self.session.phase is Phase.LIVE:
            self.end("stopping", "The server is shutting down.", Cause.CUT_OFF)
        else:
            self._abort("stopping")

    def _abort(self, reason: str) -> None:
        self.session.after_reply(After.CLOSE, reason)
        self.transport.abortConnection()

    def _login_takes_too_long(self) -> None:
        # A client whose password is being looked at has done its part.
        self.end("login-undecided" if self._is_busy else "login-timeout", "Login took too long.")

    def _idle_too_long(self) -> None:
        self.end("idle", "Idle for too long, closing the control connection.")

    def _close(self, reason: str | None = None, last: Reply | None = None) -> None:
        """Send the pending bytes, *last* behind them, then close_notify and FIN; None: the last reply is written."""
        session = self.session
        if last is not None:
            self._send(last)
        session.after_reply(After.CLOSE, reason)
        session.move(Phase.CLOSING)
        self._backlog.clear()
        # A TLS shutdown has to read the client's answer.
        self._backlog.read_on()
        self.transport.unregisterProducer()
        self._timers.set("farewell", FAREWELL, self.transport.abortConnection)
        self.transport.loseConnection()
