"""Command lines: line ends, Telnet codes, bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.wire.lines import MAX_LINE, CommandLine, LineBuffer, LineTooLong

# Built of what the parser treats specially, so that chunk borders fall inside of it.
PIECES = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b"\0",
        b" ",
        b"\xff",
        b"\xf2",
        b"\xf4",
        b"\xfb",
        b"\xfd",
        b"\x01",
        b"RETR a",
        b"\xc3\xa9",
        b"x" * 1500,
    ]
)
STREAMS = st.lists(PIECES | st.binary(max_size=4), max_size=40).map(b"".join)


def feed(*chunks: bytes) -> list[CommandLine | LineTooLong]:
    lines = LineBuffer()
    return [line for chunk in chunks for line in lines.feed(chunk)]


@given(STREAMS, st.data())
def test_chunk_borders_do_not_matter(stream: bytes, data: st.DataObject) -> None:
    """However the network cuts the stream, the same lines come out."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert feed(*chunks) == feed(stream)


@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_single_bytes_give_the_same_lines(stream: bytes) -> None:
    """A client that sends byte by byte is understood like any other."""
    assert feed(*(stream[i : i + 1] for i in range(len(stream)))) == feed(stream)


@given(STREAMS)
def test_verbs_are_upper_case_ascii(stream: bytes) -> None:
    """A verb is never empty, never lower-case and never holds anything but ASCII."""
    for line in feed(stream):
        if isinstance(line, CommandLine):
            assert line.verb
            assert line.verb.isascii()
            assert line.verb == line.verb.upper()


@given(STREAMS)
def test_an_argument_never_holds_a_line_end(stream: bytes) -> None:
    """No LF reaches an argument."""
    assert not any("\n" in line.argument for line in feed(stream) if isinstance(line, CommandLine))


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r\r\n", b"\r\0\r\n"])
def test_line_ends(end: bytes) -> None:
    """CRLF, LF alone and CRCRLF end a line (Pure-FTPd's list of client quirks)."""
    assert feed(b"NOOP" + end + b"QUIT" + end) == [CommandLine("NOOP", ""), CommandLine("QUIT", "")]


@pytest.mark.parametrize(
    ("line", "verb", "argument"),
    [
        (b"retr File.TXT", "RETR", "File.TXT"),
        (b"  RETR x", "RETR", "x"),
        (b"RETR name with spaces  ", "RETR", "name with spaces  "),
        (b"RETR  x", "RETR", " x"),
        (b"QUIT ", "QUIT", ""),
        (b"RETR caf\xc3\xa9", "RETR", "café"),
        (b"RETR caf\xe9", "RETR", "caf\udce9"),
        (b"r\xc3\xa9tr x", "R??TR", "x"),
        (b"\0\0RETR x\0", "RETR", "x"),
        (b"RETR a\0b", "RETR", "a\0b"),
    ],
)
def test_verb_and_argument(line: bytes, verb: str, argument: str) -> None:
    """The verb is folded, the argument is kept to the byte behind the one space."""
    assert feed(line + b"\r\n") == [CommandLine(verb, argument)]


def test_empty_lines_are_dropped() -> None:
    """Lines of nothing, spaces or NUL are no commands."""
    assert feed(b"\r\n\n  \r\n\0\r\nNOOP\r\n") == [CommandLine("NOOP", "")]


def test_unfinished_line_waits() -> None:
    """Without its end a line is no command."""
    assert feed(b"DELE important") == []


@pytest.mark.parametrize(
    "synch",
    [
        b"\xff\xf4\xff\xf2",  # whole
        b"\xff\xf4\xf2",  # FF was the urgent byte and was taken out
        b"\xff\xf4\xff",  # F2 was
        b"\xff\xf4",
        b"\xf2",
    ],
)
def test_telnet_synch_before_abor(synch: bytes) -> None:
    """ABOR is understood behind the Telnet Synch, whole or without its urgent byte."""
    assert feed(synch + b"ABOR\r\n") == [CommandLine("ABOR", "")]


@pytest.mark.parametrize(
    "code",
    [
        b"\xff\xf1",
        b"\xff\xef",
        b"\xff\xf4",
        b"\xff\xfa",
        b"\xff\xfb\x00",
        b"\xff\xfc\x01",
        b"\xff\xfd\n",
        b"\xff\xfe\xff",
    ],
)
def test_telnet_codes_are_dropped(code: bytes) -> None:
    """Commands of two bytes and negotiations of three leave no trace, wherever they stand."""
    assert feed(b"RETR a" + code + b"b\r\n") == [CommandLine("RETR", "ab")]


def test_doubled_iac_is_a_byte() -> None:
    """IAC IAC is the data byte FF, and does not start a code together with what follows."""
    assert feed(b"RETR \xff\xff\xf4\r\n") == [CommandLine("RETR", "\udcff\udcf4")]


def test_stray_iac_does_not_swallow_the_line_end() -> None:
    """FF before LF is no Telnet code: the next line stays a line of its own."""
    assert feed(b"RETR a\xff\nQUIT\n") == [CommandLine("RETR", "a\udcff"), CommandLine("QUIT", "")]


def test_longest_line() -> None:
    """A line of MAX_LINE bytes is a command; one byte more is not."""
    argument = "a" * (MAX_LINE - len("RETR "))
    assert feed(f"RETR {argument}\n".encode()) == [CommandLine("RETR", argument)]
    assert feed(f"RETR {argument}a\n".encode()) == [LineTooLong()]


@pytest.mark.parametrize("flood", [b"x", b"\r", b" ", b"RETR "])
def test_over_long_line_is_reported_once(flood: bytes) -> None:
    """However long it goes on, an over-long line is one LineTooLong, and what follows it is read again."""
    lines = LineBuffer()
    results = [line for _ in range(50) for line in lines.feed(flood * 1000)]
    assert results == [LineTooLong()]
    assert lines.feed(b"tail\r\nNOOP\r\n") == [CommandLine("NOOP", "")]


def test_over_long_line_is_reported_before_its_end() -> None:
    """A line that never ends is reported too."""
    assert feed(b"x" * (MAX_LINE + 1)) == [LineTooLong()]


def test_nul_and_telnet_floods_are_not_kept() -> None:
    """Bytes that are dropped do not count towards the length of a line."""
    assert feed(b"\0" * 100_000, b"NO", b"\xff\xf1" * 100_000, b"\xff\xfd\x01" * 100_000, b"OP\n") == [
        CommandLine("NOOP", "")
    ]


@pytest.mark.parametrize("leftover", [b"USER evil", b"\xff", b"\xff\xfb", b"x" * (MAX_LINE + 1)])
def test_clear_forgets_everything(leftover: bytes) -> None:
    """After AUTH nothing of the clear text is left to become part of a line in TLS (CVE-2011-0411)."""
    lines = LineBuffer()
    lines.feed(leftover)
    lines.clear()
    assert lines.feed(b"NOOP\r\n") == [CommandLine("NOOP", "")]
