"""
The turns of gpg: how many run at once in this process of the server, and of them for one user.

An upload without a turn waits, and its client with it: its bytes are in the client and in the network. It waits no
longer than a gpg may stand still.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import Final

# A gpg that signs or decrypts has an agent beside it, and the unit allows 256 tasks.
MOST: Final = 32
MOST_OF_ONE: Final = 16


class GpgTurns:
    """At most *most* turns, *of_one* of them for the same owner. Every method may be called from any thread."""

    def __init__(self, most: int = MOST, of_one: int = MOST_OF_ONE) -> None:
        self._most = most
        self._of_one = of_one
        self._lock = Lock()
        self._taken: Counter[str] = Counter()

    def claim(self, owner: str) -> bool:
        """Take a turn for *owner*; return whether there was one."""
        with self._lock:
            is_free = self._taken.total() < self._most and self._taken[owner] < self._of_one
            if is_free:
                self._taken[owner] += 1
            return is_free

    def give_back(self, owner: str) -> None:
        """Give a turn of *owner* back."""
        with self._lock:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]


TURNS: Final = GpgTurns()
