"""Names in the encoding of the user's client: both connections, OPTS UTF8, and what belongs to the login."""

from __future__ import annotations

import pytest

from ftpsd.audit.events import CommandDone
from tests.sessions import PASSWORD, ControlClient, Server, clear_server, user_record

NAME = "中文"


def connected(encoding: str = "gbk") -> ControlClient:
    return clear_server(user=user_record(encoding=encoding)).connect()


def logged_in(encoding: str = "gbk") -> ControlClient:
    client = connected(encoding)
    client.log_in()
    return client


def say(client: ControlClient, text: str, encoding: str = "gbk") -> bytes:
    """Send *text* in *encoding* and return the bytes of the answer."""
    client.send_bytes(text.encode(encoding) + b"\r\n")
    return client.replies().encode("utf-8", "surrogateescape")


def listed(client: ControlClient, command: str) -> bytes:
    """Return what a listing command sends over the data connection."""
    data = client.connect_data()
    client.send_bytes(command.encode("gbk") + b"\r\n")
    received = data.read_all()
    assert "226 " in client.replies()
    return received


def test_names_on_the_control_connection() -> None:
    """Arguments are read and replies written in the encoding; inside there is text."""
    client = logged_in()
    assert say(client, f"MKD {NAME}") == b'257 "/' + NAME.encode("gbk") + b'" created.'
    assert say(client, f"CWD {NAME}").startswith(b"250 ")
    assert say(client, "PWD").startswith(b'257 "/' + NAME.encode("gbk") + b'"')
    assert [str(client.session.parameters.directory)] == [f"/{NAME}"]


def test_a_letter_with_a_backslash_in_it() -> None:
    """Paths are taken apart after they are read: 0x5C is half of a letter here."""
    client = logged_in()
    assert "乗".encode("gbk") == b"\x81\\"
    say(client, "MKD 乗")
    say(client, "MKD 乗/乗")
    assert say(client, "CWD /乗/乗").startswith(b"250 ")
    assert client.session.parameters.directory.parts == ("乗", "乗")


def test_names_on_data_connections() -> None:
    """LIST, NLST and MLSD."""
    client = logged_in()
    memory = client.server.memory
    memory.put(f"/{NAME}", b"x")
    for command in ("NLST", "LIST", "MLSD"):
        assert listed(client, command).removesuffix(b"\r\n").endswith(NAME.encode("gbk"))


def test_names_that_the_encoding_does_not_have() -> None:
    """An escape is shown, and names the file."""
    client = logged_in("cp1251")
    client.server.memory.put(f"/{NAME}", b"12345")
    assert say(client, "SIZE %u4E2D%u6587") == b"213 5"
    assert b"%u4E2D%u6587" in say(client, "STAT /")


def test_what_is_no_text() -> None:
    """501, and nothing is made."""
    client = logged_in()
    client.send_bytes(b"MKD \xd6\xd0\xce\r\n")
    assert client.replies() == "501 This is no text in gbk; OPTS UTF8 ON changes to UTF-8."
    assert client.server.memory.tree.root.children == {}
    assert client.say("NOOP").startswith("200 ")


def test_the_audit_log_has_text() -> None:
    """The log has text whatever the client's encoding."""
    client = logged_in()
    say(client, f"MKD {NAME}")
    assert client.server.published(CommandDone)[-1].argument == NAME


def test_commands_sent_ahead() -> None:
    """Commands that came before the login was complete are read as what the user's client has written."""
    client = connected()
    client.send_bytes(f"USER alice\r\nPASS {PASSWORD}\r\nMKD {NAME}\r\n".encode("gbk"))
    client.replies()
    assert list(client.server.memory.tree.root.children) == [NAME]


def test_user_names_are_utf_8() -> None:
    """Before and after the login: nobody knows yet who writes how."""
    server = clear_server(user=user_record("用户", encoding="gbk"))
    client = server.connect()
    client.log_in("用户")
    assert say(client, f"MKD {NAME}").startswith(b"257 ")
    client.log_in("用户")
    assert client.session.avatar is not None


def test_the_next_user_is_another() -> None:
    """After USER or REIN names are UTF-8 again."""
    client = logged_in()
    client.say("REIN")
    client.log_in("bob")
    assert say(client, f"MKD {NAME}", "utf-8") == f'257 "/{NAME}" created.'.encode()


def test_opts_utf8() -> None:
    """ON changes this session to UTF-8, OFF back; each takes effect with the next command."""
    client = logged_in()
    assert client.say("OPTS UTF8 ON") == "200 UTF-8 is on."
    assert say(client, f"MKD {NAME}", "utf-8") == f'257 "/{NAME}" created.'.encode()
    assert client.say("OPTS UTF8 OFF") == "200 Names are in gbk."
    assert say(client, f"RMD {NAME}").startswith(b"250 ")


def test_opts_utf8_before_the_login() -> None:
    """A client that asks for it then means it (lftp, FileZilla)."""
    client = connected()
    client.say("OPTS UTF8 ON")
    client.log_in()
    assert say(client, f"MKD {NAME}", "utf-8") == f'257 "/{NAME}" created.'.encode()


@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
def test_opts_utf8_off_without_another_encoding(encoding: str) -> None:
    """504 for users of UTF-8, and before the login."""
    assert connected(encoding).say("OPTS UTF8 OFF").startswith("504 ")
    assert logged_in("utf-8").say("OPTS UTF8 OFF").startswith("504 ")


def test_feat() -> None:
    """UTF8 is promised where it is spoken: who reads it may write UTF-8 without asking (RFC 2640, 3.2)."""
    client = connected()
    assert "\n UTF8\n" in client.say("FEAT")
    client.log_in()
    assert "UTF8" not in client.say("FEAT")
    client.say("OPTS UTF8 ON")
    assert "\n UTF8\n" in client.say("FEAT")


@pytest.mark.parametrize("is_doubled", [True, False])
def test_the_letter_that_telnet_takes(is_doubled: bool) -> None:
    """The cp1251 letter FF, from clients that double it and clients that do not."""
    client = logged_in("cp1251")
    data = "MKD яма".encode("cp1251")
    client.send_bytes((data.replace(b"\xff", b"\xff\xff") if is_doubled else data) + b"\r\n")
    client.replies()
    assert list(client.server.memory.tree.root.children) == ["яма"]


def test_a_stranger_to_the_encoding_is_not_harmed() -> None:
    """A user of UTF-8 keeps raw bytes as before."""
    client = Server(tls={"require": "none"}).logged_in()
    client.send_bytes(b"MKD \xd6\xd0\r\n")
    client.replies()
    assert list(client.server.memory.tree.root.children) == ["\udcd6\udcd0"]
