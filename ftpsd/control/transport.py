"""
The TCP transport of control connections: a reply leaves when it is written, not a turn of the reactor later.

Twisted's own waits for epoll to say that the socket is writable, which it nearly always is. A file costs three
replies, and each would cost two changes of the epoll set and a turn of the reactor.
"""

from __future__ import annotations

from typing import cast

from OpenSSL import SSL
from twisted.internet import tcp
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Protocol
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import noLongerProvides

from ftpsd.control.clear import UntilCloseNotify


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

    def stop_tls(self) -> None:
        """
        Send close_notify and write in clear from now on; the protocol goes on as before.

        No producer may be registered.
        """
        tls = self.protocol
        assert isinstance(tls, TLSMemoryBIOProtocol)
        connection: SSL.Connection = tls.getHandle()
        application = cast(Protocol, tls.wrappedProtocol)
        connection.shutdown()

        def is_clear(rest: bytes) -> None:
            self.protocol = application
            if rest:
                application.dataReceived(rest)

        # What startTLS has put in the place of the class's own.
        del self.getHandle, self.getPeerCertificate  # type: ignore[attr-defined]
        noLongerProvides(self, ISSLTransport)
        self.TLS = False
        self.protocol = UntilCloseNotify(connection, application, is_clear, self.abortConnection)
        self.write(connection.bio_read(2**14))  # type: ignore[no-untyped-call]

    def loseConnection(self) -> None:
        """Close when all is sent: in a turn of the reactor, which Twisted asks for before it notes what for."""
        was_sending, self._is_sending = self._is_sending, True
        try:
            super().loseConnection()  # type: ignore[no-untyped-call]
        finally:
            self._is_sending = was_sending
