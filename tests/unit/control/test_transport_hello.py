"""The control connection's transport before TLS: the look at the client's hello, and what it decides."""

from __future__ import annotations

import select
import ssl
from collections.abc import Iterator

import pytest
from twisted.internet import main
from twisted.python.failure import Failure

from ftpsd.tls.failure import failure_of
from ftpsd.tls.session_tls import SessionTLS, TLSPolicy
from tests.dataclient import identity
from tests.unit.control.test_transport import Ends


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Both ends of a connection."""
    made = Ends()
    yield made
    if made.protocol.lost is None:
        made.transport.connectionLost(Failure(main.CONNECTION_DONE))
    made.client.close()


class Hello:
    """A client over memory that has made its hello."""

    def __init__(self, least: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2, *, padding: int = 0) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = least
        if padding:
            # The list of protocols is the part of a hello that can be as long as wished.
            context.set_alpn_protocols(["ftp", *(f"x{number:019}" for number in range(padding // 21))])
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._client = context.wrap_bio(self._incoming, self._outgoing)
        with pytest.raises(ssl.SSLWantReadError):
            self._client.do_handshake()
        self.bytes = self._outgoing.read()

    def finish(self, ends: Ends) -> str | None:
        """Do the rest of the handshake and return the version that was chosen."""
        ends.client.settimeout(5)
        while True:
            ends.reactor.run_until(lambda: bool(select.select([ends.client], [], [], 0)[0]))
            self._incoming.write(ends.client.recv(65536))
            try:
                self._client.do_handshake()
            except ssl.SSLWantReadError:
                ends.client.sendall(self._outgoing.read())
            else:
                return self._client.version()


def tls_up_to(maximum: str) -> SessionTLS:
    """Return the TLS of a session with `tls.maximum_version: maximum`."""
    return SessionTLS(identity()[0], TLSPolicy(maximum=maximum))


@pytest.mark.parametrize(
    ("maximum", "least", "version"),
    [
        ("auto", ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        ("auto", ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        ("1.3", ssl.TLSVersion.TLSv1_2, "TLSv1.3"),
        ("1.2", ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
    ],
)
def test_the_version_is_chosen(ends: Ends, maximum: str, least: ssl.TLSVersion, version: str) -> None:
    """Session resumption decides (curl uploads twice in TLS 1.2 only), and what a client insists on."""
    hello = Hello(least)
    ends.transport.start_tls(tls_up_to(maximum))
    ends.client.sendall(hello.bytes)
    assert hello.finish(ends) == version


def test_a_hello_may_come_byte_by_byte(ends: Ends) -> None:
    """Its parts stay in the kernel, and the reactor does not spin on them."""
    hello = Hello()
    ends.transport.start_tls(tls_up_to("auto"))
    for byte in hello.bytes[:-1]:
        ends.client.sendall(bytes([byte]))
        ends.reactor.settle()  # would never end
    ends.client.sendall(hello.bytes[-1:])
    assert hello.finish(ends) == "TLSv1.2"


def test_a_long_hello_in_parts(ends: Ends) -> None:
    """One with keys against quantum computers comes in several segments, or records: the version is chosen."""
    hello = Hello(padding=1200)
    assert len(hello.bytes) > 1400
    half = len(hello.bytes) // 2
    ends.transport.start_tls(tls_up_to("auto"))
    message = hello.bytes[5:]
    for part in (message[:half], message[half:]):
        record = hello.bytes[:3] + len(part).to_bytes(2, "big") + part
        for piece in (record[:2], record[2:400], record[400:]):
            ends.client.sendall(piece)
            ends.reactor.settle()
    assert hello.finish(ends) == "TLSv1.2"


@pytest.mark.parametrize("maximum", ["auto", "1.3"])
def test_a_hello_of_one_byte_records(ends: Ends, maximum: str) -> None:
    """OpenSSL is not given it: 131,396 of them took it 0.1 s."""
    tls = tls_up_to(maximum)
    ends.transport.start_tls(tls)
    ends.client.sendall(b"".join(b"\x16\x03\x01\x00\x01" + bytes([byte]) for byte in Hello().bytes[5:]))
    ends.reactor.run_until(lambda: ends.protocol.lost is not None)
    assert ends.protocol.lost is not None
    assert failure_of(ends.protocol.lost.value).reason == "client-hello-too-long-or-in-too-many-records"
    assert not tls.has_input


@pytest.mark.parametrize("part", [3, 100])
def test_half_a_hello_and_the_end(ends: Ends, part: int) -> None:
    """A client that gives up is noticed."""
    ends.transport.start_tls(tls_up_to("auto"))
    ends.client.sendall(Hello().bytes[:part])
    ends.reactor.settle()
    ends.client.close()
    ends.reactor.run_until(lambda: ends.protocol.lost is not None)


def test_no_hello_at_all(ends: Ends) -> None:
    """Commands in clear where TLS was to begin end the connection."""
    ends.transport.start_tls(tls_up_to("auto"))
    ends.client.sendall(b"USER mallory\r\nPASS secret\r\n")
    ends.reactor.run_until(lambda: ends.protocol.lost is not None)
    assert (ends.protocol.received, ends.protocol.handshakes) == (b"", 0)


def test_the_protocol_can_ask_how_far_the_handshake_came(ends: Ends) -> None:
    """When it is told of the end: the audit log tells a slow client from one that has said nothing."""
    tls = SessionTLS(identity()[0])
    ends.transport.start_tls(tls)
    ends.client.sendall(Hello().bytes)
    ends.reactor.settle()
    heard: list[bool] = []
    ends.protocol.connectionLost = lambda reason: heard.append(tls.has_input)  # type: ignore[method-assign, assignment, misc]
    ends.transport.connectionLost(Failure(main.CONNECTION_LOST))
    ends.protocol.lost = Failure(main.CONNECTION_LOST)
    assert heard == [True]
