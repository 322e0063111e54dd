"""
Back to clear in memory: the bytes of a control connection after CCC (RFC 4217, 12.3).

The server has sent its close_notify and writes in clear. What the client sends is TLS until its own close_notify; some
clients leave that out and begin in clear at once, which no record of TLS can be mistaken for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from OpenSSL import SSL
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

# RFC 8446, 5.1: type, version, length. The types are change_cipher_spec to application_data; verbs are letters.
HEADER: Final = 5
TYPES: Final = range(20, 24)
# A record with all that encryption may add (RFC 5246, 6.2.3).
LONGEST: Final = HEADER + 2**14 + 2048


class UntilCloseNotify(Protocol):
    """
    Reads the last records of *tls*, then calls *done* with what came behind them in clear.

    *application* is told what the client still said under TLS, and the end of the connection. *abort* ends it.
    """

    def __init__(
        self,
        tls: SSL.Connection,
        application: Protocol,
        done: Callable[[bytes], object],
        abort: Callable[[], object],
    ) -> None:
        self._tls = tls
        self._application = application
        self._done = done
        self._abort = abort
        self._data = b""

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the client: a record at a time, for what OpenSSL has been given cannot be taken back."""
        self._data += data
        while self._data:
            if self._data[0] not in TYPES:
                self._done(self._data)
                return
            if len(self._data) < HEADER:
                return
            length = HEADER + int.from_bytes(self._data[3:HEADER], "big")
            if length > LONGEST:
                self._abort()
                return
            if len(self._data) < length:
                return
            record, self._data = self._data[:length], self._data[length:]
            if not self._read(record):
                return

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the application."""
        self._application.connectionLost(reason)

    def _read(self, record: bytes) -> bool:
        """Read one record; return whether another may follow."""
        self._tls.bio_write(record)
        try:
            while True:
                self._application.dataReceived(self._tls.recv(2**14))
        except SSL.WantReadError:
            return True
        except SSL.ZeroReturnError:
            self._done(self._data)
        except SSL.Error:
            self._abort()
        return False
