"""
Active mode: connections from the server to the address the client named with PORT or EPRT.

RFC 959 (3.2) has them come from the port below the control port, 20. Where that port may not be bound, any free
port serves: clients accept it, only some packet filters do not, and one warning says so.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ftpsd.data.sockets import DataSocket, prepare
from ftpsd.data.trouble import Cause, Lost

# The answers of connect() while it is under way.
UNDER_WAY = (errno.EINPROGRESS, errno.EWOULDBLOCK)

log = Logger()


class Dialer:
    """The opener of data connections; *source_port* 0 is any free port, *timeout* in seconds."""

    def __init__(self, source_port: int, timeout: float, reactor: Any) -> None:
        self._source_port = source_port
        self._timeout = timeout
        self._reactor = reactor
        self._has_warned = False

    def dial(self, local_host: str, host: str, port: int) -> Deferred[DataSocket]:
        """
        Connect from *local_host* to *host*:*port*, both literal addresses of one family.

        Fails with `Lost` when the client does not answer in time or refuses. Cancelling ends the attempt.
        """
        try:
            sock = self._connecting(local_host, host, port)
        except OSError as error:
            return fail(Lost(Cause.UNREACHABLE, os.strerror(error.errno or 0)))
        return _Attempt(DataSocket(sock, self._reactor), self._reactor, self._timeout).result

    def _connecting(self, local_host: str, host: str, port: int) -> socket.socket:
        try:
            return _connect(local_host, self._source_port, host, port)
        except OSError as error:
            # EACCES: no right to a port below 1024. EADDRINUSE and EADDRNOTAVAIL: the same pair of ports is still in
            # TIME_WAIT.
            if not self._source_port or error.errno not in (errno.EACCES, errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                raise
            if error.errno == errno.EACCES and not self._has_warned:
                self._has_warned = True
                log.warn(
                    "active mode: port {port} cannot be bound, connections come from any free port "
                    "(allow it with sysctl net.ipv4.ip_unprivileged_port_start or CAP_NET_BIND_SERVICE, "
                    "or set active.source_port: 0)",
                    port=self._source_port,
                )
            return _connect(local_host, 0, host, port)


class _Attempt:
    """One connection under way."""

    def __init__(self, sock: DataSocket, clock: Any, timeout: float) -> None:
        self.result: Deferred[DataSocket] = Deferred(self._cancel)
        self._socket = sock
        self._timer: IDelayedCall = clock.callLater(timeout, self._end, Lost(Cause.NO_ANSWER))
        sock.watch(self._writable, write=True)

    def _writable(self) -> None:
        problem = self._socket.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._timer.cancel()
        if problem:
            self._end(Lost(Cause.UNREACHABLE, os.strerror(problem)))
        else:
            self.result.callback(self._socket)

    def _end(self, lost: Lost) -> None:
        self._socket.close()
        self.result.errback(lost)

    def _cancel(self, _: object) -> None:
        self._timer.cancel()
        self._socket.close()


def _connect(local_host: str, local_port: int, host: str, port: int) -> socket.socket:
    """Return a non-blocking socket on its way to *host*:*port*."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        prepare(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(sock, local_host, local_port)
        problem = sock.connect_ex((host, port))
        if problem and problem not in UNDER_WAY:
            raise OSError(problem, os.strerror(problem))
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, local_host: str, local_port: int) -> None:
    """Bind to the address that the client reached, or to any where that is a proxy's and none of this machine."""
    if (":" in local_host) == (sock.family == socket.AF_INET6):
        try:
            sock.bind((local_host, local_port))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
        else:
            return
    sock.bind(("", local_port))
