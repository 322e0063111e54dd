"""Quanta over channels that block where they like: every byte arrives, in order, and nobody holds a thread."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.data.carry.channel import Outcome
from ftpsd.data.carry.pace import UNLIMITED
from ftpsd.data.carry.quantum import CHUNK, Receiving, ReceivingSmall, Sending, SendingFile, file_pieces, whole
from ftpsd.data.trouble import Truncated
from ftpsd.storage.base import Kind, Sink, StorageError
from ftpsd.tls.native import RECORD
from ftpsd.wire.ascii import FromNetwork, ToNetwork
from tests.memory import MemorySource
from tests.unit.data.channels import ListSink, PlannedChannel, outcomes

LONG = 3600.0
PLANS = st.lists(st.integers(0, 5000), max_size=30)
DATA = st.binary(max_size=6000)
BUDGETS = st.sampled_from([0.0, LONG])
ALLOWANCES = st.sampled_from([1, 100, UNLIMITED])


def sink_of(sink: ListSink) -> Sink:
    """Receiving only ever writes."""
    return cast(Sink, sink)


def pieces(*data: bytes) -> Callable[[], memoryview]:
    """Return a producer of *data*, piece by piece."""
    left = list(data)
    return lambda: memoryview(left.pop(0) if left else b"")


class ShrinkingSource(MemorySource):
    """A file that was longer when it was opened."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data, 0)
        self.size = size


# --- sending


@given(st.lists(st.binary(min_size=1, max_size=4000), max_size=6), PLANS, BUDGETS, ALLOWANCES)
def test_every_byte_is_sent_once_and_in_order(
    data: list[bytes], plan: list[int], budget: float, allowance: int
) -> None:
    """However the channel blocks and cuts, the client gets the pieces whole."""
    channel, transfer = PlannedChannel(plan), Sending(pieces(*data))
    list(outcomes(transfer, channel, budget, allowance))
    assert bytes(channel.sent) == b"".join(data)


@given(st.lists(st.binary(min_size=1, max_size=4000), max_size=6), PLANS, BUDGETS)
def test_moved_counts_what_was_sent(data: list[bytes], plan: list[int], budget: float) -> None:
    """After every quantum `moved` is what the channel has taken."""
    channel, transfer = PlannedChannel(plan), Sending(pieces(*data))
    for _ in outcomes(transfer, channel, budget, UNLIMITED):
        assert transfer.moved == len(channel.sent)


def test_a_full_socket_ends_the_quantum() -> None:
    """A channel that would block is asked no more."""
    channel = PlannedChannel([100, 0])
    assert Sending(pieces(b"x" * 1000)).step(channel, LONG, UNLIMITED) is Outcome.WRITABLE
    assert channel.calls == 2


def test_a_quantum_without_time_still_moves() -> None:
    """A spent budget ends the quantum after the first piece, not before it."""
    channel, transfer = PlannedChannel(), Sending(pieces(b"abc", b"def"))
    assert transfer.step(channel, 0.0, UNLIMITED) is Outcome.AGAIN
    assert bytes(channel.sent) == b"abc"


def test_a_spent_allowance_ends_the_quantum() -> None:
    """The next piece is left for the next quantum."""
    channel, transfer = PlannedChannel(), Sending(pieces(b"abc", b"def"))
    assert transfer.step(channel, LONG, 3) is Outcome.AGAIN
    assert bytes(channel.sent) == b"abc"


def test_a_large_piece_is_not_sent_past_the_allowance() -> None:
    """A quantum moves about its allowance, a TLS record more at most: a limited rate would come in bursts else."""
    channel, transfer = PlannedChannel(), Sending(pieces(b"x" * CHUNK))
    transfer.step(channel, LONG, 4096)
    assert transfer.moved <= 4096 + RECORD


def test_nothing_to_send_is_done() -> None:
    """An empty file ends at once, and nothing is sent."""
    channel = PlannedChannel()
    assert Sending(whole(b"")).step(channel, LONG, UNLIMITED) is Outcome.DONE
    assert channel.calls == 0


def test_what_storage_raises_rises() -> None:
    """An error of the producer ends the transfer."""

    def broken() -> memoryview:
        raise StorageError(Kind.IO)

    with pytest.raises(StorageError):
        Sending(broken).step(PlannedChannel(), LONG, UNLIMITED)


# --- files


@given(DATA, st.integers(0, 6000))
def test_a_file_is_produced_from_its_offset(data: bytes, offset: int) -> None:
    """file_pieces() gives what is behind the offset."""
    offset = min(offset, len(data))
    channel = PlannedChannel()
    list(outcomes(Sending(file_pieces(MemorySource(data, offset))), channel, LONG, UNLIMITED))
    assert bytes(channel.sent) == data[offset:]


@given(DATA, PLANS)
def test_a_file_is_converted_for_text(data: bytes, plan: list[int]) -> None:
    """With an encoder the network gets its line ends."""
    channel = PlannedChannel(plan)
    list(outcomes(Sending(file_pieces(MemorySource(data, 0), ToNetwork())), channel, LONG, UNLIMITED))
    assert bytes(channel.sent) == ToNetwork().feed(data)


def test_text_that_shrinks_to_nothing_is_no_end() -> None:
    """A chunk that the encoder turns into nothing does not end the transfer: LF behind the CR of the chunk before."""
    data = b"x" * (CHUNK - 1) + b"\r" + b"\n"
    channel = PlannedChannel()
    list(outcomes(Sending(file_pieces(MemorySource(data + b"tail", 0), ToNetwork())), channel, LONG, UNLIMITED))
    assert bytes(channel.sent) == data + b"tail"


@pytest.mark.parametrize("encoder", [None, ToNetwork()])
def test_a_file_that_shrank_is_truncated(encoder: ToNetwork | None) -> None:
    """No proper end follows a file that was cut while it was sent."""
    transfer = Sending(file_pieces(ShrinkingSource(b"x" * 100, 200), encoder))
    with pytest.raises(Truncated):
        list(outcomes(transfer, PlannedChannel(), LONG, UNLIMITED))


@given(DATA, st.integers(0, 6000), PLANS, BUDGETS, ALLOWANCES)
def test_sendfile_sends_every_byte(data: bytes, offset: int, plan: list[int], budget: float, allowance: int) -> None:
    """However sendfile blocks and cuts, the client gets the file from its offset on."""
    offset = min(offset, len(data))
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        channel, transfer = PlannedChannel(plan), SendingFile(MemorySource(data, offset), file.fileno())
        for _ in outcomes(transfer, channel, budget, allowance):
            assert transfer.moved == len(channel.sent)
    assert bytes(channel.sent) == data[offset:]


def test_sendfile_keeps_to_its_allowance() -> None:
    """A quantum sends no byte more than it may."""
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 1000)
        file.flush()
        transfer = SendingFile(MemorySource(b"x" * 1000, 0), file.fileno())
        assert transfer.step(PlannedChannel(), LONG, 300) is Outcome.AGAIN
        assert transfer.moved == 300


def test_sendfile_notices_a_file_that_shrank() -> None:
    """The end of the file before its size is no end."""
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 100)
        file.flush()
        with pytest.raises(Truncated):
            list(outcomes(SendingFile(ShrinkingSource(b"", 200), file.fileno()), PlannedChannel(), LONG, UNLIMITED))


# --- receiving


@given(st.binary(max_size=300), DATA, PLANS, BUDGETS, ALLOWANCES)
def test_every_byte_is_written_once_and_in_order(
    first: bytes, data: bytes, plan: list[int], budget: float, allowance: int
) -> None:
    """However the bytes come in, the sink gets what was there before and then all of them."""
    sink = ListSink()
    transfer = Receiving(sink_of(sink), None, first)
    list(outcomes(transfer, PlannedChannel(plan, data), budget, allowance))
    assert bytes(sink.data) == first + data


@given(st.binary(max_size=300), DATA, PLANS, ALLOWANCES)
def test_nothing_is_kept_between_quanta(first: bytes, data: bytes, plan: list[int], allowance: int) -> None:
    """After every quantum all that was received is with the sink, and `moved` counts it."""
    sink = ListSink()
    transfer = Receiving(sink_of(sink), None, first)
    for _ in outcomes(transfer, PlannedChannel(plan, data), LONG, allowance):
        assert len(sink.data) == len(first) + transfer.moved


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n"])), st.lists(st.integers(0, 3), max_size=40))
def test_text_is_converted_across_quanta(parts: list[bytes], plan: list[int]) -> None:
    """A CR LF that is cut between two quanta is one line end."""
    data, sink = b"".join(parts), ListSink()
    list(outcomes(Receiving(sink_of(sink), FromNetwork()), PlannedChannel(plan, data), LONG, UNLIMITED))
    assert bytes(sink.data) == data.replace(b"\r\n", b"\n")


def test_small_records_are_gathered() -> None:
    """Sixty-four TLS records make one write: each would cost a system call."""
    sink = ListSink()
    data = b"x" * (64 * 1000)
    list(outcomes(Receiving(sink_of(sink)), PlannedChannel([1000] * 64, data), LONG, UNLIMITED))
    assert sink.writes == [len(data)]


def test_receiving_keeps_to_its_allowance() -> None:
    """A quantum receives a record more than it may, at most."""
    transfer = Receiving(sink_of(ListSink()))
    assert transfer.step(PlannedChannel([RECORD] * 9, b"x" * RECORD * 9), LONG, RECORD * 2) is Outcome.AGAIN
    assert transfer.moved == RECORD * 2


def test_a_silent_client_ends_the_quantum() -> None:
    """Nothing to read: the reactor watches, and no thread waits."""
    channel = PlannedChannel([0], b"late")
    assert Receiving(sink_of(ListSink())).step(channel, LONG, UNLIMITED) is Outcome.READABLE
    assert channel.calls == 1


def test_a_cut_upload_is_truncated() -> None:
    """The end that is none rises."""
    with pytest.raises(Truncated):
        list(outcomes(Receiving(sink_of(ListSink())), PlannedChannel((), b"half", is_cut=True), LONG, UNLIMITED))


def test_what_came_before_the_cut_is_kept() -> None:
    """The bytes that had arrived when the client vanished are with the sink: the upload is resumed from there."""
    sink = ListSink()
    with pytest.raises(Truncated):
        list(outcomes(Receiving(sink_of(sink)), PlannedChannel((), b"half", is_cut=True), LONG, UNLIMITED))
    assert bytes(sink.data) == b"half"


def test_a_full_disk_rises() -> None:
    """An error that the sink raises ends the transfer."""
    sink = ListSink(StorageError(Kind.NO_SPACE))
    with pytest.raises(StorageError):
        list(outcomes(Receiving(sink_of(sink)), PlannedChannel((), b"data"), LONG, UNLIMITED))


# --- small uploads


@given(DATA, PLANS, ALLOWANCES)
def test_a_small_upload_stays_in_memory(data: bytes, plan: list[int], allowance: int) -> None:
    """An upload that fits is held whole."""
    transfer = ReceivingSmall(10_000)
    list(outcomes(transfer, PlannedChannel(plan, data), LONG, allowance))
    assert (bytes(transfer.data), transfer.moved, transfer.is_full) == (data, len(data), False)


@given(DATA, PLANS, st.integers(1, 3000))
def test_what_does_not_fit_goes_on_without_a_gap(data: bytes, plan: list[int], limit: int) -> None:
    """Behind a full `ReceivingSmall` a `Receiving` takes over on the same channel: no byte is lost or doubled."""
    small, sink, channel = ReceivingSmall(limit), ListSink(), PlannedChannel(plan, data)
    list(outcomes(small, channel, LONG, UNLIMITED))
    if small.is_full:
        list(outcomes(Receiving(sink_of(sink), None, small.data), channel, LONG, UNLIMITED))
    assert bytes(sink.data if small.is_full else small.data) == data


def test_memory_is_bounded() -> None:
    """A client that sends a gigabyte fills one buffer beyond the limit, no more."""
    transfer: Any = ReceivingSmall(1000)
    list(outcomes(transfer, PlannedChannel((), b"x" * 1_000_000), LONG, UNLIMITED))
    assert len(transfer.data) <= 1000 + CHUNK
