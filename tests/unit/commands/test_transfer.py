"""RETR, STOR, APPE, STOU: what goes over the data connection, and what is refused before it costs one."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from ftpsd.audit.events import FileSent, FileStored
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.direction import Result
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule
from tests.fakes import MemoryStorage
from tests.reactor import PATIENCE
from tests.sessions import clear_server
from tests.unit.commands.transfers import client_with, codes, content, download, protected, upload

SIZES = [0, 1, 4, 65535, 65536, 65537, 300_000]
TEXT = b"one\ntwo\r\nthree\n"


# --- downloads


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [client_with, protected])
def test_a_download_is_whole(make: Any, size: int) -> None:
    """Around the size that is read in one go, in clear and under TLS."""
    client = make(file=content(size))
    data, replies = download(client, "RETR file")
    assert (data, codes(replies)) == (content(size), ["150", "226"])


@pytest.mark.parametrize("offset", [0, 1, 65535, 299_999, 300_000])
def test_a_download_goes_on(offset: int) -> None:
    """REST: what is behind the offset, also nothing."""
    client = client_with(file=content(300_000))
    assert download(client, f"REST {offset}", "RETR file")[0] == content(300_000)[offset:]


def test_an_offset_holds_once() -> None:
    """The next transfer starts at the beginning again (RFC 3659, 5.3)."""
    client = client_with(file=b"data")
    download(client, "REST 2", "RETR file")
    assert download(client, "RETR file")[0] == b"data"


@pytest.mark.parametrize("make", [client_with, protected])
@pytest.mark.parametrize(
    ("line", "start", "end"),
    [
        ("RANG 0 0", 0, 1),
        ("RANG 100 65635", 100, 65636),
        ("RANG 1 299998", 1, 299_999),
        ("RANG 5 999999", 5, 300_000),
        ("RANG 1 0", 0, 300_000),
    ],
)
def test_a_range_is_downloaded(make: Any, line: str, start: int, end: int) -> None:
    """RANG names the first and the last byte; beyond the end it is the end (draft-bryan-ftp-range, 4.3)."""
    client = make(file=content(300_000))
    data, replies = download(client, line, "RETR file")
    assert (data, codes(replies)) == (content(300_000)[start:end], ["350", "150", "226"])


def test_a_range_holds_once() -> None:
    """The next download is of the whole file."""
    client = client_with(file=b"data")
    download(client, "RANG 1 2", "RETR file")
    assert download(client, "RETR file")[0] == b"data"


@pytest.mark.parametrize("line", ["APPE file", "STOU"])
def test_a_range_is_for_stor(line: str) -> None:
    """504: the draft recommends no other command (4.3). The range is forgotten, the port stays."""
    client = client_with(file=b"data")
    client.agree()
    client.say("RANG 1 2")
    assert client.say(line).startswith("504 ")
    assert client.session.parameters.take_range() == (0, None)
    assert client.session.dtp.has_port


def test_an_offset_beyond_the_end() -> None:
    """554, before the data connection is used."""
    client = client_with(file=b"data")
    client.agree()
    client.say("REST 5")
    assert client.say("RETR file").startswith("554 ")
    assert client.session.dtp.has_port


def test_the_size_is_in_the_150() -> None:
    """ftplib and curl read it there."""
    client = client_with(file=b"data")
    match = re.search(r"150 .* \((\d+) bytes\)", download(client, "RETR file")[1])
    assert match is not None
    assert match[1] == "4"


def test_no_size_in_ascii() -> None:
    """It would be wrong."""
    client = client_with(file=TEXT)
    assert "bytes" not in download(client, "TYPE A", "RETR file")[1]


def test_a_text_download() -> None:
    """TYPE A: CRLF on the wire, and no CRLF doubled."""
    client = client_with(file=TEXT)
    assert download(client, "TYPE A", "RETR file")[0] == b"one\r\ntwo\r\nthree\r\n"


def test_a_large_text_download() -> None:
    """Line ends are right also between two pieces."""
    text = b"a line of text\n" * 30_000
    client = client_with(file=text)
    assert download(client, "TYPE A", "RETR file")[0] == text.replace(b"\n", b"\r\n")


@pytest.mark.parametrize(("path", "code"), [("missing", "550"), ("/", "550"), ("x" * 300, "550")])
def test_a_download_refused_before_the_150(path: str, code: str) -> None:
    """The port stays agreed: no data connection was used (Netscape)."""
    client = client_with(file=b"data")
    client.agree()
    assert client.say(f"RETR {path}")[:3] == code
    assert client.session.dtp.has_port


def test_a_port_serves_after_a_refusal() -> None:
    """The client goes on with the connection it has made."""
    client = client_with(file=b"data")
    data = client.connect_data()
    client.say("RETR missing")
    client.say("RETR file")
    assert data.read_all() == b"data"


def test_a_second_download_needs_a_second_port() -> None:
    """425."""
    client = client_with(file=b"data")
    download(client, "RETR file")
    assert client.say("RETR file") == "425 Use PASV or PORT first."


def test_a_download_is_published() -> None:
    """Path, bytes, offset and result."""
    client = client_with(file=b"data")
    download(client, "REST 1", "RETR file")
    (sent,) = client.server.published(FileSent)
    assert (sent.path, sent.bytes, sent.offset, sent.result) == ("/file", 3, 1, Result.COMPLETE)


def test_a_local_file_goes_straight_out(tmp_path: Path) -> None:
    """In clear the kernel sends it; the bytes are the same."""
    (tmp_path / "file").write_bytes(content(300_000))
    storage = LocalJail.open(tmp_path, uploads=UploadPolicy(), owner="alice")
    client = clear_server(storage=storage).logged_in()
    before = len(os.listdir("/proc/self/fd"))
    assert download(client, "RETR file")[0] == content(300_000)
    client.server.reactor.settle()
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    storage.close()


# --- uploads


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [client_with, protected])
def test_an_upload_is_whole(make: Any, size: int) -> None:
    """Around the size that is stored in one go, in clear and under TLS."""
    client = make()
    assert codes(upload(client, content(size), "STOR file")) == ["150", "226"]
    assert client.server.memory.get("/file") == content(size)


def test_an_upload_replaces() -> None:
    """STOR of a name that is there."""
    client = client_with(file=b"old and longer")
    upload(client, b"new", "STOR file")
    assert client.server.memory.get("/file") == b"new"


def test_an_upload_goes_on() -> None:
    """REST: what is before the offset stays."""
    client = client_with(file=b"012345")
    upload(client, b"xyz", "REST 4", "STOR file")
    assert client.server.memory.get("/file") == b"0123xyz"


@pytest.mark.parametrize("size", [10, 300_000])
def test_a_text_upload(size: int) -> None:
    """TYPE A: LF on disk."""
    client = client_with()
    lines = b"line\r\n" * (size // 6)
    upload(client, lines + b"last\r", "TYPE A", "STOR file")
    assert client.server.memory.get("/file") == lines.replace(b"\r\n", b"\n") + b"last\r"


def test_appending() -> None:
    """APPE goes on where the file ends."""
    client = client_with(file=b"one ")
    upload(client, b"two", "APPE file")
    assert client.server.memory.get("/file") == b"one two"


def test_appending_makes_the_file() -> None:
    """Where there was none."""
    client = client_with()
    upload(client, b"new", "APPE file")
    assert client.server.memory.get("/file") == b"new"


def test_appending_ignores_the_offset() -> None:
    """REST before APPE has no meaning, and does not wait for the next transfer either."""
    client = client_with(file=b"one ")
    upload(client, b"two", "REST 1", "APPE file")
    assert client.server.memory.get("/file") == b"one two"
    assert client.session.parameters.take_restart_offset() == 0


@pytest.mark.parametrize("argument", ["", " name"])
def test_a_unique_name(argument: str) -> None:
    """The 150 carries it in the form of RFC 1123, 4.1.2.9, and the file is there under it."""
    client = client_with(name=b"old")
    replies = upload(client, b"new", f"STOU{argument}")
    match = re.match(r"150 FILE: (\S+)\n", replies)
    assert match is not None
    assert client.server.memory.get(f"/{match[1]}") == b"new"
    assert client.server.memory.get("/name") == b"old"


def test_an_upload_is_published() -> None:
    """Path, bytes, offset and result."""
    client = client_with(file=b"0123")
    upload(client, b"xyz", "REST 4", "STOR file")
    (stored,) = client.server.published(FileStored)
    assert (stored.path, stored.bytes, stored.offset, stored.result) == ("/file", 3, 4, Result.COMPLETE)


@pytest.mark.parametrize(
    ("path", "code"), [("missing/file", "550"), ("/", "550"), ("dir", "550"), ("x" * 300, "553"), ("a\tb", "553")]
)
def test_an_upload_refused_before_the_150(path: str, code: str) -> None:
    """The port stays agreed."""
    client = client_with()
    client.say("MKD dir")
    client.agree()
    assert client.say(f"STOR {path}")[:3] == code
    assert client.session.dtp.has_port


def test_an_upload_beyond_the_end() -> None:
    """554: there is nothing to go on from."""
    client = client_with(file=b"data")
    client.agree()
    client.say("REST 5")
    assert client.say("STOR file").startswith("554 ")


@pytest.mark.parametrize("line", ["STOR file", "STOR new", "APPE file", "STOU"])
def test_what_a_reader_may_not(line: str) -> None:
    """550 before the 150."""
    memory = MemoryStorage()
    memory.put("/file", b"data")
    storage = GuardedStorage(memory, [Rule("/**", frozenset({Permission.LIST, Permission.READ}))])
    client = clear_server(storage=storage).logged_in()
    client.agree()
    assert client.say(line) == "550 Permission denied."


def test_an_upload_is_not_there_before_its_end() -> None:
    """Nothing is stored under the name until all of it has arrived."""
    client = client_with(file=b"old")
    data = client.connect_data()
    client.say("STOR file")
    data.send(b"new")
    client.server.reactor.settle()
    assert client.server.memory.get("/file") == b"old"
    data.send_and_close(b"")
    client.server.reactor.run_until(lambda: not client.pi.is_busy)
    assert client.server.memory.get("/file") == b"new"


def test_an_upload_that_is_cut_leaves_the_old_file() -> None:
    """A reset is no end."""
    client = client_with(file=b"old")
    data = client.connect_data()
    client.say("STOR file")
    data.send(b"new")
    data.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close() sends RST
    data.socket.close()
    client.server.reactor.run_until(lambda: not client.pi.is_busy)
    assert client.replies().startswith("426 ")
    assert client.server.memory.get("/file") == b"old"


def test_a_cut_upload_can_be_resumed() -> None:
    """The bytes that had arrived are kept: SIZE tells how many, REST goes on from there."""
    client = client_with()
    data = client.connect_data()
    client.say("STOR file")
    data.send(b"first ")
    client.server.reactor.settle()
    client.say("ABOR")
    assert client.say("SIZE file") == "213 6"
    upload(client, b"second", "REST 6", "STOR file")
    assert client.server.memory.get("/file") == b"first second"


# --- active mode


def test_an_active_download() -> None:
    """PORT: the server connects, and 226 waits for the client's end (curl fails with 8 else)."""
    server = clear_server()
    server.memory.put("/file", b"data")
    client = server.connect(peer="127.0.0.1", host="127.0.0.1")
    client.log_in()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(PATIENCE)
    host, port = listener.getsockname()
    client.say(f"EPRT |1|{host}|{port}|")
    client.send("RETR file")
    server.reactor.run_until(lambda: client.session.dtp.connection is not None)
    accepted = listener.accept()[0]
    assert accepted.recv(10) == b"data"
    assert "226" not in client.replies()
    accepted.close()
    server.reactor.run_until(lambda: not client.pi.is_busy)
    assert client.replies() == "226 Transfer complete."
    listener.close()


def test_nothing_is_left_open() -> None:
    """After a session of transfers no sink is being worked on, and no port is reserved."""
    client = client_with(file=b"data")
    download(client, "RETR file")
    upload(client, b"new", "STOR new")
    client.hang_up()
    client.server.reactor.settle()
    assert client.server.memory.tree.active == set()
    assert client.server.ports.claimed == 0
