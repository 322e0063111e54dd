"""TYPE A: line ends, wherever the chunks are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.wire.ascii import FromNetwork, ToNetwork

TEXTS = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"\0", b"\xff"]), max_size=30).map(b"".join)


def cut(text: bytes, data: st.DataObject) -> list[bytes]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def to_network(*chunks: bytes) -> bytes:
    converter = ToNetwork()
    return b"".join(map(converter.feed, chunks))


def from_network(*chunks: bytes) -> bytes:
    converter = FromNetwork()
    return b"".join(map(converter.feed, chunks)) + converter.finish()


@given(TEXTS, st.data())
def test_to_network_ignores_chunk_borders(text: bytes, data: st.DataObject) -> None:
    """A file read in other pieces is sent as the same bytes."""
    assert to_network(*cut(text, data)) == to_network(text)


@given(TEXTS, st.data())
def test_from_network_ignores_chunk_borders(text: bytes, data: st.DataObject) -> None:
    """An upload that arrives in other pieces is stored as the same bytes."""
    assert from_network(*cut(text, data)) == from_network(text)


@given(TEXTS)
def test_round_trip(text: bytes) -> None:
    """A file comes back as it was, but for the CRLF it held itself."""
    assert from_network(to_network(text)) == text.replace(b"\r\n", b"\n")


@given(TEXTS)
def test_every_line_on_the_network_ends_in_crlf(text: bytes) -> None:
    """No LF goes out without a CR before it, and no line end is added."""
    sent = to_network(text)
    assert sent.count(b"\n") == sent.count(b"\r\n") == text.count(b"\n")


@pytest.mark.parametrize(
    ("text", "sent"),
    [(b"a\nb\n", b"a\r\nb\r\n"), (b"a\r\nb", b"a\r\nb"), (b"a\rb\r", b"a\rb\r"), (b"\r\r\n", b"\r\r\n")],
)
def test_to_network(text: bytes, sent: bytes) -> None:
    """LF becomes CRLF, CRLF is not doubled, CR alone stays."""
    assert to_network(text) == sent


@pytest.mark.parametrize(
    ("sent", "text"), [(b"a\r\nb\r\n", b"a\nb\n"), (b"a\nb", b"a\nb"), (b"a\rb\r", b"a\rb\r"), (b"\r\r\n", b"\r\n")]
)
def test_from_network(sent: bytes, text: bytes) -> None:
    """CRLF becomes LF, LF alone and CR alone stay."""
    assert from_network(sent) == text


def test_a_buffer_is_not_kept() -> None:
    """Chunks may be views of a buffer that is filled again: what was returned does not change."""
    buffer = bytearray(b"plain")
    results = [ToNetwork().feed(memoryview(buffer)), FromNetwork().feed(buffer)]
    buffer[:] = b"other"
    assert results == [b"plain", b"plain"]
