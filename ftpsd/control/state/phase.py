"""
The phases of a session, and the acts behind the reply of a command.
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto


class Phase(IntEnum):
    """The life of a session. Numbers: Python 3.11 hashes other enums slowly."""

    LIVE = auto()
    """Commands are run and answered."""
    CLOSING = auto()
    """The last reply is written. A command at work goes on to its end, and gets no reply."""
    GONE = auto()
    """Everything is given back. Work under way ends."""


MOVES: dict[Phase, frozenset[Phase]] = {
    Phase.LIVE: frozenset({Phase.CLOSING, Phase.GONE}),
    Phase.CLOSING: frozenset({Phase.GONE}),
    Phase.GONE: frozenset(),
}


class After(Enum):
    """An act that a command has asked for and that must not happen before its reply is on the way."""

    NOTHING = auto()
    START_TLS = auto()
    """AUTH: the client begins its handshake when it has read the 234."""
    STOP_TLS = auto()
    """CCC."""
    CLOSE = auto()
    """The session ends; `Session.close_reason` has the reason."""
