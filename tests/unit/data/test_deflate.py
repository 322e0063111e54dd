"""MODE Z over channels that block where they like: the same bytes come out, never many at once, and no stump passes."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from functools import cache
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.data.carry.channel import Outcome
from ftpsd.data.carry.deflate import PIECE, Inflating, deflated
from ftpsd.data.carry.pace import UNLIMITED
from ftpsd.data.carry.quantum import CHUNK, Sending
from ftpsd.data.trouble import Cause, Truncated
from ftpsd.storage.base import Kind, Sink, StorageError
from ftpsd.tls.native import RECORD
from ftpsd.wire.ascii import FromNetwork
from tests.unit.data.channels import ListSink, PlannedChannel, outcomes

LONG = 3600.0
PLANS = st.lists(st.integers(0, 5000), max_size=30)
# Some that shrink a lot, some that do not shrink at all.
REPEATED = st.builds(lambda piece, times: piece * times, st.binary(max_size=20), st.integers(0, 20_000))
DATA = st.binary(max_size=6000) | REPEATED
BUDGETS = st.sampled_from([0.0, LONG])
ALLOWANCES = st.sampled_from([1000, 5000, UNLIMITED])


@cache
def bomb() -> bytes:
    """Return 100 MiB that are 100 KiB on the wire."""
    return zlib.compress(bytes(100 << 20), 9)


def pieces(*data: bytes) -> Callable[[], memoryview]:
    """Return a producer of *data*, piece by piece."""
    left = [piece for piece in data if piece]
    return lambda: memoryview(left.pop(0) if left else b"")


def inflating(sink: ListSink, decoder: FromNetwork | None = None) -> Inflating:
    """Inflating only ever writes."""
    return Inflating(cast(Sink, sink), decoder)


# --- downloads


@given(data=st.lists(DATA, max_size=4), plan=PLANS, level=st.integers(0, 9), budget=BUDGETS, allowance=ALLOWANCES)
def test_what_is_sent_inflates_to_the_file(
    data: list[bytes], plan: list[int], level: int, budget: float, allowance: int
) -> None:
    """At every level, however the socket takes it: one zlib stream and nothing behind it."""
    channel = PlannedChannel(plan)
    transfer = Sending(deflated(pieces(*data), level))
    list(outcomes(transfer, channel, budget, allowance))
    stream = zlib.decompressobj()
    assert stream.decompress(bytes(channel.sent)) == b"".join(data)
    assert (stream.eof, stream.unused_data) == (True, b"")
    assert transfer.moved == len(channel.sent)


def test_an_empty_file_is_an_empty_stream() -> None:
    """Not nothing at all."""
    channel = PlannedChannel()
    list(outcomes(Sending(deflated(pieces(), 6)), channel, LONG, UNLIMITED))
    assert zlib.decompress(channel.sent) == b""
    assert len(channel.sent) > 0


def test_a_piece_is_not_empty_before_the_end() -> None:
    """zlib keeps megabytes of zeros to itself; an empty piece would be taken for the end."""
    produce = deflated(pieces(bytes(20 * PIECE)), 9)
    sizes = []
    while piece := produce():
        sizes.append(len(piece))
    assert len(sizes) == 21


def test_the_end_stays_the_end() -> None:
    """Asked again, there is nothing more."""
    produce = deflated(pieces(b"data"), 6)
    while produce():
        pass
    assert len(produce()) == 0


# --- uploads


@given(data=DATA, level=st.integers(0, 9), plan=PLANS, budget=BUDGETS, allowance=ALLOWANCES)
def test_what_arrives_is_inflated(data: bytes, level: int, plan: list[int], budget: float, allowance: int) -> None:
    """Every byte once and in order, however the stream is cut; what is counted is the file."""
    sink = ListSink()
    transfer = inflating(sink)
    list(outcomes(transfer, PlannedChannel(plan, zlib.compress(data, level)), budget, allowance))
    assert bytes(sink.data) == data
    assert transfer.moved == len(data)


@given(lines=st.lists(st.sampled_from([b"text", b"\r\n", b"\r", b"\n"]), max_size=50), plan=PLANS)
def test_text_is_converted_behind_it(lines: list[bytes], plan: list[int]) -> None:
    """TYPE A is about the file, MODE Z about the way; also a last CR is kept."""
    sink = ListSink()
    text = b"".join(lines)
    list(outcomes(inflating(sink, FromNetwork()), PlannedChannel(plan, zlib.compress(text)), LONG, UNLIMITED))
    assert bytes(sink.data) == text.replace(b"\r\n", b"\n")


def test_a_bomb_goes_off_slowly() -> None:
    """All that comes out is held to the allowance, and no write is larger than a piece."""
    sink = ListSink()
    transfer = inflating(sink)
    channel = PlannedChannel((), bomb())
    for _ in range(20):
        before = transfer.moved
        assert transfer.step(channel, LONG, 50_000) is Outcome.AGAIN
        assert transfer.moved - before <= 50_000
    assert max(sink.writes) <= 50_000


def test_a_bomb_does_not_hold_its_worker() -> None:
    """Without an allowance the time ends the quantum, after one piece at most."""
    transfer = inflating(ListSink())
    assert transfer.step(PlannedChannel((), bomb()), 0.0, UNLIMITED) is Outcome.AGAIN
    assert transfer.moved <= CHUNK


def test_a_bomb_ends_where_there_is_no_room() -> None:
    """The storage's refusal rises at the first write."""
    full = inflating(ListSink(StorageError(Kind.QUOTA)))
    with pytest.raises(StorageError):
        full.step(PlannedChannel((), bomb()), LONG, UNLIMITED)


def test_nothing_is_received_before_what_has_come_is_inflated() -> None:
    """At most one record waits in memory."""
    channel = PlannedChannel((), bomb())
    transfer = inflating(ListSink())
    for _ in range(10):
        transfer.step(channel, LONG, 1000)
    assert channel.calls == 1


def test_a_silent_client_ends_the_quantum() -> None:
    """It waits for more to read."""
    channel = PlannedChannel([0], zlib.compress(b"data"))
    assert inflating(ListSink()).step(channel, LONG, UNLIMITED) is Outcome.READABLE


@given(data=DATA, keep=st.floats(0, 1, exclude_max=True))
def test_a_stream_without_its_end_is_no_file(data: bytes, keep: float) -> None:
    """Cut anywhere, also before its first byte and inside its checksum, properly closed or not."""
    stream = zlib.compress(data)
    channel = PlannedChannel((), stream[: int(len(stream) * keep)])
    with pytest.raises(Truncated, match=Cause.DEFLATE_CUT):
        list(outcomes(inflating(ListSink()), channel, LONG, UNLIMITED))


def test_a_cut_connection_is_told_as_such() -> None:
    """The bytes that came before are written, to be resumed behind."""
    noise = random.Random(1).randbytes(3 * RECORD)
    sink = ListSink()
    with pytest.raises(Truncated, match="broke"):
        inflating(sink).step(PlannedChannel((), zlib.compress(noise)[: 2 * RECORD], is_cut=True), LONG, UNLIMITED)
    assert noise.startswith(sink.data)
    assert len(sink.data) > RECORD


@pytest.mark.parametrize("stream", [b"this is no deflate stream", zlib.compress(b"data")[:-1] + b"?"])
def test_a_broken_stream_is_no_file(stream: bytes) -> None:
    """From its first byte, or by its checksum."""
    with pytest.raises(Truncated, match=Cause.NO_DEFLATE):
        list(outcomes(inflating(ListSink()), PlannedChannel((), stream), LONG, UNLIMITED))


@given(plan=PLANS, behind=st.binary(min_size=1, max_size=100))
def test_something_behind_the_stream_is_no_file(plan: list[int], behind: bytes) -> None:
    """Whether it comes with the end or after it."""
    channel = PlannedChannel(plan, zlib.compress(b"data") + behind)
    with pytest.raises(Truncated, match=Cause.BEYOND_DEFLATE):
        list(outcomes(inflating(ListSink()), channel, LONG, UNLIMITED))
