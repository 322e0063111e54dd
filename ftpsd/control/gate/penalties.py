"""
Penalties: addresses that may not connect for some time, for what they have done, and clients that come too fast.

`refusal` is asked before a connection is counted, `handshake_refusal` before TLS begins, `login_refusal` before a hash;
`note` is a sink of the audit bus. The way between them, which deeds weigh how much and for how long, is the matter of
an implementation (gate/bans.py); here is that of a server without penalties.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from ftpsd.audit.events import (
    ConnectionRejected,
    Event,
    LeftWithoutLogin,
    LoggedIn,
    LoginRefused,
    SessionClosed,
    TLSFailed,
    Who,
)

# Results of `refusal`: keys of `REJECTIONS` and reasons in audit log and metrics.
BANNED: Final = "banned"
RATE: Final = "rate"
# The events that `note` wants: those of a login, and those that an offence is seen in (offences.py).
NOTED: Final = (LoggedIn, LoginRefused, TLSFailed, SessionClosed, LeftWithoutLogin)


@dataclass(frozen=True, slots=True)
class Ban:
    """
    A client (`client_of` its address) or network that is refused *until* a Unix time, for *reason*, a fixed word.

    With *name* only that user is refused there. *level* counts the bans in a row; *detail* has an operator's words.
    """

    client: str
    reason: str
    until: float
    level: int = 1
    name: str | None = None
    detail: str | None = None


class Penalties(Protocol):
    """
    Bans of clients. Every answer comes at once, on the reactor thread, and the table behind them has a bound.

    All addresses of a client (`client_of`) are one.
    """

    def refusal(self, address: str, /) -> str | None:
        """Count a connection from *address*, and return why it is refused, a key of `REJECTIONS`; None: it is not."""

    def handshake_refusal(self, address: str, /) -> str | None:
        """Return the same for a TLS handshake with *address*."""

    def login_refusal(self, address: str, name: str, host: str = "", /) -> str | None:
        """Return the same for a login of the user *name* of *host* from there, before its password is looked at."""

    def is_banned(self, address: str, /) -> bool:
        """Return whether *address* is banned now; nothing is counted."""

    def is_known(self, address: str, /) -> bool:
        """Return whether a user has logged in well from *address* of late."""

    def rejection(self, who: Who, reason: str, /) -> ConnectionRejected:
        """Return the event of a connection that was refused."""

    def note(self, event: Event, seconds: float, /) -> None:
        """Take in an event at the Unix time *seconds*. Refusals of its own weigh nothing."""

    def bans(self) -> list[Ban]:
        """Return the bans of now, the one that ends first before the others."""

    def ban(self, place: str, seconds: float, detail: str | None = None, /) -> Ban:
        """
        Ban *place*, an address or a network, for so many *seconds*.

        Raises: ValueError, with a sentence for the operator.
        """

    def lift(self, place: str, /) -> bool:
        """End the bans of *place*, an address or a network, and forget their causes; False: there was none."""


class NoPenalties:
    """The penalties of a server without any: no client is ever banned."""

    def refusal(self, address: str, /) -> str | None:
        """Return None."""
        return None

    def handshake_refusal(self, address: str, /) -> str | None:
        """Return None."""
        return None

    def login_refusal(self, address: str, name: str, host: str = "", /) -> str | None:
        """Return None."""
        return None

    def is_banned(self, address: str, /) -> bool:
        """Return False."""
        return False

    def is_known(self, address: str, /) -> bool:
        """Nobody is."""
        return False

    def rejection(self, who: Who, reason: str, /) -> ConnectionRejected:
        """Return the event."""
        return ConnectionRejected(who, reason)

    def note(self, event: Event, seconds: float, /) -> None:
        """Note nothing."""

    def bans(self) -> list[Ban]:
        """Return none."""
        return []

    def ban(self, place: str, seconds: float, detail: str | None = None, /) -> Ban:
        """Refuse: there is no place to keep it."""
        raise ValueError("this server keeps no bans")

    def lift(self, place: str, /) -> bool:
        """Return False."""
        return False


NO_PENALTIES: Final = NoPenalties()
