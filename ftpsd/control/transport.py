"""
The TCP transport of control connections: a reply leaves when it is written, not a turn of the reactor later.

Twisted's own waits for epoll to say that the socket is writable, which it nearly always is. A file costs three
replies, and each would cost two changes of the epoll set and a turn of the reactor.
"""

from __future__ import annotations

from twisted.internet import tcp


class ControlTransport(tcp.Server):
    """A `tcp.Server` that tries to send before it asks to be told when it can."""

    _is_sending = False

    def startWriting(self) -> None:
        """Send what has been written; what does not fit, every error, and closing are left to the reactor."""
        has_data = self._tempDataBuffer or self.offset < len(self.dataBuffer)
        if has_data and not (self._is_sending or self.disconnecting or self.disconnected):
            self._is_sending = True
            try:
                problem = self.doWrite()  # type: ignore[no-untyped-call]
            finally:
                self._is_sending = False
            if problem is None and not self._tempDataBuffer and self.offset == len(self.dataBuffer):
                return
        super().startWriting()  # type: ignore[no-untyped-call]

    def loseConnection(self) -> None:
        """Close when all is sent: in a turn of the reactor, which Twisted asks for before it notes what for."""
        was_sending, self._is_sending = self._is_sending, True
        try:
            super().loseConnection()  # type: ignore[no-untyped-call]
        finally:
            self._is_sending = was_sending
