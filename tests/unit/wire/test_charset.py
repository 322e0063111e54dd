"""Charsets: every name has one spelling for the client, and comes back from it."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.wire.charset import UTF8, Charset, charset_of
from ftpsd.wire.lines import CommandLine, LineBuffer
from ftpsd.wire.reply import Reply

LEGACY = (
    *("gbk", "gb18030", "gb2312", "big5", "cp950", "big5hkscs", "cp932", "shift_jis", "euc_jp", "euc_jis_2004"),
    *("euc_kr", "cp949", "johab", "cp1251", "koi8-r", "cp866", "iso8859-1", "cp1252", "cp1258", "tis-620", "ascii"),
)
LOOK_ALIKES = ("%u", "%U", "%u4E2D", "%u0041", "%U0001F600", "%U00004E2D", "%uDC80", "%u0025", "%", "中", "я", "¥")
# The contents of names on disk: any character, raw bytes, and text that looks like an escape.
LETTERS = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from([chr(code) for code in range(0xDC80, 0xDD00)]),
    st.sampled_from(LOOK_ALIKES),
)
NAMES = st.lists(LETTERS, max_size=12).map("".join)


@cache
def charsets() -> dict[str, Charset]:
    """Return them by name; making them takes more than a second, which collecting the tests must not."""
    return {name: charset_of(name) for name in LEGACY}


@given(text=NAMES)
def test_every_name_comes_back(text: str) -> None:
    """Text that is written is read as it was, so no two names are written alike."""
    assert [name for name, charset in charsets().items() if charset.decode(charset.encode(text)) != text] == []


@given(data=st.binary())
def test_utf_8_comes_back(data: bytes) -> None:
    """Byte for byte, also what is no UTF-8."""
    assert UTF8.encode(UTF8.decode(data)) == data


@given(text=NAMES)
def test_letters_are_not_commands(text: str) -> None:
    """No letter beyond ASCII brings a byte that ends a line or a word, or that is a slash."""
    letters = "".join(letter for letter in text if letter > "\x7f")
    commands = {0x00, 0x0A, 0x0D, 0x20, 0x2F, 0x7F}
    assert [name for name, charset in charsets().items() if commands.intersection(charset.encode(letters))] == []


@pytest.mark.parametrize(
    ("name", "text", "data"),
    [
        ("gbk", "中文.txt", b"\xd6\xd0\xce\xc4.txt"),
        ("gbk", "乗", b"\x81\x5c"),  # its second byte is a backslash
        ("big5", "功", b"\xa5\x5c"),
        ("cp1251", "я", b"\xff"),
        ("cp1251", "中", b"%u4E2D"),
        ("cp1251", "😀", b"%U0001F600"),
        ("cp1251", "%u4E2D", b"%u0025u4E2D"),
        ("cp1251", "%u0041", b"%u0041"),  # "A" is never escaped, so this is no escape
        ("cp1251", "%u4e2d", b"%u4e2d"),
        ("cp1251", "100%", b"100%"),
        ("gbk", "\udce9", b"%uDCE9"),
        ("shift_jis", "¥", b"%u00A5"),  # written as a backslash it would come back as one
        ("ascii", "übung", b"%u00FCbung"),
    ],
)
def test_how_names_are_written(name: str, text: str, data: bytes) -> None:
    """Letters of the charset as such, others and raw bytes as escapes."""
    charset = charset_of(name)
    assert charset.encode(text) == data
    assert charset.decode(data) == text


@pytest.mark.parametrize("data", [b"\x81", b"\xd6\xd0\xce", b"\xff\xfe"])
def test_what_is_no_text(data: bytes) -> None:
    """It is refused instead of guessed."""
    with pytest.raises(UnicodeDecodeError):
        charset_of("gbk").decode(data)


@pytest.mark.parametrize("data", [b"%u000A", b"%u0000", b"%u002F", b"%uD800", b"%U00110000", b"%U0000000A", b"%u000D"])
def test_no_escape_brings_a_control_character(data: bytes) -> None:
    """Or a slash, or half a character: only what would be written so is read so."""
    assert charset_of("gbk").decode(data) == data.decode("ascii")


@pytest.mark.parametrize("name", ["utf-8", "UTF8", "utf_8", "U8"])
def test_utf_8_by_any_name(name: str) -> None:
    """All are the one charset that needs no escapes."""
    assert charset_of(name) is UTF8


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("klingon", "klingon is no character encoding"),
        ("", "is no character encoding"),
        ("base64", "is no character encoding"),
        ("rot13", "is no character encoding"),
        ("utf-16", "ASCII is not written as ASCII"),
        ("utf-7", "ASCII is not written as ASCII"),
        ("utf-8-sig", "ASCII is not written as ASCII"),
        ("cp037", "ASCII is not written as ASCII"),
        ("hz", "ASCII is not written as ASCII"),
        ("punycode", "ASCII is not written as ASCII"),
        ("iso2022_jp", "with bytes that mean something else"),
        ("raw_unicode_escape", "with bytes that mean something else"),
        ("a\0b", "is no character encoding"),
    ],
)
def test_what_is_no_charset(name: str, why: str) -> None:
    """Codecs that are none, and those in which ASCII bytes are something else."""
    with pytest.raises(ValueError, match=why):
        charset_of(name)


def test_replies() -> None:
    """A reply is written in the charset of the session; FF is doubled for Telnet there too."""
    reply = Reply(257, '"/я中" is the working directory.')
    assert reply.to_bytes(charset_of("cp1251")) == b'257 "/\xff\xff%u4E2D" is the working directory.\r\n'
    assert reply.to_bytes() == '257 "/я中" is the working directory.\r\n'.encode()


def argument(line: bytes) -> bytes:
    """Return the argument of one line in which FF is a letter, as the bytes the client meant."""
    buffer = LineBuffer()
    buffer.has_ff = True
    (command,) = buffer.feed(line + b"\r\n")
    assert isinstance(command, CommandLine)
    return UTF8.encode(command.argument)


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("яма", b"\xff\xec\xe0"),
        ("яблоко", "яблоко".encode("cp1251")),
        ("моя", b"\xec\xee\xff"),
        ("змея ю", "змея ю".encode("cp1251")),
    ],
)
def test_ff_as_a_letter(sent: str, meant: bytes) -> None:
    """Clients that do not double it are understood, where RFC 854 would see codes; so are those that do."""
    data = sent.encode("cp1251")
    assert argument(b"CWD " + data) == meant
    assert argument(b"CWD " + data.replace(b"\xff", b"\xff\xff")) == meant


@pytest.mark.parametrize(
    "synch", [b"\xff\xf4\xff\xf2", b"\xff\xf4\xff", b"\xf2", b"\xff\xf4 \xff\xf2 ", b"\xff\xfb\x06"]
)
def test_telnet_before_the_verb(synch: bytes) -> None:
    """The Synch before ABOR is still taken out."""
    buffer = LineBuffer()
    buffer.has_ff = True
    assert buffer.feed(synch + b"ABOR\r\n") == [CommandLine("ABOR", "")]
