"""
Control ports that several processes accept from: one socket in the kernel, inherited by all.

The kernel wakes every process that waits on it, and the first one takes the connection; a dying process takes only
connections along that it had accepted. (With SO_REUSEPORT each would have a queue of its own, which dies with it, and
the hash that chooses the queue gives eight clients rarely four to each of two.) So that sessions spread evenly, a
process that has more of them than another one steps back for a moment and leaves the connection to the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

# Seconds to step back for one session more than another has, and at most: the further ahead, the longer. A process that
# idles takes the connection at once; waiting 10 ms for one that was busy with a handshake cost 40% of the logins.
STEP_BACK = 0.001
LONGEST = 0.01


@implementer(IListeningPort, IReadDescriptor)
class FairPort:
    """
    *port*, which listens already; *surplus* returns how many sessions more we have than the process with the fewest.
    """

    def __init__(self, port: Any, surplus: Callable[[], int], reactor: Any) -> None:
        self._port = port
        self._surplus = surplus
        self._reactor = reactor
        self._pause: IDelayedCall | None = None
        self._has_waited = False
        port.stopReading()
        reactor.addReader(self)

    def doRead(self) -> None:
        """Take one connection, or leave it to others for a while."""
        surplus = 0 if self._has_waited else self._surplus()
        if surplus > 0:
            self._reactor.removeReader(self)
            self._pause = self._reactor.callLater(min(LONGEST, STEP_BACK * surplus**2), self._come_back)
            return
        self._has_waited = False
        # Twisted would take as many as there were the time before, and more.
        self._port.numberAccepts = 1
        self._port.doRead()

    def stopReading(self) -> None:
        """Leave connections to others until `startReading`."""
        self._reactor.removeReader(self)

    def startReading(self) -> None:
        """Take connections."""
        self._reactor.addReader(self)

    def startListening(self) -> None:
        """Nothing to do: it listens (IListeningPort)."""

    def stopListening(self) -> Any:
        """Accept no more, and close our descriptor of the socket (IListeningPort)."""
        if self._pause is not None and self._pause.active():
            self._pause.cancel()
        self._reactor.removeReader(self)
        return self._port.stopListening()

    def getHost(self) -> IAddress:
        """Return the address (IListeningPort)."""
        host: IAddress = self._port.getHost()
        return host

    def fileno(self) -> int:
        """Return the descriptor of the socket (IFileDescriptor)."""
        number: int = self._port.fileno()
        return number

    def connectionLost(self, reason: Failure) -> None:
        """Notify the port (IFileDescriptor)."""
        self._port.connectionLost(reason)

    def logPrefix(self) -> str:
        """Name it in Twisted's log (ILoggingContext)."""
        return "control port"

    def _come_back(self) -> None:
        self._pause = None
        self._has_waited = True
        self._reactor.addReader(self)
