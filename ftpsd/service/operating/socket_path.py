"""
The control socket in the file system: opened where no other server's is, and closed to others from its first moment.

A lock on a file beside it, held as long as the server lives, tells a living server from a socket that a dead one has
left: the lock ends with its holder, whatever ended that. A socket that answers is left alone even without a lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import socket
import stat
from pathlib import Path
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocolFactory
from twisted.python.failure import Failure

from ftpsd.service.listeners import ListenProblem

# Connections that wait to be accepted.
BACKLOG = 32
# Its owner, and root, may connect; or everybody may, and is asked who it is (caller.py).
MODE_CLOSED, MODE_OPEN = 0o600, 0o666
LOCK_MODE = 0o600


class ControlPort(unix.Port):
    """A port whose file is removed by `SocketPath`: Twisted's would not come to its end where that is gone already."""

    # A successor may listen on the same socket.
    _shouldShutdown = False

    def connectionLost(self, reason: Failure) -> None:
        """See `tcp.Port`."""
        tcp.Port.connectionLost(self, reason)


class SocketPath:
    """The socket at *path* while this server has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        self._port: ControlPort | None = None
        self._made: tuple[int, int] | None = None

    def open(self, factory: IProtocolFactory, *, for_all: bool, reactor: Any) -> None:
        """
        Listen; *for_all* lets every user of the machine connect.

        Raises:
            ListenProblem: it is not possible, or another server is there.
        """
        try:
            self._take_lock()
            self._remove_stale()
            # Nobody can connect before it listens, and that is behind the change of its mode.
            mode = MODE_OPEN if for_all else MODE_CLOSED
            port = ControlPort(os.fsencode(self.path), factory, BACKLOG, mode, reactor)
            port.startListening()  # type: ignore[no-untyped-call]
            self._port = port
            self._made = _identity(self.path)
        except CannotListenError as error:
            self.close()
            raise ListenProblem(self._why(error.socketError)) from None
        except OSError as error:
            self.close()
            raise ListenProblem(self._why(error)) from None
        except ListenProblem:
            self.close()
            raise

    def adopt(self, listening: int, lock: int, factory: IProtocolFactory, reactor: Any, *, is_for_all: bool) -> None:
        """Take the socket and the lock of the process before, whose path it is until `go_on`: that one may serve on."""
        self._lock = lock
        port: ControlPort = ControlPort._fromListeningDescriptor(reactor, listening, factory)  # type: ignore[no-untyped-call]
        self._port = port
        port.mode = MODE_OPEN if is_for_all else MODE_CLOSED
        port.startListening()  # type: ignore[no-untyped-call]
        port.stopReading()  # type: ignore[no-untyped-call]
        os.close(listening)

    def go_on(self) -> None:
        """Accept connections; from now on the path is this server's."""
        if self._port is not None:
            self._made = self._made or _identity(self.path)
            self._port.startReading()  # type: ignore[no-untyped-call]

    @property
    def descriptors(self) -> tuple[int, int] | None:
        """The socket and the lock."""
        if self._port is None or self._lock is None:
            return None
        return self._port.fileno(), self._lock  # type: ignore[no-untyped-call]

    def leave(self) -> None:
        """Accept no more connections: a successor does."""
        if self._port is not None:
            self._port.stopListening()  # type: ignore[no-untyped-call]
        self._made = self._port = None

    def close(self) -> None:
        """Close it, and remove it where it is this server's."""
        if self._port is not None:
            self._port.stopListening()  # type: ignore[no-untyped-call]
            self._port = None
        if self._made is not None:
            if _identity(self.path) == self._made:
                try:
                    os.unlink(self.path)
                except OSError:
                    pass  # the next server removes it
            self._made = None
        if self._lock is not None:
            # The file stays: removed, it could be the one that another server is about to lock.
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._lock = os.open(self.path.with_name(f".{self.path.name}.lock"), flags, LOCK_MODE)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._is_taken() from None

    def _remove_stale(self) -> None:
        try:
            mode = os.lstat(self.path).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise ListenProblem(f"{self.path} is there and is no socket; move it away, or choose another path")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
            trial.setblocking(False)
            try:
                trial.connect(os.fspath(self.path))
            except ConnectionRefusedError:
                os.unlink(self.path)
                return
            except BlockingIOError:
                pass  # its queue is full, but it is there
        raise self._is_taken()

    def _is_taken(self) -> ListenProblem:
        return ListenProblem(
            f"another server answers at {self.path}, and keeps it; stop that one, or choose another path for this one"
        )

    def _why(self, error: OSError) -> str:
        folder = self.path.parent
        if error.errno == errno.ENOENT:
            return f"the directory {folder} does not exist; systemd makes it (RuntimeDirectory=), or run: " + (
                f"mkdir {shlex.quote(str(folder))}"
            )
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return f"this user may not make a socket in {folder} ({os.strerror(error.errno)}); choose another path"
        return f"{self.path} cannot be opened: {os.strerror(error.errno or 0)}"


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the numbers by which the file system knows what is at *path* now."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
