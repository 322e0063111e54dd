"""
The socket to an engine: never waits where it is not told to, and never for longer than the engine's patience allows.

An engine that takes no bytes, or says nothing when its turn has come, for *timeout* seconds has failed. It is used by
one worker at a time.
"""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Sequence
from time import monotonic

from ftpsd.config.accept.engines import EngineAddress
from ftpsd.scanning.verdict import EngineFailed

# Answers of engines have some hundred bytes.
MOST_ANSWER = 16 * 1024
_LATER = frozenset({errno.EAGAIN, errno.EINPROGRESS, errno.ENOBUFS, errno.EINTR, errno.EALREADY, errno.ENOTCONN})


class EngineSocket:
    """A connection to the engine at *address*. Raises: EngineFailed when it is refused at once."""

    def __init__(self, address: EngineAddress, timeout: float) -> None:
        self.received = bytearray()
        self.is_ended = False
        """Whether the engine has ended its side."""
        self._address = address
        self._timeout = timeout
        self._since: float | None = None  # without progress
        family = socket.AF_UNIX if address.path else socket.AF_INET6 if ":" in address.host else socket.AF_INET
        try:
            self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as error:
            raise EngineFailed(f"no socket: {error.strerror}") from error
        if family != socket.AF_UNIX:
            # The end of a file is some bytes of their own, which Nagle's algorithm would hold for a delayed ACK, 40 ms.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._is_connected = False
        try:
            self._connect()
        except EngineFailed:
            self.close()
            raise

    def send(self, pieces: Sequence[bytes | memoryview], wait: float = 0.0) -> int:
        """
        Return how many bytes of *pieces* the engine has taken. Raises: EngineFailed.

        One that took some the last time may have *wait* seconds to take more: an engine that reads empties its buffer,
        of 200 KiB, in less than one, and one that hangs costs its worker that wait once.
        """
        if not self._connect():
            return self._no_progress()
        try:
            count = self._sent(pieces, wait if self._since is None else 0.0)
        except OSError as error:
            if error.errno in _LATER:
                return self._no_progress()
            self.receive()  # it may have said why, and then closed
            if self.received:
                self.is_ended = True
                return 0
            raise self._failed(error) from error
        self._since = None
        return count

    def _sent(self, pieces: Sequence[bytes | memoryview], wait: float) -> int:
        try:
            return self._socket.sendmsg(pieces)
        except BlockingIOError:
            if wait <= 0:
                raise
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT | select.POLLIN)
        poll.poll(wait * 1000)
        return self._socket.sendmsg(pieces)

    def receive(self, wait: float = 0.0) -> bool:
        """
        Receive what has come, and wait for it *wait* seconds at most; return whether something came, or the end.

        Raises: EngineFailed.
        """
        if self.is_ended:
            return True
        if not self._connect():
            self._no_progress()
            return False
        if wait > 0:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            poll.poll(wait * 1000)
        try:
            data = self._socket.recv(MOST_ANSWER)
        except OSError as error:
            if error.errno in _LATER:
                return False
            if error.errno in (errno.ECONNRESET, errno.EPIPE) and self.received:
                self.is_ended = True
                return True
            raise self._failed(error) from error
        self._since = None
        self.is_ended = not data
        self.received += data
        if len(self.received) > MOST_ANSWER:
            raise EngineFailed("the answer is too long")
        return True

    def require_patience(self) -> None:
        """Note that the engine has not said yet what is awaited. Raises: EngineFailed when that takes too long."""
        self._no_progress()

    def close(self) -> None:
        """Close it; idempotent."""
        self._socket.close()

    def _connect(self) -> bool:
        """Connect, or find out whether that is over. Raises: EngineFailed."""
        if self._is_connected:
            return True
        address = self._address
        try:
            problem = self._socket.connect_ex(address.path or (address.host, address.port))
        except OSError as error:  # such as a name that is too long
            raise self._failed(error) from error
        if problem in (0, errno.EISCONN):
            self._is_connected = True
        elif problem not in _LATER:
            raise self._failed(OSError(problem, errno.errorcode.get(problem, "")))
        return self._is_connected

    def _no_progress(self) -> int:
        now = monotonic()
        if self._since is None:
            self._since = now
        elif now - self._since > self._timeout:
            raise EngineFailed(f"silent for {self._timeout:g} s")
        return 0

    def _failed(self, error: OSError) -> EngineFailed:
        return EngineFailed(errno.errorcode.get(error.errno or 0, "no connection"))
