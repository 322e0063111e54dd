"""
Trouble with data connections: the reasons why there is none, or why it ended before its transfer did.

The texts here are for the audit log. `control/dispatch.py` has the sentences for clients, one for each member.
"""

from __future__ import annotations

from enum import Enum, StrEnum, auto

from ftpsd.tls.failure import TLSFailure


class Cause(StrEnum):
    """The reason for the end of a data connection, or of the wait for one."""

    NO_CLOSE_NOTIFY = "the connection ended without close_notify"
    BROKEN = "the connection broke"
    TLS = "TLS failed"
    NO_DATA = "too many TLS records without data"
    STALLED = "the transfer stalled"
    END_NOT_TAKEN = "the client did not take the end of the transfer"
    REPLY_NOT_TAKEN = "the client took none of the reply"
    NO_DEFLATE = "the deflate stream is broken"
    BEYOND_DEFLATE = "something follows the deflate stream"
    DEFLATE_CUT = "the deflate stream ended before its end"
    SHRUNK = "the file became shorter while it was sent"
    STORAGE = "storage failed"
    """Never reported by itself: the storage's own error comes first."""

    ABOR = "aborted by the client"
    NEW_PORT = "a new data port was agreed"
    LOGGED_OUT = "the user logged out"
    CLIENT_GONE = "the control connection was lost"
    CUT_OFF = "the server was stopped and cut it off"
    NOT_ALLOWED = "the configuration has changed, and the user may not go on"
    KICKED = "an operator has ended the session"

    NO_HANDSHAKE = "the TLS handshake took too long"
    HANDSHAKE_CUT = "the client closed the data connection before TLS was established"
    HANDSHAKE = "TLS handshake failed"
    NOT_RESUMED = "it does not resume the TLS session of the control connection"
    NOT_CHOSEN = "another connection was the data connection"
    CROWDED = "newer connections came to the same port"
    NO_ANSWER = "the client's data port did not answer"
    UNREACHABLE = "cannot connect"


class Lost(Exception):
    """
    The data connection failed or, *is_abort*, was ended from our side.

    *detail* says more for the audit log, *failure* is that of a TLS handshake.
    """

    def __init__(
        self, cause: Cause, detail: str = "", *, is_abort: bool = False, failure: TLSFailure | None = None
    ) -> None:
        super().__init__(f"{cause}: {detail}" if detail else str(cause))
        self.cause = cause
        self.is_abort = is_abort
        self.failure = failure


class Truncated(Exception):
    """The peer's connection ended without the end that TLS or TCP prescribes."""

    def __init__(self, cause: Cause, detail: str = "") -> None:
        super().__init__(f"{cause}: {detail}" if detail else str(cause))
        self.cause = cause
        self.detail = detail


class Trouble(Enum):
    """The reason why there is no data connection."""

    NO_PORT = auto()
    """Neither PASV nor PORT came first."""
    NOBODY_CAME = auto()
    FOREIGN_ADDRESS = auto()
    """No connection came from the client's address, but one from another address did."""
    NOT_REACHED = auto()
    NO_TLS = auto()
    NOT_RESUMED = auto()
    NOT_CHOSEN = auto()
    """For one of several connections to a port; no command fails with it."""
    ABORTED = auto()

    @property
    def label(self) -> str:
        """Return the word for audit log and metrics."""
        return self.name.lower().replace("_", "-")


class DataError(Exception):
    """
    There is no data connection to use; *trouble* decides the reply, *reason* is for the audit log.

    *cause* is the end of the wait where the trouble is ABORTED. *is_logged*: the audit log has it already.
    """

    def __init__(self, trouble: Trouble, reason: str, *, cause: Cause | None = None, is_logged: bool = False) -> None:
        super().__init__(reason)
        self.trouble = trouble
        self.reason = reason
        self.cause = cause
        self.is_logged = is_logged


def aborted(cause: Cause) -> DataError:
    """Return the error of a command whose wait for a data connection was ended."""
    return DataError(Trouble.ABORTED, str(cause), cause=cause)
