"""Where TLS records end: found in pieces of any size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ftpsd.data.carry.records import Records


def record(length: int) -> bytes:
    return b"\x17\x03\x03" + length.to_bytes(2) + bytes(length)


@given(st.lists(st.integers(0, 300), max_size=8), st.lists(st.integers(1, 400), min_size=1, max_size=40))
def test_the_ends_of_records_are_found(lengths: list[int], cuts: list[int]) -> None:
    """Behind each piece it is known whether a record is under way."""
    stream = b"".join(map(record, lengths))
    ends = {sum(len(record(length)) for length in lengths[:count]) for count in range(len(lengths) + 1)}
    records = Records()
    at = 0
    while at < len(stream):
        piece = stream[at : at + cuts[at % len(cuts)]]
        records.feed(memoryview(piece))
        at += len(piece)
        assert records.is_between == (at in ends)
    assert records.is_between
