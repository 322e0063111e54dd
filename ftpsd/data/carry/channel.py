"""One data connection as a quantum sees it: bytes sent and received, in clear or under TLS, never waiting."""

from __future__ import annotations

import errno
import os
import socket
from enum import Enum, auto
from threading import local
from typing import Protocol

from OpenSSL import SSL

from ftpsd.data.trouble import Cause, Truncated
from ftpsd.storage.errnos import from_oserror
from ftpsd.tls.native import MOST_WITHOUT_DATA, reader

BLOCKED = 0

ENDED = -1

# Errors of sendfile(2) about the file that cannot be read; no TCP socket raises one of these.
_OF_THE_DISK = frozenset({errno.EIO, errno.ESTALE, errno.EBADMSG, errno.EUCLEAN, errno.EREMOTEIO})


class ThreadBuffer(local):
    """A buffer of *size* bytes for each thread that asks for it."""

    def __init__(self, size: int) -> None:
        self.view = memoryview(bytearray(size))


class Outcome(Enum):
    """The end of a quantum."""

    READABLE = auto()
    """Go on when the socket can be read."""
    WRITABLE = auto()
    """Go on when the socket can be written."""
    AGAIN = auto()
    """Time or allowance spent: go on after the others."""
    PAUSED = auto()
    """The storage is behind: go on in a moment."""
    DONE = auto()
    """The last byte has been handed to the kernel, or the peer has ended properly."""


class Channel(Protocol):
    """One data connection as a quantum sees it."""

    blocked_on: Outcome

    def send(self, data: memoryview) -> int:
        """
        Return how much of *data* went out; `BLOCKED`: offer the same bytes again when the socket is as `blocked_on`
        names.
        """

    def receive_into(self, buffer: memoryview) -> int:
        """Return how many bytes arrived, `BLOCKED`, or `ENDED`. Raises `Truncated`."""

    def send_file(self, descriptor: int, offset: int, count: int) -> int | None:
        """
        Send straight from a file (0 at its end, `ENDED` when blocked); None: this channel cannot.

        Raises `Truncated`, and `StorageError` when the file cannot be read.
        """


class ClearChannel:
    """A data connection without TLS (PROT C)."""

    def __init__(self, sock: socket.socket) -> None:
        self.blocked_on = Outcome.WRITABLE
        self._socket = sock

    def send(self, data: memoryview) -> int:
        """See `Channel.send`."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            self.blocked_on = Outcome.WRITABLE
            return BLOCKED
        except OSError as error:
            raise Truncated(Cause.BROKEN, os.strerror(error.errno or 0)) from None

    def receive_into(self, buffer: memoryview) -> int:
        """See `Channel.receive_into`. In stream mode the connection's end is the file's end (RFC 959, 3.4.1)."""
        try:
            return self._socket.recv_into(buffer) or ENDED
        except BlockingIOError:
            self.blocked_on = Outcome.READABLE
            return BLOCKED
        except OSError as error:
            raise Truncated(Cause.BROKEN, os.strerror(error.errno or 0)) from None

    def send_file(self, descriptor: int, offset: int, count: int) -> int | None:
        """See `Channel.send_file`."""
        try:
            return os.sendfile(self._socket.fileno(), descriptor, offset, count)
        except BlockingIOError:
            self.blocked_on = Outcome.WRITABLE
            return ENDED
        except OSError as error:
            if error.errno in _OF_THE_DISK:
                raise from_oserror(error) from error
            raise Truncated(Cause.BROKEN, os.strerror(error.errno or 0)) from None


class SecureChannel:
    """
    A data connection under TLS (PROT P), which reads and writes *sock* itself.

    With *ends_by_fin* a FIN ends an upload as close_notify does.
    """

    def __init__(self, tls: SSL.Connection, sock: socket.socket, *, ends_by_fin: bool = False) -> None:
        self.blocked_on = Outcome.WRITABLE
        self.ended_by_fin = False
        self._tls = tls
        self._socket = sock
        self._ends_by_fin = ends_by_fin
        self._read = reader(tls)
        self._without_data = 0

    def send(self, data: memoryview) -> int:
        """See `Channel.send`. All of *data* goes out or none: partial writes are off in the context."""
        try:
            return self._tls.send(data)
        except SSL.WantWriteError:
            self.blocked_on = Outcome.WRITABLE
            return BLOCKED
        except SSL.WantReadError:
            self.blocked_on = Outcome.READABLE
            return BLOCKED
        except SSL.Error as error:
            raise truncated(error) from None

    def receive_into(self, buffer: memoryview) -> int:
        """See `Channel.receive_into`. Only close_notify ends a file, a bare FIN truncates it (RFC 5246, 7.2.1)."""
        while self._without_data <= MOST_WITHOUT_DATA:
            try:
                received = self._read(buffer)
            except SSL.WantReadError:
                if not self._has_more():
                    self.blocked_on = Outcome.READABLE
                    return BLOCKED
                self._without_data += 1
            except SSL.WantWriteError:
                self._without_data += 1
                self.blocked_on = Outcome.WRITABLE
                return BLOCKED
            except SSL.ZeroReturnError:
                return ENDED
            except SSL.Error as error:
                cut = truncated(error)
                if self._ends_by_fin and cut.cause is Cause.NO_CLOSE_NOTIFY:
                    self.ended_by_fin = True
                    return ENDED
                raise cut from None
            else:
                self._without_data = 0
                return received
        raise Truncated(Cause.NO_DATA)

    def send_file(self, descriptor: int, offset: int, count: int) -> int | None:
        """See `Channel.send_file`."""
        return None

    def _has_more(self) -> bool:
        """
        Return whether the socket can be read on, at once.

        A record that has come in part leaves nothing there, so a slow client is not counted as one that sends nothing.
        """
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass  # the next read finds out
        return True


def truncated(error: SSL.Error) -> Truncated:
    """Return the meaning of an OpenSSL error for a transfer."""
    if isinstance(error, SSL.SysCallError):
        if error.args[0] == -1:
            return Truncated(Cause.NO_CLOSE_NOTIFY)
        return Truncated(Cause.BROKEN, os.strerror(error.args[0]))
    try:
        return Truncated(Cause.TLS, str(error.args[0][0][2]))
    except (IndexError, TypeError):
        return Truncated(Cause.TLS)
