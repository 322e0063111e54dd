"""One connection to an ICAP service: what goes out before the next bytes of a file, and the answers read so far."""

from __future__ import annotations

from ftpsd.config.accept.engines import EngineAddress
from ftpsd.scanning.engines.engine_socket import EngineSocket
from ftpsd.scanning.verdict import EngineFailed
from ftpsd.wire.icap_answers import AnswerReader, Event, IcapError

# Times that a call receives, 16 KiB each: a service may send the file back, and waits when that is not read.
_LOOKS = 64


class Exchange:
    """A connection to the service at *address*, which may be silent for *timeout* seconds; *pending* goes first."""

    def __init__(self, address: EngineAddress, timeout: float, pending: bytes) -> None:
        self._socket = EngineSocket(address, timeout)
        self._reader = AnswerReader()
        self.pending = pending

    @property
    def is_ended(self) -> bool:
        """Whether the service has ended its side."""
        return self._socket.is_ended

    def send(self, piece: memoryview | bytes = b"", wait: float = 0.0) -> int:
        """Send what is pending, and then *piece*; return how much of that was sent. Raises: EngineFailed."""
        sent = self._socket.send((self.pending, piece), wait)
        of_ours = min(sent, len(self.pending))
        self.pending = self.pending[of_ours:]
        return sent - of_ours

    def listen(self, wait: float = 0.0) -> list[Event]:
        """Return what has come, and wait for it *wait* seconds at most. Raises: EngineFailed."""
        found: list[Event] = []
        for look in range(_LOOKS):
            if not self._socket.receive(0.0 if look else wait):
                break
            data = bytes(self._socket.received)
            self._socket.received.clear()
            found += self._read(data)
            if self._socket.is_ended:
                break
        return found or self._read(b"")

    def _read(self, data: bytes) -> list[Event]:
        try:
            return self._reader.feed(data)
        except IcapError as error:
            raise EngineFailed(str(error)) from None

    def require_patience(self) -> None:
        """Note that something is awaited. Raises: EngineFailed when that takes too long."""
        self._socket.require_patience()

    def close(self) -> None:
        """Close it; idempotent."""
        self._socket.close()
