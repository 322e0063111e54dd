"""
One session: the server's memory of a client between two commands.

The session holds state and answers questions about it; it writes nothing to the network itself. Commands read and
change it, `pi.py` owns the connection. Everything reactor-bound comes through `runtime`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from secrets import token_hex
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ftpsd.audit.events import Event, Who
from ftpsd.auth.checker import method_of
from ftpsd.auth.realm import Avatar
from ftpsd.config.model import Config
from ftpsd.config.users import UserRecord
from ftpsd.control.state.handshakes import data_refused
from ftpsd.control.state.hosts import Host
from ftpsd.control.state.limits import Counts
from ftpsd.control.state.phase import MOVES, After, Phase
from ftpsd.control.state.proof import Ownership
from ftpsd.control.state.remembered import Parameters
from ftpsd.control.state.room import Room
from ftpsd.control.state.runtime import Runtime
from ftpsd.control.state.standing import why_not
from ftpsd.control.state.status import TransferStatus
from ftpsd.control.table import CommandTable
from ftpsd.control.work import Work
from ftpsd.data.dtp import ServerDTP
from ftpsd.data.trouble import Cause
from ftpsd.storage.base import Storage
from ftpsd.tls.clients.client_policy import ClientPolicy
from ftpsd.tls.session_tls import SessionTLS
from ftpsd.values.direction import Direction
from ftpsd.values.login.client_certificate import ClientCertificate
from ftpsd.values.login.login_method import PASSWORD
from ftpsd.values.path import PathError, VirtualPath
from ftpsd.wire.charset import UTF8, charset_of
from ftpsd.wire.reply import Reply, ReplyError, ReplyPart

T = TypeVar("T")


class Session:
    """
    The state of one control connection.

    *current* returns the Runtime of now. *peer_host* and *local_host* are literal addresses, IPv4 ones never in
    their IPv6 mapping. *reply* sends a preliminary reply, or part of one. *place* is that of the listener
    (`config.model.Listener.place`).
    """

    def __init__(
        self,
        current: Callable[[], Runtime],
        table: CommandTable,
        peer_host: str,
        local_host: str,
        listener: str,
        reply: Callable[[Reply | ReplyPart], None],
        place: str = "",
    ) -> None:
        self._current = current
        self.runtime = runtime = current()
        self.table = table
        self.peer_host = peer_host
        self.local_host = local_host
        self.reply = reply
        self.place = place
        self.started = runtime.shared.clock.seconds()
        self.who = Who(session=token_hex(6), user=None, peer=peer_host, listener=listener)

        self.host = self._first_host = runtime.hosts.default
        self.tls: SessionTLS | None = None
        self.lacks_certificate = False  # whether the client got no TLS for a certificate that is out of its dates
        self.has_buffer_size = False

        self.avatar: Avatar | None = None
        self.standing: UserRecord | None = None  # the user as last asked for, at the login or since
        self.failed_logins = 0
        self.bad_commands = 0
        self._log_out: Callable[[], object] | None = None

        self.dtp = ServerDTP(runtime.data, peer_host, local_host, partial(data_refused, self))
        self.ownership = Ownership(self)
        self.dtp.judge = self.ownership.resumed_by
        self.parameters = Parameters.of(runtime.config)
        self.transfer: TransferStatus | None = None
        self.is_abort_wanted = False
        self.is_publishing = False  # whether a file is here, whole, and not answered yet

        self._waiting_for: Deferred[Any] | None = None
        self.room = Room(runtime.shared.clock)
        self._after = After.NOTHING
        self.phase = Phase.LIVE
        self.end_cause = Cause.CLIENT_GONE
        """The cause of failure of a transfer that is under way when the session ends."""
        self.close_reason: str | None = None
        """The reason for the end of the session, in the words of the audit log."""
        self.bytes_sent = 0
        self.bytes_received = 0

    # --- what the session works with

    @property
    def clock(self) -> IReactorTime:
        """The reactor's clock."""
        return self.runtime.shared.clock

    @property
    def counts(self) -> Counts:
        """The counts of sessions, which limits compare with."""
        return self.runtime.shared.counts

    @property
    def config(self) -> Config:
        """The configuration of the session."""
        return self.runtime.config

    # --- questions

    @property
    def storage(self) -> Storage:
        """
        The user's files, behind the permission check. Only after login.

        Raises:
            CancelledError: the session has ended while the command was waiting for a worker.
        """
        if self.avatar is None:
            if self.is_gone:
                raise CancelledError
            raise AssertionError("dispatch lets no command with Needs.LOGIN pass before login")
        return self.avatar.storage

    @property
    def is_gone(self) -> bool:
        """Whether the session is over; a command may still be at work."""
        return self.phase is Phase.GONE

    @property
    def is_secure(self) -> bool:
        """Whether the control connection is under TLS; after CCC it is not, though data connections may be."""
        return self.tls is not None

    def resolve(self, argument: str, base: VirtualPath | None = None) -> VirtualPath:
        """
        Return the path *argument* names, seen from *base*: the working directory when left out.

        Raises:
            ReplyError: 553, the name holds a character that no name may hold.
        """
        try:
            return VirtualPath.parse(argument, self.parameters.directory if base is None else base)
        except PathError as error:
            raise ReplyError(553, f"Not a usable name: {error}") from None

    @property
    def insists_on_resumption(self) -> bool:
        """Whether the user's data connections have to resume a TLS session, and nothing else proves whose they are."""
        own = None if self.avatar is None else self.avatar.user.data_session_reuse
        return (own or self.config.tls.data_session_reuse) == "required"

    def choose_charset(self) -> None:
        """Write names as the user's client does, or in UTF-8 where the client has asked for that (OPTS UTF8 ON)."""
        if self.avatar is None or self.parameters.wants_utf8:
            self.parameters.charset = UTF8
        else:
            self.parameters.charset = charset_of(self.avatar.user.encoding)

    # --- work

    def at(self, *paths: VirtualPath) -> Work:
        """
        Return the workers for calls about *paths*, chosen by the trees that these are in. Only after login.

        Raises:
            CancelledError: the session has ended while the command was waiting for a worker.
        """
        traits = self.storage.traits
        return Work(self, frozenset().union(*[traits(path).waits_for for path in paths]))

    async def sleep(self, seconds: float) -> None:
        """
        Wait *seconds*.

        Raises:
            CancelledError: the session has ended meanwhile.
        """
        await self.while_open(deferLater(self.clock, seconds))

    async def while_open(self, awaited: Deferred[T]) -> T:
        """
        Return the result of *awaited*, which is cancelled when the session ends.

        Raises:
            CancelledError: the session has ended meanwhile.
        """
        self._waiting_for = awaited
        try:
            return await awaited
        finally:
            self._waiting_for = None

    async def say(self, part: ReplyPart) -> None:
        """
        Send *part* of the reply to the current command, and wait until the client has taken the parts before it.

        Raises:
            CancelledError: the session has ended meanwhile.
            Lost: the client took nothing for `limits.stall_timeout`.
        """
        if self.is_gone:
            raise CancelledError
        self.reply(part)
        await self.room.wait(self.config.limits.stall_timeout)

    # --- the host

    def enter(self, host: Host) -> None:
        """Go to *host*: its users are the ones who can log in."""
        self.host = host
        self.who = replace(self.who, host=host.name)

    def tls_was_established(self) -> None:
        """
        Go to the host whose certificate the client has seen.

        A HOST that came in clear has chosen the certificate, if the client named no server in its hello. Beyond that it
        is forgotten: an attacker on the line could have sent it, and only a certificate of its own proves to the client
        where it is.
        """
        assert self.tls is not None
        self.tls.was_established()
        self.ownership.hold()
        hosts = self.runtime.hosts
        named = hosts.find(self.tls.server_name) if self.tls.server_name is not None else None
        if named is not None:
            self.enter(named.host)
        elif self.host.certificate is not self.tls.pair:
            self.enter(hosts.default)
        self._first_host = self.host

    @property
    def first_host(self) -> Host:
        """The moment at which the session began: with the connection, or with its TLS handshake."""
        return self._first_host

    def start_over(self) -> None:
        """Be as after the connection, or after its TLS handshake (REIN; RFC 7151, 3.3)."""
        self.log_out()
        self.enter(self._first_host)

    def publish(self, event: Event) -> None:
        """Publish *event* on the audit bus."""
        self.runtime.shared.bus.publish(event)

    # --- the configuration of now

    @property
    def is_current(self) -> bool:
        """Whether the session has the configuration of now."""
        return self._current() is self.runtime

    def keep_up(self) -> None:
        """
        Take the configuration of now over. Only without a user: the settings of the login stay.

        Raises:
            ReplyError: 421, the host is served no longer.
        """
        if self.is_current:
            return
        runtime = self._current()
        host, first = (runtime.hosts.now(each) for each in (self.host, self._first_host))
        if host is None or first is None:
            self.after_reply(After.CLOSE, "host-removed")
            raise ReplyError(421, "This host is served no longer.")
        self.runtime = runtime
        self.host, self._first_host = host, first
        self.dtp.use(runtime.data)
        self.parameters.keep_up(runtime.config)

    def why_not_now(self) -> Deferred[str | None]:
        """Return why the session could not begin, or its user not log in, by the configuration of now."""
        return why_not(self, self._current)

    # --- login and end

    def presented(self) -> ClientCertificate | None:
        """
        Return the certificate that the client has presented on the control connection, as it is judged now.

        None also in clear behind TLS (CCC): there anybody on the line can name a user.
        """
        return self.tls.presented(self.client_policy.authorities) if self.tls is not None else None

    @property
    def client_policy(self) -> ClientPolicy:
        """The rules for the client's certificate, by the host and the listener."""
        return self.host.client_policy(self.place)

    def asks_for_certificate(self, name: str | None) -> bool:
        """Return whether a client that asks for the server *name* in its hello, None for no name, is asked for one."""
        named = self.runtime.hosts.find(name) if name is not None else None
        if named is not None:
            host = named.host
        else:
            host = self.host if name is None else self.runtime.hosts.default
        return host.client_policy(self.place).asks

    def logged_in(self, avatar: Avatar, log_out: Callable[[], object]) -> None:
        """Give the session its user."""
        user = self.standing = avatar.user
        self.avatar = avatar
        self._log_out = log_out
        self.who = replace(self.who, user=user.name)
        self.ownership.changed()
        self.dtp.needs_resumption = self.insists_on_resumption or method_of(user, self.host.method) != PASSWORD
        self.dtp.fin_ends_uploads = user.upload_end == "fin"
        self.choose_charset()
        rates = self.runtime.shared.rates
        limits = self.config.limits
        account = self.host.account(user.name)
        parameters = self.parameters
        parameters.download_pace = rates.pace(account, Direction.DOWNLOAD, user.download_rate, limits.download_rate)
        parameters.upload_pace = rates.pace(account, Direction.UPLOAD, user.upload_rate, limits.upload_rate)

    def log_out(self) -> None:
        """Forget the user and all settings of the user; the TLS session stays (REIN, RFC 4217, 11)."""
        self.give_up_login()
        self.dtp.log_out()
        log_out, self._log_out = self._log_out, None
        if log_out is not None:
            assert self.avatar is not None
            self.counts.log_out(self.host.account(self.avatar.user.name))
            log_out()
        self.avatar = self.standing = None
        self.ownership.changed()
        self.who = replace(self.who, user=None)
        self.parameters = Parameters.of(self.config)

    def give_up_login(self) -> None:
        """Forget the login under way, if there is one."""
        login, self.parameters.login = self.parameters.login, None
        if login is not None:
            login.leave()

    def after_reply(self, after: After, reason: str | None = None) -> None:
        """Let *after* follow the reply of the current command; of CLOSE the first *reason* holds, and nothing else."""
        if self._after is not After.CLOSE:
            self._after, self.close_reason = after, reason

    def reply_was_sent(self) -> After:
        """End everything that waited for the reply, and return the act that follows it."""
        self.dtp.reply_was_sent()
        self.is_publishing = False
        after = self._after
        if after is not After.CLOSE:
            self._after = After.NOTHING
        return after

    def move(self, phase: Phase) -> None:
        """Come to *phase*."""
        assert phase in MOVES[self.phase], f"{self.phase.name} -> {phase.name}"
        self.phase = phase

    def end(self) -> None:
        """Give everything back: the session is over. Once more when its connection is lost behind that."""
        if not self.is_gone:
            self.move(Phase.GONE)
        self.dtp.end(self.end_cause)
        who = self.who
        self.log_out()
        self.ownership.end()
        # Work that goes on is this user's to the end; its event must say so.
        self.who = who
        if self._waiting_for is not None:
            self._waiting_for.cancel()
        self.room.end()
