"""
One HTTP connection of the admin endpoint: one request at a time, each bounded, and each followed by a bounded rest.

A client may send requests ahead (pipelining, RFC 9112 section 9.3.2). The next one is looked at in a later turn of the
reactor, when the answer before it has gone to the kernel, and nothing is read meanwhile. Twisted's own channel answers
all that one read has brought before the reactor turns, and keeps what the client does not take.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.server import Request

from ftpsd.wire.address import client_of

if TYPE_CHECKING:
    from ftpsd.admin.endpoint import AdminSite

# A browser sends 1 KiB in 20 headers, Prometheus less.
HEADER_BYTES = 8192
HEADERS = 64
# Then the connection is closed, as nginx does (keepalive_requests). Prometheus, which asks every few seconds, connects
# anew; a client that asks without end waits for its turn with all others.
REQUESTS_LIMIT = 1000


class AdminRequest(Request):
    """A request that keeps no body and does not name the software that answers it."""

    def gotLength(self, _length: int | None) -> None:
        """Keep nothing, at any announced length: Twisted would fill a temporary file."""
        self.content = BytesIO()

    def setHeader(self, name: bytes | str, value: bytes | str) -> None:
        """Set a header, except the one that names the release to an attacker."""
        if name not in (b"Server", b"server", "Server", "server"):
            super().setHeader(name, value)  # type: ignore[no-untyped-call]


class AdminChannel(http.HTTPChannel):
    """One connection, counted, whose requests are complete in time or not at all."""

    site: AdminSite
    maxHeaders = HEADERS
    totalHeadersSize = HEADER_BYTES

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.client = ""
        self._served = 0
        self._next: IDelayedCall | None = None

    def resetTimeout(self) -> None:
        """Grant no more time for a byte now and then."""

    def connectionMade(self) -> None:
        """Count the connection."""
        self.client = client_of(self.getPeer().host)  # type: ignore[no-untyped-call]
        self.site.connections[self] = None
        super().connectionMade()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Count the connection as gone."""
        self.site.connections.pop(self, None)
        if self._next is not None:
            self._next.cancel()
            self._next = None
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    @property
    def is_at_work(self) -> bool:
        """Whether a request is being answered."""
        return bool(self._handlingRequest)

    def end(self) -> None:
        """Cut the connection, whose place another takes."""
        del self.site.connections[self]
        self.forceAbortClient()  # type: ignore[no-untyped-call]

    # --- one request

    def checkPersistence(self, request: http.Request, version: bytes) -> bool:
        """Return whether another request may follow: none behind a body, which is not read, nor behind the last."""
        self._served += 1
        if self.length == 0 and self._served < REQUESTS_LIMIT:
            return bool(super().checkPersistence(request, version))  # type: ignore[no-untyped-call]
        request.responseHeaders.setRawHeaders("Connection", ["close"])
        return False

    def allHeadersReceived(self) -> None:
        """Answer at once, at any announced length of the body."""
        super().allHeadersReceived()  # type: ignore[no-untyped-call]
        self.length = 0

    def rawDataReceived(self, data: bytes) -> None:
        """Keep the bytes behind the request at work, unless that is the last."""
        if self.persistent:
            super().rawDataReceived(data)
        else:
            self._network.pauseProducing()

    # --- between two requests

    def requestDone(self, request: http.Request) -> None:
        """Rest behind the answer."""
        # LineReceiver's own word for it: the bytes in its buffer stay there.
        self.paused = True
        super().requestDone(request)  # type: ignore[no-untyped-call]
        if self.persistent:
            self._network.pauseProducing()
            self._go_on_later()

    def resumeProducing(self) -> None:
        """Go on: the answer has gone to the kernel."""
        super().resumeProducing()  # type: ignore[no-untyped-call]
        if self.paused:
            self._network.pauseProducing()
            self._go_on_later()

    def _go_on_later(self) -> None:
        if self._next is None and self.persistent:
            self._next = self.callLater(0, self._go_on)  # type: ignore[no-untyped-call]

    def _go_on(self) -> None:
        self._next = None
        if self._waitingForTransport:
            return  # for resumeProducing
        self.paused = False
        self.dataReceived(b"")  # type: ignore[no-untyped-call]
        if not self.paused and not self._handlingRequest:
            self._network.resumeProducing()

    @property
    def _network(self) -> Any:
        return self._networkProducer
