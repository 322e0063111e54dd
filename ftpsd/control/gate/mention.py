"""
The audit log's lines about refused connections: a flood of them must not fill the disk, or push other lines out.
"""

from __future__ import annotations

from typing import Final

from ftpsd.audit.events import ConnectionRejected, ConnectionRejectedAgain, Who

# Lines a second, and so many at once.
LINES: Final = 5.0
AT_ONCE: Final = 20.0


class Mention:
    """The budget of such lines of one process."""

    def __init__(self) -> None:
        self._left = AT_ONCE
        self._at = 0.0
        self._unlogged = 0

    def rejection(self, who: Who, reason: str, now: float) -> ConnectionRejected:
        """Return the event of a connection that was refused for *reason*: one for the log, or for the metrics alone."""
        self._left = min(AT_ONCE, self._left + max(0.0, now - self._at) * LINES)
        self._at = now
        if self._left < 1:
            self._unlogged += 1
            return ConnectionRejectedAgain(who, reason)
        self._left -= 1
        unlogged, self._unlogged = self._unlogged, 0
        detail = f"{unlogged} more since the last one were not logged" if unlogged else None
        return ConnectionRejected(who, reason, detail)
