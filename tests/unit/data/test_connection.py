"""Data connections: who holds the socket, and how each way to the end goes."""

from __future__ import annotations

import socket

import pytest

from ftpsd.data.carry.channel import Outcome
from ftpsd.data.carry.pace import Bucket, Pace
from ftpsd.data.carry.quantum import Receiving, Sending, whole
from ftpsd.data.connection import BUSY_PAUSE
from ftpsd.data.holder import MOVES, State
from ftpsd.data.sockets import QUICK_ACK
from ftpsd.data.trouble import Cause, Lost, Truncated
from ftpsd.storage.base import Kind, StorageError
from tests.dataclient import identity, new_client
from tests.tlsclient import TLS_1_2, Client, client_context
from tests.unit.data.channels import ListSink
from tests.unit.data.line import STALL, Ending, Line, line_in
from tests.unit.data.test_quantum import pieces, sink_of

OPEN_STATES = [state for state in State if state is not State.CLOSED]
BIG = b"0123456789abcdef" * 65536


class Broken:
    """A transfer whose quantum raises."""

    def __init__(self, error: Exception) -> None:
        self.moved = 0
        self._error = error

    def step(self, channel: object, budget: float, allowance: int) -> Outcome:
        raise self._error


# --- the states


@pytest.mark.parametrize("state", State)
def test_every_state_is_reached(state: State) -> None:
    """Each state of the table is one a connection can be in."""
    assert line_in(state)[0].connection.state is state


def test_every_open_state_may_end() -> None:
    """An abort may come at any time, so CLOSED can follow every state but itself."""
    assert {state for state in State if State.CLOSED in MOVES[state]} == set(OPEN_STATES)


def test_a_quantum_lends_the_socket() -> None:
    """While a worker has the socket the reactor does not watch it."""
    line, _ = line_in(State.LENT)
    assert (line.queue.waiting, line.reactor.watched) == (1, 0)


def test_a_quantum_that_blocks_gives_the_socket_back() -> None:
    """LENT -> WATCHED: the reactor waits for the client, no worker does."""
    line, _ = line_in(State.LENT)
    line.queue.release()
    assert line.connection.state is State.WATCHED
    assert (line.queue.waiting, line.reactor.watched) == (0, 1)


def test_readiness_lends_the_socket_again() -> None:
    """WATCHED -> LENT: bytes from the client queue the next quantum."""
    line, _ = line_in(State.LENT)
    line.queue.release()
    line.client.send(b"data")
    line.run_until(lambda: line.connection.state is State.LENT)
    assert line.reactor.watched == 0


def test_a_spent_budget_queues_behind_the_others() -> None:
    """LENT -> LENT: the next quantum is a new call of the pool, not the same one going on."""
    line = Line.queued()
    slow = Pace(Bucket(1 << 40, line.reactor))
    line.carry(Sending(pieces(*[bytes(1 << 20)] * 200)), pace=slow)
    line.queue.release(1)
    assert line.queue.waiting <= 1


def test_the_last_quantum_makes_ready() -> None:
    """LENT -> READY: the connection may carry more, or be finished."""
    line = Line.queued()
    carried = line.carry(Sending(whole(b"data")))
    line.queue.release()
    assert carried.is_good
    assert line.connection.state is State.READY


def test_one_connection_carries_two_transfers() -> None:
    """READY -> WATCHED: a small upload that turns out large goes on with another transfer."""
    line = Line()
    assert line.carry(Sending(whole(b"one ")), inline=True).is_good
    assert line.carry(Sending(whole(b"two"))).is_good
    line.connection.finish(STALL)
    assert line.client.read_all() == b"one two"


def test_a_dead_connection_carries_nothing() -> None:
    """carry() after the end fails with the reason of the end."""
    line, _ = line_in(State.CLOSED)
    assert str(line.carry(Sending(whole(b"data"))).error) == Cause.ABOR


def test_a_dead_connection_is_not_finished_well() -> None:
    """finish() after an abort fails: there was no proper end."""
    line, _ = line_in(State.CLOSED)
    assert str(Ending(line.connection.finish(STALL)).error) == Cause.ABOR


# --- abort


@pytest.mark.parametrize("state", OPEN_STATES)
def test_an_abort_closes(state: State) -> None:
    """From every state the connection ends: at once, or when the worker has come back."""
    line, _ = line_in(state)
    line.connection.abort(Cause.ABOR)
    line.queue.release()
    assert line.connection.state is State.CLOSED
    assert line.socket.is_closed


@pytest.mark.parametrize("state", OPEN_STATES)
def test_an_abort_is_told(state: State) -> None:
    """`closed` fires, once."""
    line, _ = line_in(state)
    line.connection.abort(Cause.ABOR)
    line.queue.release()
    assert line.closed.is_good


@pytest.mark.parametrize("state", [State.HANDSHAKE, State.WATCHED, State.LENT])
def test_who_waits_learns_the_reason(state: State) -> None:
    """The Deferred of what ran fails with the reason, marked as an abort."""
    line, waiting = line_in(state)
    line.connection.abort(Cause.ABOR)
    line.queue.release()
    assert waiting is not None
    assert isinstance(waiting.error, Lost)
    assert (str(waiting.error), waiting.error.is_abort) == ("aborted by the client", True)


@pytest.mark.parametrize("state", OPEN_STATES)
def test_an_abort_leaves_nothing_behind(state: State) -> None:
    """No timer runs and no descriptor is watched."""
    line, _ = line_in(state)
    line.connection.abort(Cause.ABOR)
    line.queue.release()
    assert (line.reactor.getDelayedCalls(), line.reactor.watched) == ([], 0)


def test_a_lent_socket_is_closed_by_its_holder() -> None:
    """While the worker has the socket, abort leaves it open: its number must not be given to another connection."""
    line, waiting = line_in(State.LENT)
    line.connection.abort(Cause.ABOR)
    assert waiting is not None
    assert (line.socket.is_closed, waiting.is_over, line.closed.is_over) == (False, False, False)


def test_a_lent_socket_is_severed_at_once() -> None:
    """The client notices the abort before the worker comes back."""
    line, _ = line_in(State.LENT)
    line.connection.abort(Cause.ABOR)
    assert line.client.read_all() == b""


def test_the_first_reason_counts() -> None:
    """A second abort changes nothing, also while the worker is away."""
    line, waiting = line_in(State.LENT)
    line.connection.abort(Cause.ABOR)
    line.connection.abort(Cause.NEW_PORT)
    line.queue.release()
    assert waiting is not None
    assert str(waiting.error) == Cause.ABOR


def test_an_abort_beats_what_the_worker_brings() -> None:
    """A quantum that fails because its socket was severed does not hide why it was."""
    line = Line.queued()
    carried = line.carry(Broken(Truncated(Cause.BROKEN, "Connection reset by peer")))
    line.connection.abort(Cause.ABOR)
    line.queue.release()
    assert str(carried.error) == "aborted by the client"


def test_aborting_what_is_closed_is_harmless() -> None:
    """A session that ends forgets its connections without asking about their state."""
    line, _ = line_in(State.CLOSED)
    line.connection.abort(Cause.NEW_PORT)


# --- the handshake


def test_a_handshake_secures() -> None:
    """HANDSHAKE -> READY: what follows is under TLS."""
    line = Line().secured()
    assert line.connection.is_secure
    assert line.connection.state is State.READY


def test_a_handshake_leaves_no_timer() -> None:
    """The handshake's timeout ends with it."""
    assert Line().secured().reactor.getDelayedCalls() == []


def test_a_handshake_has_its_time() -> None:
    """A client that says nothing is given *timeout* seconds."""
    line = Line()
    secured = line.secure(timeout=30)
    line.reactor.advance(29.9)
    assert not secured.is_over
    line.reactor.advance(0.1)
    assert isinstance(secured.error, Lost)


def test_a_trickle_does_not_stretch_the_handshake() -> None:
    """The timeout counts from the start, whatever arrives meanwhile."""
    line = Line()
    secured = line.secure(timeout=30)
    for byte in new_client().take(b"")[:30]:
        line.client.send(bytes([byte]))
        line.reactor.settle()
        line.reactor.advance(1)
    assert isinstance(secured.error, Lost)


def test_a_client_that_leaves_the_handshake() -> None:
    """lftp 4.7 closes the connection of an empty upload without a byte of TLS: that is no file."""
    line = Line()
    secured = line.secure()
    line.client.close()
    line.run_until(lambda: secured.is_over)
    assert isinstance(secured.error, Lost)
    assert "before TLS" in str(secured.error)


def test_a_client_that_does_not_speak_tls() -> None:
    """Clear text in the place of the handshake ends the connection, with OpenSSL's reason."""
    line = Line()
    secured = line.secure()
    line.client.send(b"this is a file, not a handshake")
    line.run_until(lambda: secured.is_over)
    assert isinstance(secured.error, Lost)
    assert str(secured.error).startswith("TLS handshake failed")
    assert line.connection.state is State.CLOSED


def is_held_back(line: Line) -> bool:
    """Tell whether the kernel keeps small pieces of *line* to itself for a while."""
    return bool(line.socket.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK))


def test_a_ticket_leaves_with_a_small_file() -> None:
    """Nobody waits for the ticket of TLS 1.3; what the client waits for in the handshake was not held back."""
    line = Line().secured()
    assert is_held_back(line)
    line.carry(Sending(whole(b"small")), inline=True)
    line.connection.finish(STALL)
    assert line.client.read_all() == b"small"


def test_a_transfer_that_takes_longer_holds_nothing_back() -> None:
    """A listing or a file from a slow disk: the first bytes leave when they are there."""
    line = Line.queued().secured()
    line.carry(Sending(whole(b"small")))
    assert not is_held_back(line)


def test_a_full_handshake_of_1_2_holds_nothing_back() -> None:
    """Its last step is one that the client waits for, perhaps to upload."""
    line = Line()
    secured = line.secure()
    line.client.shake_hands(Client(client_context(identity()[1], TLS_1_2)))
    assert secured.is_good
    assert not is_held_back(line)


def test_a_client_is_told_why_the_handshake_failed() -> None:
    """Also in its last step, and when what it sends on would turn our close into a RST."""
    line, tls = Line(), new_client()
    secured = line.secure()
    line.client.socket.sendall(tls.take(b""))
    line.reactor.settle()
    assert not is_held_back(line)
    assert line.client.socket.recv(65536)
    line.client.socket.sendall(b"\x17\x03\x03\x00\x20" + bytes(32) + b"and more")
    line.run_until(lambda: secured.is_over)
    assert str(secured.error).startswith("TLS handshake failed")
    assert line.client.socket.recv(65536)


# --- the transfer


@pytest.mark.parametrize("is_secure", [False, True])
@pytest.mark.parametrize("inline", [False, True])
def test_a_download_arrives(is_secure: bool, inline: bool) -> None:
    """A megabyte goes out whole, by the reactor or by workers, in clear or under TLS."""
    line = Line().secured() if is_secure else Line()
    carried = line.carry(Sending(whole(BIG)), inline=inline)
    read = bytearray()
    line.client.collect(read, until=lambda: carried.is_over)
    line.connection.finish(STALL)
    assert bytes(read) + line.client.read_all() == BIG
    assert sum(line.moved) == len(BIG)


@pytest.mark.parametrize("is_secure", [False, True])
@pytest.mark.parametrize("inline", [False, True])
def test_an_upload_arrives(is_secure: bool, inline: bool) -> None:
    """Bytes that come in with pauses between them reach the sink whole."""
    line, sink = (Line().secured() if is_secure else Line()), ListSink()
    carried = line.carry(Receiving(sink_of(sink)), inline=inline)
    for start in range(0, 100_000, 10_000):
        line.client.send(BIG[start : start + 10_000])
        line.reactor.settle()
    line.client.send_and_close(b"")
    line.run_until(lambda: carried.is_over)
    assert carried.is_good
    assert bytes(sink.data) == BIG[:100_000]
    assert sum(line.moved) == 100_000


def test_a_cut_upload_is_lost() -> None:
    """A FIN without close_notify fails the transfer, and is no abort of ours."""
    line = Line().secured()
    carried = line.carry(Receiving(sink_of(ListSink())))
    line.client.send(b"half")
    line.client.socket.shutdown(socket.SHUT_WR)
    line.run_until(lambda: carried.is_over)
    assert isinstance(carried.error, Lost)
    assert not carried.error.is_abort


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize(
    ("error", "state"), [(StorageError(Kind.NO_SPACE), State.READY), (ZeroDivisionError(), State.CLOSED)]
)
def test_what_storage_raises_comes_through(error: Exception, state: State, inline: bool) -> None:
    """carry() fails with the very error; a connection that is good is left for whoever says so to the client first."""
    line = Line()
    carried = line.carry(Broken(error), inline=inline)
    assert carried.error is error
    assert line.connection.state is state


def test_a_busy_pool_is_tried_again() -> None:
    """A transfer that finds the queue full waits a little and goes on."""
    line = Line.queued()
    line.queue.is_full = True
    carried = line.carry(Sending(whole(b"data")))
    assert line.connection.state is State.WATCHED
    line.queue.is_full = False
    line.reactor.advance(BUSY_PAUSE)
    line.queue.release()
    assert carried.is_good


def test_progress_is_told_once_for_each_quantum() -> None:
    """*progress* gets what the quantum has moved; a quantum that moves nothing is silent."""
    line = Line.queued()
    line.carry(Receiving(sink_of(ListSink())))
    line.queue.release()
    assert line.moved == []
    line.client.send(b"data")
    line.run_until(lambda: line.queue.waiting > 0)
    line.queue.release()
    assert line.moved == [4]


# --- stalls


def test_a_transfer_that_stalls_is_aborted() -> None:
    """A client that reads or sends nothing for stall_timeout seconds is given up."""
    line, waiting = line_in(State.WATCHED)
    line.reactor.advance(STALL)
    assert waiting is not None
    assert isinstance(waiting.error, Lost)
    assert "stalled" in str(waiting.error)


def test_a_trickle_is_no_stall() -> None:
    """Any byte within the time keeps the transfer alive."""
    line, waiting = line_in(State.WATCHED)
    assert waiting is not None
    for _ in range(5):
        line.reactor.advance(STALL - 1)
        moved = len(line.moved)
        line.client.send(b".")
        line.run_until(lambda before=moved: len(line.moved) > before)  # type: ignore[misc]
    assert not waiting.is_over


def test_a_stall_is_noticed_soon() -> None:
    """The last byte came just after a look: the abort comes within twice the time."""
    line, waiting = line_in(State.WATCHED)
    line.reactor.advance(1)
    line.client.send(b".")
    line.run_until(lambda: bool(line.moved))
    line.reactor.advance(STALL - 1)
    line.reactor.advance(STALL)
    assert waiting is not None
    assert isinstance(waiting.error, Lost)


def test_a_stall_while_lent_waits_for_the_worker() -> None:
    """Storage that hangs stalls the transfer; its socket is closed when the worker has come back."""
    line, waiting = line_in(State.LENT)
    line.reactor.advance(STALL)
    assert waiting is not None
    assert not waiting.is_over
    line.queue.release()
    assert isinstance(waiting.error, Lost)


def test_a_finished_transfer_cannot_stall() -> None:
    """The look-out ends with the transfer."""
    line = Line()
    assert line.carry(Sending(whole(b"data")), inline=True).is_good
    assert line.reactor.getDelayedCalls() == []


def test_a_transfer_held_back_by_its_rate_is_no_stall() -> None:
    """A pause that the rate asks for may be longer than stall_timeout: the client is not to blame."""
    line = Line()
    slow = Pace(Bucket(100, line.reactor))
    carried = line.carry(Sending(pieces(*[bytes(4096)] * 4)), pace=slow, stall_timeout=30)
    for _ in range(164):
        line.reactor.advance(1)
    assert carried.is_good


@pytest.mark.skipif(QUICK_ACK is None, reason="TCP_QUICKACK is Linux's")
@pytest.mark.parametrize("inline", [False, True])
def test_an_upload_that_waits_has_acknowledged(inline: bool) -> None:
    """A client that leaves Nagle on (ftplib) holds close_notify back until then: 40 ms for each small file."""
    line = Line().secured()
    line.carry(Receiving(sink_of(ListSink())), inline=inline)
    for _ in range(3):
        line.client.send(b"data")
        line.reactor.settle()
        # By itself the kernel waits, once we have sent something, for data to send the acknowledgement with.
        assert QUICK_ACK is not None
        assert line.socket.socket.getsockopt(socket.IPPROTO_TCP, QUICK_ACK) == 1
