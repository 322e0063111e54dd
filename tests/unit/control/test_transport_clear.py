"""CCC on the connection's own socket: where TLS ends, and what is behind it."""

from __future__ import annotations

import pytest

from ftpsd.tls.session_tls import SessionTLS
from tests.dataclient import close_notify, identity, new_client
from tests.tlsclient import Client
from tests.unit.control.test_transport import LARGE, Ends


class Leaving(Ends):
    """A connection under TLS whose server has begun to leave it; the client's TLS is in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.tls: Client = new_client()
        self.client.setblocking(False)
        self.transport.start_tls(SessionTLS(identity()[0]))
        self.client.sendall(self.tls.take(b""))
        while self.protocol.handshakes == 0 or not self.tls.is_shaken:
            self.reactor.turn(0.01)
            try:
                answer = self.tls.take(self.client.recv(65536))
            except BlockingIOError:
                continue
            if answer:
                self.client.sendall(answer)

    def leave(self) -> None:
        """Say 200 and leave TLS, and let the client read that."""
        self.transport.write(b"200\r\n")
        self.transport.stop_tls()
        said = b""
        while True:
            try:
                said += self.tls.read(self.client.recv(65536))
            except BlockingIOError:
                self.reactor.turn(0.01)
            if said == b"200\r\n" and self.tls.read() == b"":
                return

    def arrives(self, data: bytes) -> None:
        """Wait until the protocol has got *data*."""
        self.reactor.run_until(lambda: self.protocol.received == data)


@pytest.fixture
def ends() -> Leaving:
    """A connection under TLS."""
    return Leaving()


def test_what_is_behind_close_notify(ends: Leaving) -> None:
    """In the same segment or later, it is in clear; OpenSSL has taken none of it."""
    ends.leave()
    ends.client.sendall(close_notify(ends.tls) + b"PWD\r\n")
    ends.arrives(b"PWD\r\n")
    ends.client.sendall(b"NOOP\r\n")
    ends.arrives(b"PWD\r\nNOOP\r\n")
    ends.transport.write(b"257\r\n")
    assert ends.received(5) == b"257\r\n"


def test_what_the_client_still_says_under_tls(ends: Leaving) -> None:
    """It counts, however the network cuts it."""
    ends.leave()
    for byte in ends.tls.write(b"NOOP\r\n") + close_notify(ends.tls) + b"PWD\r\n":
        ends.client.sendall(bytes([byte]))
        ends.reactor.turn(0.01)
    ends.arrives(b"NOOP\r\nPWD\r\n")


def test_a_client_that_leaves_close_notify_out(ends: Leaving) -> None:
    """It begins in clear at once (curl's passive mode)."""
    ends.leave()
    ends.client.sendall(b"PWD\r\n")
    ends.arrives(b"PWD\r\n")


@pytest.mark.parametrize("data", [b"\x17\x03\x03\xff\xff", b"\x17\x03\x03\x00\x10" + bytes(16)])
def test_records_that_are_none(ends: Leaving, data: bytes) -> None:
    """Too long, or not of this session: the connection is lost."""
    ends.leave()
    ends.client.sendall(data)
    ends.reactor.run_until(lambda: ends.protocol.lost is not None)


def test_a_client_that_goes(ends: Leaving) -> None:
    """Instead of going on."""
    ends.leave()
    ends.client.close()
    ends.reactor.run_until(lambda: ends.protocol.lost is not None)


def test_leaving_waits_for_what_was_written(ends: Leaving) -> None:
    """Bytes that the kernel has not taken go out under TLS, then close_notify, then the bytes that come in clear."""
    ends.transport.write(LARGE)
    ends.transport.stop_tls()
    ends.transport.write(b"in clear")
    data, said = b"", 0
    while said < len(LARGE):
        try:
            data = ends.tls.read(ends.client.recv(65536))
            while data:
                said += len(data)
                data = ends.tls.read()
        except BlockingIOError:
            ends.reactor.turn(0.01)
    assert said == len(LARGE)


def test_auth_inside_the_tls_that_ends(ends: Leaving) -> None:
    """The client's close_notify cannot be told from a broken hello then: the connection is cut."""
    ends.leave()
    ends.client.sendall(ends.tls.write(b"AUTH TLS\r\n"))
    ends.arrives(b"AUTH TLS\r\n")
    ends.transport.start_tls(SessionTLS(identity()[0]))
    ends.reactor.advance(0)
    assert ends.protocol.lost is not None


def test_tls_again(ends: Leaving) -> None:
    """Behind the client's close_notify everything may begin anew."""
    ends.leave()
    ends.client.sendall(close_notify(ends.tls) + b"AUTH TLS\r\n")
    ends.arrives(b"AUTH TLS\r\n")
    ends.transport.start_tls(SessionTLS(identity()[0]))
    tls = new_client()
    ends.client.sendall(tls.take(b""))
    while ends.protocol.handshakes == 1:
        ends.reactor.turn(0.01)
        try:
            answer = tls.take(ends.client.recv(65536))
        except BlockingIOError:
            continue
        if answer:
            ends.client.sendall(answer)
    ends.client.sendall(tls.write(b"NOOP\r\n"))
    ends.arrives(b"AUTH TLS\r\nNOOP\r\n")
