"""
What comes after the reply of a command.
"""

from __future__ import annotations

from enum import Enum, auto


class After(Enum):
    """What a command has asked for that must not happen before its reply is on the way."""

    NOTHING = auto()
    START_TLS = auto()
    """AUTH: the client begins its handshake when it has read the 234."""
    STOP_TLS = auto()
    """CCC."""
    CLOSE = auto()
    """The session ends; `Session.close_reason` says why."""
