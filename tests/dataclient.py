"""
The client's end of a data connection, in the same thread as the server's: what it waits for, the reactor works on
meanwhile.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

from ftpsd.data.candidates import WAIT_FOR_COMMAND
from ftpsd.demo.authority import create
from ftpsd.tls.certificates import CertificatePair
from tests.reactor import Reactor
from tests.tlsclient import TLS_1_3, Client, client_context


class DataClient:
    """One data connection; *tls* once it is protected."""

    def __init__(self, reactor: Reactor, sock: socket.socket) -> None:
        self.socket = sock
        self.tls: Client | None = None
        self._reactor = reactor
        sock.setblocking(False)

    def shake_hands(self, tls: Client, *, cuts: tuple[int, ...] = ()) -> None:
        """
        Do the TLS handshake as far as it goes without the server's help after it.

        The hello is sent in several pieces, which end at *cuts*.
        """
        hello = tls.take(b"")
        # Until then the server waits for a command, which tells it the direction.
        self._reactor.advance(WAIT_FOR_COMMAND)
        for start, end in pairwise((0, *cuts, len(hello))):
            self.socket.sendall(hello[start:end])
            self._reactor.settle()

        def is_shaken() -> bool:
            if reply := tls.take(self._received() or b""):
                self.socket.sendall(reply)
            return tls.is_shaken

        self._reactor.run_until(is_shaken)
        self.tls = tls
        self._reactor.settle()

    def send(self, data: bytes) -> None:
        """Send *data*."""
        self.socket.sendall(self.tls.write(data) if self.tls is not None else data)

    def send_and_close(self, data: bytes) -> None:
        """Send *data* as a whole file: with close_notify under TLS, then FIN."""
        if data:
            self.send(data)
        if self.tls is not None:
            self.socket.sendall(close_notify(self.tls))
        self.socket.shutdown(socket.SHUT_WR)
        self._reactor.settle()

    def collect(self, data: bytearray, *, until: Callable[[], bool]) -> None:
        """Read what comes into *data* until something has happened on the server."""

        def has_happened() -> bool:
            piece = self._received() or b""
            data.extend(piece if self.tls is None else _read(self.tls, piece))
            return until()

        self._reactor.run_until(has_happened)

    def read_all(self) -> bytes:
        """Read until the server ends the connection; under TLS it must have said so with close_notify."""
        data = bytearray()
        ended = False

        def is_over() -> bool:
            nonlocal ended
            piece = self._received()
            ended = piece == b""
            data.extend(piece or b"")
            return ended

        self._reactor.run_until(is_over)
        if self.tls is None:
            return bytes(data)
        said = _read(self.tls, bytes(data))
        assert _has_ended(self.tls), "the connection ended without close_notify"
        return said

    def close(self) -> None:
        """Close our end."""
        self.socket.close()
        self._reactor.settle()

    def _received(self) -> bytes | None:
        """Return what has arrived: None for nothing yet, b"" for the end."""
        try:
            return self.socket.recv(1 << 20)
        except BlockingIOError:
            return None


def _read(tls: Client, data: bytes) -> bytes:
    said = b""
    try:
        while piece := tls.read(data):
            said, data = said + piece, b""
    except ssl.SSLZeroReturnError:
        pass  # close_notify, after ours
    return said


def _has_ended(tls: Client) -> bool:
    """Tell whether close_notify has come."""
    try:
        return tls.tls.read(1) == b""
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLWantReadError:
        return False


def close_notify(tls: Client) -> bytes:
    """Return the bytes that end *tls* from the client's side."""
    try:
        tls.tls.unwrap()
    except ssl.SSLWantReadError:
        pass  # the server's close_notify has not come yet
    return tls.take(b"")


@cache
def identity() -> tuple[CertificatePair, Path, tempfile.TemporaryDirectory[str]]:
    """Return the server's certificate and the file of the authority that signed it; the folder lives with them."""
    folder = tempfile.TemporaryDirectory()
    files = create(Path(folder.name))
    return CertificatePair.load(files.certificate, files.private_key), files.authority, folder


def new_client(session: ssl.SSLSession | None = None) -> Client:
    """Return a TLS client that trusts the server, and resumes *session*."""
    return Client(_context(), session)


@cache
def _context() -> ssl.SSLContext:
    # One for all: a session can be resumed only in the context it was made in.
    return client_context(identity()[1], TLS_1_3)
