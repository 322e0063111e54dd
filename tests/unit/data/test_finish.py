"""The end of a data connection: close_notify, FIN, and a socket that lingers until the client has read it all."""

from __future__ import annotations

import socket

import pytest

from ftpsd.data.carry.pace import Bucket, Pace
from ftpsd.data.carry.quantum import Receiving, Sending, whole
from ftpsd.data.ending import LINGER, LINGER_BYTES
from ftpsd.data.holder import State
from ftpsd.data.trouble import Cause, Lost
from tests.unit.data.channels import ListSink
from tests.unit.data.line import STALL, Ending, Line, line_in
from tests.unit.data.test_quantum import pieces, sink_of


def finished(line: Line, *, wait_for_peer: float = 0.0) -> Ending:
    return Ending(line.connection.finish(STALL, wait_for_peer=wait_for_peer))


def test_the_end_is_said_at_once() -> None:
    """finish() is over when close_notify and FIN are with the kernel: no round trip before the 226."""
    assert finished(Line()).is_good


def test_a_clear_end_is_a_fin() -> None:
    """The client reads everything, then the end."""
    line = Line()
    line.carry(Sending(whole(b"data")), inline=True)
    finished(line)
    assert line.client.read_all() == b"data"


def test_a_secure_end_is_close_notify() -> None:
    """Under TLS the FIN comes behind close_notify, else the client must take the file for truncated."""
    line = Line().secured()
    line.carry(Sending(whole(b"data")), inline=True)
    finished(line)
    assert line.client.read_all() == b"data"


def test_an_upload_is_answered_with_close_notify() -> None:
    """curl, ftplib and WinSCP wait for ours after theirs."""
    line = Line().secured()
    carried = line.carry(Receiving(sink_of(ListSink())), inline=True)
    line.client.send_and_close(b"data")
    line.run_until(lambda: carried.is_over)
    finished(line)
    assert line.client.read_all() == b""


def test_the_socket_lingers() -> None:
    """Behind a finished transfer the socket stays until the client closes."""
    line, _ = line_in(State.CLOSING)
    line.reactor.settle()
    assert not line.socket.is_closed
    line.client.close()
    line.run_until(lambda: line.socket.is_closed)
    assert line.closed.is_good


def test_lingering_has_an_end() -> None:
    """A client that never closes is left after LINGER seconds."""
    line, _ = line_in(State.CLOSING)
    line.reactor.advance(LINGER)
    assert line.connection.state is State.CLOSED


def test_late_bytes_are_read_and_forgotten() -> None:
    """Bytes that the client still sends are no reason for a RST, which could overtake the end of the file."""
    line, _ = line_in(State.CLOSING)
    line.client.send(b"late")
    line.reactor.settle()
    assert line.connection.state is State.CLOSING
    assert line.client.read_all() == b""


def test_late_bytes_are_bounded() -> None:
    """A client that goes on sending is not read for ever."""
    line, _ = line_in(State.CLOSING)
    line.client.socket.setblocking(True)
    sent = 0
    while not line.socket.is_closed:
        try:
            sent += line.client.socket.send(bytes(65536))
        except OSError:
            break
        line.reactor.turn(0.1)
        assert sent <= LINGER_BYTES * 8
    assert line.connection.state is State.CLOSED


def test_a_reset_ends_lingering() -> None:
    """The client that vanishes after its file is no failure any more."""
    line, _ = line_in(State.CLOSING)
    line.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    line.client.close()
    line.run_until(lambda: line.socket.is_closed)
    assert line.closed.is_good


def test_nothing_is_left_after_lingering() -> None:
    """No timer runs and no descriptor is watched."""
    line, _ = line_in(State.CLOSING)
    line.client.close()
    line.run_until(lambda: line.socket.is_closed)
    assert (line.reactor.getDelayedCalls(), line.reactor.watched) == ([], 0)


def test_an_unseen_end_waits_for_the_client() -> None:
    """With *wait_for_peer* finish() is over when the client has closed (curl: 226 must not overtake the accept)."""
    line = Line()
    ended = finished(line, wait_for_peer=1.0)
    assert not ended.is_over
    line.client.close()
    line.run_until(lambda: ended.is_over)
    assert ended.is_good


def test_an_unseen_end_does_not_wait_for_ever() -> None:
    """A client that keeps the connection open costs *wait_for_peer* seconds."""
    line = Line()
    ended = finished(line, wait_for_peer=1.0)
    line.reactor.advance(1.0)
    assert ended.is_good
    assert line.connection.state is State.CLOSING


def test_waiting_for_the_client_leaves_no_timer() -> None:
    """When the client has closed, the rest of *wait_for_peer* is not waited for."""
    line = Line()
    ended = finished(line, wait_for_peer=1.0)
    line.client.close()
    line.run_until(lambda: ended.is_over)
    assert line.reactor.getDelayedCalls() == []


def test_a_blocked_close_notify_waits_for_room() -> None:
    """With a full socket finish() is over only when close_notify has gone out."""
    line = Line().secured()
    clog(line)
    ended = finished(line)
    assert not ended.is_over
    line.client.tls = None
    line.client.collect(bytearray(), until=lambda: ended.is_over)
    assert ended.is_good


def test_a_slow_client_has_time_for_its_end() -> None:
    """Bytes that the kernel still holds may take longer than LINGER to leave."""
    line = Line().secured()
    clog(line)
    ended = finished(line)
    line.reactor.advance(STALL - 1)
    assert not ended.is_over


def test_a_close_notify_that_never_goes_out_is_a_failure() -> None:
    """A client that reads no more gets no end of its file: that is not success, so not 226."""
    line = Line().secured()
    clog(line)
    ended = finished(line)
    line.reactor.advance(STALL)
    assert isinstance(ended.error, Lost)


def clog(line: Line) -> None:
    """Fill the kernel's buffers of *line*, as a client does that does not read."""
    while True:
        try:
            line.socket.socket.send(bytes(65536))
        except BlockingIOError:
            return


@pytest.mark.parametrize("rate", [1000, 10_000])
@pytest.mark.parametrize("inline", [False, True])
def test_a_rate_is_held(rate: int, inline: bool) -> None:
    """On the clock, the bytes take as long as the rate says: not a tenth faster, not a tenth slower."""
    line = Line()
    size = rate * 20
    started = line.reactor.seconds()
    carried = line.carry(
        Sending(pieces(*[bytes(500)] * (size // 500))), pace=Pace(Bucket(rate, line.reactor)), inline=inline
    )
    while not carried.is_over:
        line.reactor.advance(0.01)
        line.client.collect(bytearray(), until=lambda: True)
        line.reactor.settle()
    assert 18 <= line.reactor.seconds() - started <= 22


def test_a_pause_leaves_no_timer_behind() -> None:
    """A connection that is aborted while it pauses for its rate does not keep the clock busy."""
    line = Line()
    line.carry(Sending(pieces(bytes(4096), b"rest")), pace=Pace(Bucket(100, line.reactor)))
    line.connection.abort(Cause.ABOR)
    assert line.reactor.getDelayedCalls() == []
