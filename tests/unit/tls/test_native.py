"""The calls to OpenSSL past pyOpenSSL: they are in use, and behave as pyOpenSSL's own ways do."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from OpenSSL import SSL

from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.native import RECORD, Reader, copying_reader, direct_reader, reader
from ftpsd.tls.session_tls import SessionTLS
from tests.dataclient import close_notify
from tests.reactor import tcp_pair
from tests.tlsclient import VERSIONS, Client, client_context

Way = Callable[[SSL.Connection], Reader]
WAYS = [direct_reader, copying_reader]

# SO_LINGER with 0 seconds: close() sends RST.
RESET = struct.pack("ii", 1, 0)


class Ends:
    """The server's end of a data connection, as a reader, and its client."""

    def __init__(self, pair: CertificatePair, context: ssl.SSLContext, way: Way) -> None:
        self.ours, self.theirs = tcp_pair()
        self.ours.setblocking(False)
        # Bytes that are sent are there at once, also behind half a record.
        self.theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server = SessionTLS(pair).data_connection(self.ours)
        self.client = Client(context)
        self.buffer = memoryview(bytearray(4 * RECORD))
        self.theirs.sendall(self.client.take(b""))
        while not self._is_done():
            self.theirs.sendall(self.client.take(self.theirs.recv(65536)))
        if not self.client.is_shaken:
            self.client.take(self.theirs.recv(65536))
        self.read = way(self.server)

    def _is_done(self) -> bool:
        try:
            self.server.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    def close(self) -> None:
        """Close both."""
        self.ours.close()
        self.theirs.close()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """One of the ways to read."""
    chosen: Way = request.param
    return chosen


@pytest.fixture(params=VERSIONS)
def ends(request: pytest.FixtureRequest, pair: CertificatePair, authority: Path, way: Way) -> Iterator[Ends]:
    """A data connection with its handshake done, in TLS 1.2 and 1.3."""
    both = Ends(pair, client_context(authority, request.param), way)
    yield both
    both.close()


def test_the_direct_way_is_in_use() -> None:
    """With the pyOpenSSL and cryptography that are installed OpenSSL writes into our buffers itself."""
    assert reader is direct_reader


def test_a_whole_file(ends: Ends) -> None:
    """Every byte comes once and in order, a record or less at a time."""
    data = bytes(range(256)) * 256
    ends.theirs.sendall(ends.client.write(data) + close_notify(ends.client))
    received = b""
    while len(received) < len(data):
        count = ends.read(ends.buffer[1:])
        assert 0 < count <= RECORD
        received += ends.buffer[1 : 1 + count]
    assert received == data
    with pytest.raises(SSL.ZeroReturnError):
        ends.read(ends.buffer)


def test_a_buffer_smaller_than_a_record(ends: Ends) -> None:
    """Nothing is written behind the end of the buffer; the rest of the record comes with the next read."""
    ends.theirs.sendall(ends.client.write(b"0123456789"))
    assert ends.read(ends.buffer[2:6]) == 4
    assert bytes(ends.buffer[:8]) == b"\0\0" + b"0123" + b"\0\0"
    assert ends.read(ends.buffer) == 6


def test_a_buffer_that_cannot_be_written(ends: Ends) -> None:
    """OpenSSL is never let into memory that Python believes constant."""
    constant = bytes(16)
    ends.theirs.sendall(ends.client.write(b"0123456789"))
    with pytest.raises((BufferError, TypeError)):
        ends.read(memoryview(constant))
    assert constant == bytes(16)


def test_a_silent_client(ends: Ends) -> None:
    """Nothing is there, or half a record: the socket must be readable first."""
    with pytest.raises(SSL.WantReadError):
        ends.read(ends.buffer)
    record = ends.client.write(b"data")
    ends.theirs.sendall(record[:-1])
    with pytest.raises(SSL.WantReadError):
        ends.read(ends.buffer)
    ends.theirs.sendall(record[-1:])
    assert ends.read(ends.buffer) == 4


def test_a_bare_fin_is_no_end(ends: Ends) -> None:
    """Anybody on the way can send a FIN: without close_notify the file is cut (RFC 5246, 7.2.1)."""
    ends.theirs.sendall(ends.client.write(b"half"))
    ends.theirs.shutdown(socket.SHUT_WR)
    assert ends.read(ends.buffer) == 4
    with pytest.raises(SSL.SysCallError, match="Unexpected EOF"):
        ends.read(ends.buffer)


def test_a_bare_fin_inside_a_record_is_no_end(ends: Ends) -> None:
    """Half a record is no record."""
    ends.theirs.sendall(ends.client.write(b"half")[:-2])
    ends.theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(SSL.SysCallError, match="Unexpected EOF"):
        ends.read(ends.buffer)


def test_a_reset_is_no_end(ends: Ends) -> None:
    """RST says so."""
    ends.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    ends.theirs.close()
    with pytest.raises(SSL.SysCallError, match="ECONNRESET"):
        ends.read(ends.buffer)


def test_a_forged_record(ends: Ends) -> None:
    """Bytes that were not encrypted by the client are an error of its own kind, with a reason."""
    record = ends.client.write(b"data")
    ends.theirs.sendall(record[:-1] + bytes([record[-1] ^ 1]))
    with pytest.raises(SSL.Error) as caught:
        ends.read(ends.buffer)
    assert caught.type is SSL.Error
    assert caught.value.args[0][0][2] in ("decryption failed or bad record mac", "cipher operation failed")


def test_memory_without_records(pair: CertificatePair, authority: Path, way: Way) -> None:
    """Over memory, where an uplink reads, nothing received is nothing yet, and no end."""
    server, client = SessionTLS(pair).data_connection(None), Client(client_context(authority, VERSIONS[0]))
    to_server = client.take(b"")
    while not client.is_shaken:
        server.bio_write(to_server)
        try:
            server.do_handshake()
        except SSL.WantReadError:
            pass
        to_server = client.take(server.bio_read(65536))
    buffer = memoryview(bytearray(RECORD))
    read = way(server)
    with pytest.raises(SSL.WantReadError):
        read(buffer)
    server.bio_write(client.write(b"data"))
    assert read(buffer) == 4
    server.bio_write(close_notify(client))
    with pytest.raises(SSL.ZeroReturnError):
        read(buffer)
