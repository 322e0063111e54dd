"""Replies: their form on the control connection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.wire.reply import Reply, ReplyError, ReplyPart

ANY_TEXT = st.text(st.characters() | st.sampled_from("\r\n\0\x1b\x85\u2028\udcff "))


def test_single_line() -> None:
    """A plain reply is code, space, text, CRLF."""
    assert Reply(200, "Type set to I.").to_bytes() == b"200 Type set to I.\r\n"


def test_multi_line() -> None:
    """A multi-line reply opens with a hyphen, indents by one space and closes with the same code."""
    reply = Reply(211, "Features:", ("MDTM", "SIZE"), "End")
    assert reply.to_bytes() == b"211-Features:\r\n MDTM\r\n SIZE\r\n211 End\r\n"


def test_body_without_last_is_closed() -> None:
    """A reply with a body has a closing line also when none was given."""
    assert Reply(211, "Features:", ("MDTM",)).to_bytes() == b"211-Features:\r\n MDTM\r\n211 End.\r\n"


def test_last_without_body_is_multi_line() -> None:
    """An opening and a closing line alone make a multi-line reply."""
    assert Reply(214, "Commands:", last="End").to_bytes() == b"214-Commands:\r\n214 End\r\n"


def test_body_line_keeps_its_own_space() -> None:
    """MLST without facts starts with a space of its own behind the one of the form (RFC 3659, 7.2; rclone)."""
    assert b"\r\n  /name\r\n" in Reply(250, "Begin", (" /name",), "End").to_bytes()


def test_body_line_cannot_close_the_reply() -> None:
    """A body line that looks like the closing line is still an inner one."""
    assert b"\r\n 250 Done\r\n" in Reply(250, "Begin", ("250 Done",), "End").to_bytes()


@given(ANY_TEXT, st.lists(ANY_TEXT, max_size=3), st.none() | ANY_TEXT)
def test_text_never_adds_a_line(text: str, body: list[str], last: str | None) -> None:
    """No text puts a line, or any control byte, on the wire that the reply was not built of."""
    lines = Reply(550, text, tuple(body), last).to_bytes().split(b"\r\n")
    expected = 1 if not body and last is None else len(body) + 2
    assert lines.pop() == b""
    assert len(lines) == expected
    assert all(byte >= 0x20 and byte != 0x7F for line in lines for byte in line)
    assert all(line.startswith(b" ") for line in lines[1:-1])


def test_raw_bytes_come_back() -> None:
    """A name that is not UTF-8 is named in its own bytes."""
    assert Reply(257, '"/caf\udce9"').to_bytes() == b'257 "/caf\xe9"\r\n'


def test_iac_is_doubled() -> None:
    """A raw byte FF in a name does not start a Telnet command (RFC 854)."""
    assert Reply(257, '"/\udcff"').to_bytes() == b'257 "/\xff\xff"\r\n'


def test_parts_make_one_reply() -> None:
    """A reply in parts is, to the byte, the reply as one value."""
    parts = (ReplyPart(("a", "212 b"), 212, "Status:"), ReplyPart(()), ReplyPart(("c\n",)), Reply(212, "End."))
    whole = Reply(212, "Status:", ("a", "212 b", "c\n"), "End.")
    assert b"".join(part.to_bytes() for part in parts) == whole.to_bytes()


@pytest.mark.parametrize(("code", "code_class"), [(150, "1xx"), (226, "2xx"), (350, "3xx"), (421, "4xx"), (550, "5xx")])
def test_code_class(code: int, code_class: str) -> None:
    """The class is the first digit."""
    assert Reply(code, "").code_class == code_class


@pytest.mark.parametrize("code", [-200, 0, 99, 700, 1000])
def test_code_has_three_digits(code: int) -> None:
    """A number that is not a reply code never becomes a reply."""
    with pytest.raises(ValueError, match="not a reply code"):
        Reply(code, "")


def test_error_carries_its_reply() -> None:
    """A ReplyError holds what the client is told."""
    assert ReplyError(501, "REST takes a byte offset.").reply == Reply(501, "REST takes a byte offset.")
