"""Channels over real sockets: what blocks, what ends a file, and what only cuts it."""

from __future__ import annotations

import errno
import os
import socket
import struct
import tempfile
from collections.abc import Iterator

import pytest
from OpenSSL import SSL

from ftpsd.data.carry.channel import BLOCKED, ENDED, ClearChannel, Outcome, SecureChannel
from ftpsd.data.carry.quantum import CHUNK
from ftpsd.data.trouble import Truncated
from ftpsd.storage.base import Kind, StorageError
from ftpsd.tls.session_tls import SessionTLS
from tests.dataclient import close_notify, identity, new_client
from tests.reactor import tcp_pair
from tests.tlsclient import Client

# SO_LINGER with 0 seconds: close() sends RST.
RESET = struct.pack("ii", 1, 0)
BIG = memoryview(bytes(CHUNK))


class Pair:
    """A server's socket, which does not block, and its client."""

    def __init__(self) -> None:
        self.ours, self.theirs = tcp_pair()
        self.ours.setblocking(False)
        self.buffer = memoryview(bytearray(65536))

    def reset(self) -> None:
        """Let the client vanish."""
        self.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.theirs.close()


class SecurePair(Pair):
    """The same under TLS, with the handshake done."""

    def __init__(self) -> None:
        super().__init__()
        self.server = SessionTLS(identity()[0]).data_connection(self.ours)
        self.client: Client = new_client()
        self.theirs.sendall(self.client.take(b""))
        while not self._is_done():
            self.theirs.sendall(self.client.take(self.theirs.recv(65536)))
        self.channel = SecureChannel(self.server, self.ours)

    def read(self, least: int) -> bytes:
        """Let the client read until it has *least* bytes, or a few more."""
        data = b""
        while len(data) < least:
            said = self.client.read(self.theirs.recv(65536))
            while said:
                data += said
                said = self.client.read()
        return data

    def _is_done(self) -> bool:
        try:
            self.server.do_handshake()
        except SSL.WantReadError:
            return False
        return True


@pytest.fixture
def clear() -> Iterator[Pair]:
    """A data connection in clear."""
    pair = Pair()
    yield pair
    pair.ours.close()
    pair.theirs.close()


@pytest.fixture
def secure() -> Iterator[SecurePair]:
    """A data connection under TLS."""
    pair = SecurePair()
    yield pair
    pair.ours.close()
    pair.theirs.close()


# --- in clear


def test_clear_bytes_go_out(clear: Pair) -> None:
    """send() says how much the kernel took."""
    assert ClearChannel(clear.ours).send(memoryview(b"data")) == 4
    assert clear.theirs.recv(10) == b"data"


def test_a_full_clear_socket_blocks(clear: Pair) -> None:
    """When the kernel takes no more, the channel waits to be writable."""
    channel = ClearChannel(clear.ours)
    while channel.send(BIG) != BLOCKED:
        pass
    assert channel.blocked_on is Outcome.WRITABLE


def test_clear_bytes_come_in(clear: Pair) -> None:
    """receive_into() fills the buffer from its start."""
    clear.theirs.sendall(b"data")
    assert ClearChannel(clear.ours).receive_into(clear.buffer) == 4
    assert bytes(clear.buffer[:4]) == b"data"


def test_a_silent_clear_client_blocks(clear: Pair) -> None:
    """Without data the channel waits to be readable."""
    channel = ClearChannel(clear.ours)
    assert channel.receive_into(clear.buffer) == BLOCKED
    assert channel.blocked_on is Outcome.READABLE


def test_a_fin_ends_a_clear_file(clear: Pair) -> None:
    """In stream mode the end of the connection is the end of the file (RFC 959, 3.4.1)."""
    clear.theirs.close()
    assert ClearChannel(clear.ours).receive_into(clear.buffer) == ENDED


def test_a_reset_cuts_a_clear_file(clear: Pair) -> None:
    """RST is no end."""
    clear.reset()
    with pytest.raises(Truncated):
        ClearChannel(clear.ours).receive_into(clear.buffer)


def test_sending_to_a_client_that_has_gone_is_truncated(clear: Pair) -> None:
    """The transfer ends with a reason for the audit log, not with an OSError."""
    clear.reset()
    with pytest.raises(Truncated, match=r"reset|pipe"):
        ClearChannel(clear.ours).send(memoryview(b"data"))


def test_a_file_goes_straight_to_the_socket(clear: Pair) -> None:
    """send_file() sends from the offset, as much as it may."""
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789")
        file.flush()
        assert ClearChannel(clear.ours).send_file(file.fileno(), 3, 4) == 4
    assert clear.theirs.recv(10) == b"3456"


def test_the_end_of_a_file_is_zero(clear: Pair) -> None:
    """send_file() tells the end of the file from a full socket."""
    with tempfile.TemporaryFile() as file:
        assert ClearChannel(clear.ours).send_file(file.fileno(), 0, 10) == 0


def test_a_full_socket_blocks_send_file(clear: Pair) -> None:
    """send_file() does not wait for the client either."""
    channel = ClearChannel(clear.ours)
    with tempfile.TemporaryFile() as file:
        os.truncate(file.fileno(), CHUNK)
        while channel.send_file(file.fileno(), 0, CHUNK) != ENDED:
            pass
    assert channel.blocked_on is Outcome.WRITABLE


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_a_disk_that_fails_is_no_lost_connection(clear: Pair, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """send_file() tells what went wrong with the file from what went wrong with the client."""

    def fail(*arguments: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "sendfile", fail)
    with pytest.raises(StorageError) as caught:
        ClearChannel(clear.ours).send_file(0, 0, 10)
    assert caught.value.kind is Kind.IO


def test_a_client_that_vanished_is_a_lost_connection(clear: Pair) -> None:
    """send_file() to nobody truncates, as send() does."""
    clear.reset()
    with tempfile.TemporaryFile() as file:
        os.truncate(file.fileno(), CHUNK)
        with pytest.raises(Truncated):
            ClearChannel(clear.ours).send_file(file.fileno(), 0, CHUNK)


# --- under TLS


def test_secure_bytes_go_out(secure: SecurePair) -> None:
    """send() takes the whole piece."""
    assert secure.channel.send(memoryview(b"data")) == 4
    assert secure.read(4) == b"data"


def test_a_full_secure_socket_blocks(secure: SecurePair) -> None:
    """When the kernel takes no more, the channel waits to be writable."""
    while secure.channel.send(BIG) != BLOCKED:
        pass
    assert secure.channel.blocked_on is Outcome.WRITABLE


def test_a_blocked_piece_is_sent_once(secure: SecurePair) -> None:
    """The same piece offered again goes on where it stopped: the client gets every byte once."""
    pieces = 1
    while secure.channel.send(BIG) != BLOCKED:
        pieces += 1
    received = 0
    while secure.channel.send(BIG) == BLOCKED:
        received += len(secure.read(1))
    received += len(secure.read(pieces * len(BIG) - received))
    assert received == pieces * len(BIG)


def test_secure_bytes_come_in(secure: SecurePair) -> None:
    """receive_into() fills the buffer with what the client said."""
    secure.theirs.sendall(secure.client.write(b"data"))
    assert secure.channel.receive_into(secure.buffer) == 4
    assert bytes(secure.buffer[:4]) == b"data"


def test_a_silent_secure_client_blocks(secure: SecurePair) -> None:
    """Without data the channel waits to be readable."""
    assert secure.channel.receive_into(secure.buffer) == BLOCKED
    assert secure.channel.blocked_on is Outcome.READABLE


def test_half_a_record_blocks(secure: SecurePair) -> None:
    """A record that has not arrived whole is nothing yet."""
    record = secure.client.write(b"data")
    secure.theirs.sendall(record[:-1])
    assert secure.channel.receive_into(secure.buffer) == BLOCKED
    secure.theirs.sendall(record[-1:])
    assert secure.channel.receive_into(secure.buffer) == 4


def test_close_notify_ends_a_secure_file(secure: SecurePair) -> None:
    """close_notify is the end, also before the FIN."""
    secure.theirs.sendall(close_notify(secure.client))
    assert secure.channel.receive_into(secure.buffer) == ENDED


def test_a_bare_fin_cuts_a_secure_file(secure: SecurePair) -> None:
    """Anybody on the way can send a FIN: without close_notify the file is truncated (RFC 5246, 7.2.1)."""
    secure.theirs.sendall(secure.client.write(b"half"))
    secure.theirs.shutdown(socket.SHUT_WR)
    assert secure.channel.receive_into(secure.buffer) == 4
    with pytest.raises(Truncated, match=r"close_notify|unexpected eof"):
        secure.channel.receive_into(secure.buffer)


def test_a_reset_cuts_a_secure_file(secure: SecurePair) -> None:
    """RST is no end."""
    secure.reset()
    with pytest.raises(Truncated):
        secure.channel.receive_into(secure.buffer)


def test_a_forged_record_cuts_a_secure_file(secure: SecurePair) -> None:
    """Bytes that were not encrypted by the client end the transfer."""
    secure.theirs.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(Truncated, match="mac"):
        secure.channel.receive_into(secure.buffer)


def test_secure_files_are_not_sent_by_the_kernel(secure: SecurePair) -> None:
    """send_file() says that this channel cannot."""
    assert secure.channel.send_file(0, 0, 10) is None
