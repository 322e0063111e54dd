"""The control connection's transport: what leaves at once, what waits, and TLS on its own socket."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet import main
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from ftpsd.control.transport import MOST_FORGOTTEN, MOVES, ControlTransport, State
from ftpsd.tls.record_look import RECORD
from ftpsd.tls.session_tls import SessionTLS
from tests.dataclient import identity
from tests.reactor import Reactor, tcp_pair

LARGE = b"x" * 4_000_000


@implementer(IHandshakeListener, IPushProducer)
class Recorder(Protocol):
    """Keeps what arrives."""

    def __init__(self) -> None:
        self.received = b""
        self.handshakes = 0
        self.lost: Failure | None = None
        self.is_paused = False

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def handshakeCompleted(self) -> None:
        self.handshakes += 1

    def connectionLost(self, reason: Failure = Failure(main.CONNECTION_DONE)) -> None:  # noqa: B008
        self.lost = reason

    def pauseProducing(self) -> None:
        self.is_paused = True

    def resumeProducing(self) -> None:
        self.is_paused = False

    def stopProducing(self) -> None: ...


class Ends:
    """Both ends of a control connection over TCP."""

    def __init__(self) -> None:
        self.reactor: Any = Reactor()
        self.protocol = Recorder()
        ours, self.client = tcp_pair()
        port: Any = None
        make: Any = ControlTransport
        self.transport = make(ours, self.protocol, ("192.0.2.1", 1024), port, 1, self.reactor)
        connect: Any = self.protocol.makeConnection
        connect(self.transport)
        self.transport.startReading()

    def start_tls(self) -> Any:
        """Do the handshake and return the client's end; the server's begins at once."""
        self.transport.start_tls(SessionTLS(identity()[0]))
        return self.shake_hands()

    def shake_hands(self) -> Any:
        """Do the client's part of the handshake."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.suppress_ragged_eofs = False  # type: ignore[attr-defined]
        self.client.setblocking(False)
        secure = context.wrap_socket(self.client, do_handshake_on_connect=False, suppress_ragged_eofs=False)
        self.client = secure
        while True:
            try:
                secure.do_handshake()
            except ssl.SSLWantReadError:
                self.reactor.turn(0.01)
            else:
                self.reactor.run_until(lambda: self.protocol.handshakes == 1)
                return secure

    def received(self, count: int) -> bytes:
        """Return *count* bytes that the client has got, letting the server send them."""
        self.client.setblocking(False)
        data = b""
        while len(data) < count:
            try:
                data += self.client.recv(65536)
            except (ssl.SSLWantReadError, BlockingIOError):
                self.reactor.turn(0.01)
        return data

    def ending(self) -> bytes | None:
        """Wait until the client reads the end: empty for a proper one, None for a cut."""
        while True:
            try:
                return self.client.recv(65536)
            except ssl.SSLWantReadError:
                self.reactor.turn(0.01)
            except (ssl.SSLError, OSError):
                return None


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Both ends of a connection."""
    made = Ends()
    yield made
    if made.protocol.lost is None:
        made.transport.connectionLost(Failure(main.CONNECTION_DONE))
    made.client.close()


def test_a_reply_leaves_at_once(ends: Ends) -> None:
    """Bytes that are written are with the client before the reactor has had a turn."""
    ends.transport.write(b"200 Fine.\r\n")
    assert ends.client.recv(100) == b"200 Fine.\r\n"
    assert not ends.reactor.is_writing(ends.transport)


def test_a_secure_reply_leaves_at_once(ends: Ends) -> None:
    """Under TLS too."""
    client = ends.start_tls()
    ends.transport.write(b"200 Fine.\r\n")
    client.settimeout(5)
    assert client.recv(100) == b"200 Fine.\r\n"


def test_a_close_gets_its_turn(ends: Ends) -> None:
    """curl's session after a download was held until the farewell timer: the reactor was never asked to close it."""
    ends.transport.write(b"221 Goodbye.\r\n")
    ends.transport.loseConnection()
    ends.reactor.run_until(lambda: ends.protocol.lost is not None)
    assert [ends.client.recv(100), ends.client.recv(100)] == [b"221 Goodbye.\r\n", b""]


@pytest.mark.parametrize("secure", [False, True])
def test_what_does_not_fit_follows(ends: Ends, secure: bool) -> None:
    """A client that reads slowly gets everything, in order, and the close comes behind it."""
    if secure:
        ends.start_tls()
    ends.transport.write(LARGE)
    ends.transport.write(b"the end")
    ends.transport.loseConnection()
    assert ends.received(len(LARGE) + 7) == LARGE + b"the end"
    assert ends.ending() == b""


@pytest.mark.parametrize("secure", [False, True])
def test_a_client_that_does_not_read_pauses(ends: Ends, secure: bool) -> None:
    """The producer of replies stops while many wait, and goes on when they have gone."""
    if secure:
        ends.start_tls()
    ends.transport.registerProducer(ends.protocol, True)
    ends.transport.write(LARGE)
    assert ends.protocol.is_paused
    ends.received(len(LARGE))
    ends.reactor.run_until(lambda: not ends.protocol.is_paused)


def test_bytes_are_taken_under_tls(ends: Ends) -> None:
    """More than a record at once arrives whole: nothing waits inside OpenSSL for the next event."""
    client = ends.start_tls()
    client.settimeout(5)
    client.sendall(LARGE[:50_000])
    ends.reactor.run_until(lambda: len(ends.protocol.received) == 50_000)


def test_a_write_before_the_handshake_waits(ends: Ends) -> None:
    """The greeting of implicit FTPS is written before there is TLS and must not go out in clear."""
    ends.transport.start_tls(SessionTLS(identity()[0]))
    ends.transport.write(b"220 ready\r\n")
    ends.shake_hands()
    assert ends.received(11) == b"220 ready\r\n"


def test_a_close_before_the_handshake_waits(ends: Ends) -> None:
    """So a client of implicit FTPS that is one too many reads why."""
    ends.transport.start_tls(SessionTLS(identity()[0]))
    ends.transport.write(b"421 Too many.\r\n")
    ends.transport.loseConnection()
    ends.shake_hands()
    assert ends.received(15) == b"421 Too many.\r\n"
    assert ends.ending() == b""


def test_clear_text_comes_before_the_handshake(ends: Ends) -> None:
    """A reply in clear that did not fit is neither lost nor mixed into TLS."""
    ends.transport.write(LARGE)
    ends.transport.start_tls(SessionTLS(identity()[0]))
    ends.transport.write(b"under TLS")
    assert ends.received(len(LARGE)) == LARGE
    ends.shake_hands()
    assert ends.received(9) == b"under TLS"


def test_a_close_behind_clear_text_waits_for_the_handshake(ends: Ends) -> None:
    """Also when the reply in clear has not all gone: what was written behind it is for the client, under TLS."""
    ends.transport.write(LARGE)
    ends.transport.start_tls(SessionTLS(identity()[0]))
    ends.transport.write(b"421 Too many.\r\n")
    ends.transport.loseConnection()
    assert ends.received(len(LARGE)) == LARGE
    ends.shake_hands()
    assert ends.received(15) == b"421 Too many.\r\n"
    assert ends.ending() == b""


def test_every_state_ends(ends: Ends) -> None:
    """From each the connection can be lost, and from there nothing leads anywhere."""
    assert set(MOVES) == set(State)
    assert {state for state in State if State.CLOSED not in MOVES[state]} == {State.CLOSED}
    assert MOVES[State.CLOSED] == frozenset()


def test_tls_does_not_begin_twice(ends: Ends) -> None:
    """That would take what is under TLS for a new handshake."""
    ends.start_tls()
    with pytest.raises(AssertionError):
        ends.transport.start_tls(SessionTLS(identity()[0]))


def test_the_end_is_announced(ends: Ends) -> None:
    """close_notify, then FIN; the connection is ours until the client has closed."""
    client = ends.start_tls()
    ends.transport.write(b"221 Goodbye.\r\n")
    ends.transport.loseConnection()
    assert ends.received(14) == b"221 Goodbye.\r\n"
    assert ends.ending() == b""
    assert ends.protocol.lost is None
    client.close()
    ends.reactor.run_until(lambda: ends.protocol.lost is not None)


def test_what_comes_late_is_forgotten(ends: Ends) -> None:
    """Unread bytes would turn our close into a RST, which can overtake the reply before it."""
    client = ends.start_tls()
    ends.transport.loseConnection()
    client.settimeout(5)
    client.sendall(b"NOOP\r\n" * 1000)
    ends.reactor.settle()
    assert (ends.protocol.received, ends.protocol.lost, ends.ending()) == (b"", None, b"")


def test_a_client_that_says_goodbye_is_answered(ends: Ends) -> None:
    """GnuTLS reports an error when its close_notify gets no answer (FileZilla, lftp; pyftpdlib 162)."""
    client = ends.start_tls()
    client.setblocking(False)
    while True:
        try:
            client.unwrap()
            break
        except ssl.SSLWantReadError:
            ends.reactor.turn(0.01)
    ends.reactor.run_until(lambda: ends.protocol.lost is not None)
    assert ends.protocol.lost is not None
    assert ends.protocol.lost.value is main.CONNECTION_DONE


def test_a_cut_is_told_from_an_end(ends: Ends) -> None:
    """A FIN without close_notify is a lost connection."""
    client = ends.start_tls()
    socket.socket(fileno=client.detach()).close()
    ends.reactor.run_until(lambda: ends.protocol.lost is not None)
    assert ends.protocol.lost is not None
    assert ends.protocol.lost.value is main.CONNECTION_LOST


def test_garbage_is_no_handshake(ends: Ends) -> None:
    """Bytes that are not TLS end the connection, and reach no protocol."""
    ends.transport.start_tls(SessionTLS(identity()[0]))
    ends.client.sendall(b"USER mallory\r\nPASS secret\r\n")
    ends.reactor.run_until(lambda: ends.protocol.lost is not None)
    assert (ends.protocol.received, ends.protocol.handshakes) == (b"", 0)


def test_a_turn_takes_a_record_at_most(ends: Ends) -> None:
    """In clear too: what a client has sent ahead waits in the kernel while others have their turn."""
    ends.client.sendall(b"NOOP\r\n" * 8000)
    ends.reactor.turn(5)
    assert 0 < len(ends.protocol.received) <= RECORD


def test_forgetting_ends(ends: Ends) -> None:
    """A client that goes on sending behind our close_notify is cut; what it can have had under way is much less."""
    ends.start_tls()
    ends.transport.loseConnection()
    ends.client.settimeout(5)
    sent = 0
    with suppress(OSError):
        while sent < 100 * MOST_FORGOTTEN:
            ends.reactor.turn()
            sent += ends.client.send(bytes(RECORD))
    assert ends.protocol.lost is not None
    assert sent > MOST_FORGOTTEN
