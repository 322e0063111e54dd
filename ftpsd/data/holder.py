"""The holder of a data connection's socket, as states and the moves between them."""

from __future__ import annotations

from enum import IntEnum, auto


class State(IntEnum):
    """The holder of the socket: the reactor, except while LENT. Numbers: Python 3.11 hashes other enums slowly."""

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
