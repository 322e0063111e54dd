"""
Audit events: what happened, as values.

Every event starts with *who* (`DAEMON` for what no session caused) and is published once, when the fact is known.
`event` is its name in the audit log; `logged` is False for facts that only feed metrics. The other fields become keys
of the log line under their own names, so a field is never called time, event, session, user, peer, listener or host.

`reason`, `method` and `operation` also become metric labels: fixed lower-case words such as "too-many-connections",
never text with a name, a path or an address in it. Free text goes into fields no metric reads. `seconds` are
durations, `bytes` what crossed the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ftpsd.values.direction import Direction, Result
from ftpsd.values.handshake import TLSFacts


@dataclass(frozen=True, slots=True)
class Who:
    """
    The session in which something happened.

    *listener* names a configured entrance ("explicit:21"), *host* a virtual host, "" for the default one.
    """

    session: str
    user: str | None
    peer: str
    listener: str
    host: str = ""


DAEMON = Who(session="", user=None, peer="", listener="")

# Characters that the log takes of what a client has typed: one of them is up to twelve bytes there.
MOST_TYPED = 256

Channel = Literal["control", "data"]
DataMode = Literal["passive", "active"]


@dataclass(frozen=True, slots=True)
class Event:
    """One fact; only its subclasses are published."""

    event: ClassVar[str] = ""
    logged: ClassVar[bool] = True

    who: Who


# The daemon and its configuration


@dataclass(frozen=True, slots=True)
class Started(Event):
    """The daemon has begun to serve."""

    event = "started"


@dataclass(frozen=True, slots=True)
class Stopped(Event):
    """The daemon has ended; *reason* is a fixed word."""

    event = "stopped"
    reason: str


@dataclass(frozen=True, slots=True)
class Reloaded(Event):
    """A reload has replaced the configuration."""

    event = "reloaded"


@dataclass(frozen=True, slots=True)
class ReloadFailed(Event):
    """*reason* is free text for the operator (file, line, complaint); no metric carries it."""

    event = "reload-failed"
    reason: str


# Sessions and logins


@dataclass(frozen=True, slots=True)
class ConnectionRejected(Event):
    """A connection was turned away before it became a session: *who* holds only peer and listener."""

    event = "connection-rejected"
    reason: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class ConnectionRejectedAgain(ConnectionRejected):
    """A rejection that is one too many for the log; `detail` of a later one that is logged has their number."""

    event = "connection-rejected-again"
    logged = False


@dataclass(frozen=True, slots=True)
class Banned(Event):
    """*client* (or the user *name* there) is refused for *seconds*, for *reason*; *detail* has an operator's words."""

    event = "banned"
    client: str
    reason: str
    seconds: float
    name: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Unbanned(Event):
    """The ban of *client*, or of the user *name* there, is over, for *reason*, a fixed word."""

    event = "unbanned"
    client: str
    reason: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class SessionOpened(Event):
    """A client has connected to a control port."""

    event = "session-opened"


@dataclass(frozen=True, slots=True)
class SessionClosed(Event):
    """*commands_not_logged* is the number of commands before the login that were only counted (`CommandCounted`)."""

    event = "session-closed"
    seconds: float
    reason: str
    bytes_sent: int
    bytes_received: int
    commands_not_logged: int | None = None


@dataclass(frozen=True, slots=True)
class LeftWithoutLogin(Event):
    """A client spoke, and has left without an attempt to log in."""

    event = "left-without-login"
    logged = False


@dataclass(frozen=True, slots=True)
class TLSEstablished(Event):
    """
    A handshake on a control or data connection is complete; *group* is that of the key exchange, where known.

    *certificate* is the fingerprint of the client's, as in the events of logins, and the subject is what it says of
    itself, whoever vouches for that.
    """

    event = "tls-established"
    channel: Channel
    version: str
    cipher: str
    resumed: bool
    seconds: float
    group: str | None = None
    certificate: str | None = None
    certificate_subject: str | None = None


@dataclass(frozen=True, slots=True)
class TLSFailed(Event):
    """*alert* is the alert that ended the handshake and its sender, *detail* says more to the operator."""

    event = "tls-failed"
    channel: Channel
    reason: str
    alert: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedIn(Event):
    """*method* is "password", "certificate", ...; *who* already carries the user."""

    event = "logged-in"
    method: str
    seconds: float
    certificate: str | None = None
    certificate_subject: str | None = None


@dataclass(frozen=True, slots=True)
class LoginRefused(Event):
    """*name* is the user name that the client sent, cut where it is long; *who* has no user yet."""

    event = "login-refused"
    method: str
    name: str
    reason: str
    seconds: float
    certificate: str | None = None
    certificate_subject: str | None = None

    def __post_init__(self) -> None:
        if len(self.name) > MOST_TYPED:
            object.__setattr__(self, "name", self.name[:MOST_TYPED])


@dataclass(frozen=True, slots=True)
class CommandDone(Event):
    """
    *command* is a verb of the table or "other"; the publisher has already hidden a secret *argument*.

    *reason* is the reason of a refusal: the right that no rule gives, the name of an errno, or a sentence; no metric
    has it.

    A long *argument* is cut here, and *argument_length* is the number of characters before the cut.
    """

    event = "command"
    command: str
    argument: str
    code: int
    seconds: float
    reason: str | None = None
    argument_length: int | None = None

    def __post_init__(self) -> None:
        if len(self.argument) > MOST_TYPED:
            object.__setattr__(self, "argument_length", len(self.argument))
            object.__setattr__(self, "argument", self.argument[:MOST_TYPED])


@dataclass(frozen=True, slots=True)
class CommandCounted(CommandDone):
    """A command before the login that is one too many for the log; the session's end has the number of these."""

    event = "command-counted"
    logged = False


# Data connections


@dataclass(frozen=True, slots=True)
class DataConnectionOpened(Event):
    """A data connection is ready for its transfer."""

    event = "data-connection-opened"
    logged = False
    mode: DataMode


@dataclass(frozen=True, slots=True)
class DataSessionShared(Event):
    """A data connection resumed the TLS session of another live session of the same user, *resumed_session*."""

    event = "data-session-shared"
    resumed_session: str


@dataclass(frozen=True, slots=True)
class DataConnectionRefused(Event):
    """*detail* says more to the operator, where there is more to say."""

    event = "data-connection-refused"
    reason: str
    mode: DataMode = "passive"
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class PassiveExhausted(Event):
    """A client asked for a passive port, and none was free."""

    event = "passive-exhausted"


# Transfers: one of FileSent, FileStored and DirectoryListed ends what TransferStarted began, whatever the result; a
# transfer that was refused before it began (no such file, permission denied) is published without a TransferStarted.


@dataclass(frozen=True, slots=True)
class TransferStarted(Event):
    """A transfer has begun."""

    event = "transfer-started"
    logged = False
    direction: Direction


@dataclass(frozen=True, slots=True)
class FileSent(Event):
    """A download has ended, whatever its *result*."""

    event = "file-sent"
    path: str
    bytes: int
    seconds: float
    offset: int
    result: Result
    reason: str | None = None
    sha256: str | None = None
    tls: TLSFacts | None = None


@dataclass(frozen=True, slots=True)
class FileStored(Event):
    """An upload has ended; *sent_path* is its client's, where gpg has changed it. A *hidden* one is not there yet."""

    event = "file-stored"
    path: str
    bytes: int
    seconds: float
    offset: int
    result: Result
    reason: str | None = None
    sha256: str | None = None
    tls: TLSFacts | None = None
    sent_path: str | None = None
    sent_sha256: str | None = None
    signed_by: str | None = None
    hidden: bool | None = None
    without_close_notify: bool | None = None  # for users with `upload_end: fin`
    verdict: str | None = None  # of engines


@dataclass(frozen=True, slots=True)
class DirectoryListed(Event):
    """*entries* is the number of lines that went out, where that was counted."""

    event = "directory-listed"
    path: str
    bytes: int
    seconds: float
    result: Result
    entries: int | None = None
    reason: str | None = None
    tls: TLSFacts | None = None
