"""MODE Z: deflated where the operator allows it, both ways, and a broken stream is never a file."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from ftpsd.audit.events import FileSent, FileStored
from ftpsd.values.direction import Result
from tests.fakes import MemoryStorage
from tests.sessions import ControlClient, clear_server
from tests.unit.commands.transfers import client_with, codes, content, download, protected, upload

SIZES = [0, 1, 65535, 65537, 300_000]


def in_clear(**files: bytes) -> ControlClient:
    """Return a client in MODE Z."""
    client = client_with(server=clear_server(mode_z=True), **files)
    assert client.say("MODE Z") == "200 MODE is Z (deflated)."
    return client


def under_tls(**files: bytes) -> ControlClient:
    """Return a client in MODE Z with PROT P."""
    client = protected(sections={"mode_z": True}, **files)
    assert client.say("MODE Z").startswith("200 ")
    return client


def feat(client: ControlClient) -> list[str]:
    return [line.strip() for line in client.say("FEAT").split("\n")]


# --- the mode


def test_it_is_off_until_the_operator_allows_it() -> None:
    """lftp deflates everything as soon as FEAT offers it, and is much slower then on a fast line."""
    client = client_with()
    assert client.say("MODE Z") == "504 Only MODE S is supported."
    assert client.say("OPTS MODE Z LEVEL 6").startswith("501 ")
    assert "MODE Z" not in feat(client)


def test_feat_offers_it() -> None:
    """Where it is allowed."""
    assert "MODE Z" in feat(in_clear())


@pytest.mark.parametrize("line", ["MODE S", "REIN"])
def test_the_mode_ends(line: str) -> None:
    """By MODE S, and with the login."""
    client = in_clear()
    client.say(line)
    assert not client.session.parameters.is_deflated


@pytest.mark.parametrize("line", ["MODE B", "MODE X"])
def test_a_mode_that_is_refused_changes_nothing(line: str) -> None:
    """The one before it stays."""
    client = in_clear()
    assert client.say(line)[0] == "5"
    assert client.session.parameters.is_deflated


@pytest.mark.parametrize(
    ("line", "code", "level"),
    [
        ("OPTS MODE Z LEVEL 9", "200", 9),
        ("opts mode z level 0", "200", 0),
        ("OPTS MODE Z", "200", 6),
        ("OPTS MODE Z ENGINE ZLIB", "200", 6),
        ("OPTS MODE Z METHOD 8", "200", 6),
        ("OPTS MODE Z LEVEL 10", "501", 6),
        ("OPTS MODE Z LEVEL -1", "501", 6),
        ("OPTS MODE Z LEVEL ٣", "501", 6),
        ("OPTS MODE Z LEVEL", "501", 6),
        ("OPTS MODE Z ENGINE BZIP2", "501", 6),
        ("OPTS MODE S", "501", 6),
    ],
)
def test_levels(line: str, code: str, level: int) -> None:
    """0 to 9; lftp and FileZilla set one."""
    client = in_clear()
    assert client.say(line)[:3] == code
    assert client.session.parameters.deflate_level == level


def test_stat_shows_the_mode() -> None:
    """As it is."""
    assert "MODE Z" in in_clear().say("STAT")


# --- downloads


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [in_clear, under_tls])
def test_a_download_is_whole(make: Any, size: int) -> None:
    """The bytes that come inflate to the file."""
    data, replies = download(make(file=content(size)), "RETR file")
    assert zlib.decompress(data) == content(size)
    assert codes(replies) == ["150", "226"]


def test_a_download_is_smaller() -> None:
    """The audit log has what crossed the wire."""
    client = in_clear(file=bytes(300_000))
    data, _ = download(client, "OPTS MODE Z LEVEL 9", "RETR file")
    assert len(data) < 3000
    assert [event.bytes for event in client.server.published(FileSent)] == [len(data)]


@pytest.mark.parametrize("line", ["REST 70000", "RANG 70000 299999"])
def test_offsets_are_of_the_file(line: str) -> None:
    """Not of the stream: no client could know those."""
    client = in_clear(file=content(300_000))
    assert zlib.decompress(download(client, line, "RETR file")[0]) == content(300_000)[70_000:]


def test_a_text_download() -> None:
    """Line ends first, then deflated."""
    client = in_clear(file=b"one\ntwo\n" * 20_000)
    assert zlib.decompress(download(client, "TYPE A", "RETR file")[0]) == b"one\r\ntwo\r\n" * 20_000


@pytest.mark.parametrize("verb", ["LIST", "NLST", "MLSD"])
@pytest.mark.parametrize("count", [0, 3, 3000])
def test_a_listing(verb: str, count: int) -> None:
    """Listings are data too."""
    files = {f"file-with-a-name-{number}": b"" for number in range(count)}
    client = in_clear(**files)
    data, replies = download(client, verb)
    assert codes(replies) == ["150", "226"]
    lines = zlib.decompress(data).decode().split("\r\n")
    assert sorted(line.split()[-1] for line in lines if line) == sorted(files)


# --- uploads


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [in_clear, under_tls])
def test_an_upload_is_whole(make: Any, size: int) -> None:
    """The stored bytes are those that were deflated."""
    client = make()
    assert codes(upload(client, zlib.compress(content(size)), "STOR file")) == ["150", "226"]
    assert client.server.memory.get("/file") == content(size)


def test_an_upload_is_published_as_the_file_it_is() -> None:
    """Its bytes, not those of the stream."""
    client = in_clear()
    upload(client, zlib.compress(bytes(300_000)), "STOR file")
    assert [event.bytes for event in client.server.published(FileStored)] == [300_000]


def test_a_text_upload() -> None:
    """Inflated first, then line ends."""
    client = in_clear()
    upload(client, zlib.compress(b"one\r\ntwo\r\n" * 20_000), "TYPE A", "STOR file")
    assert client.server.memory.get("/file") == b"one\ntwo\n" * 20_000


@pytest.mark.parametrize("line", ["REST 4", "APPE"])
def test_an_upload_goes_on(line: str) -> None:
    """Behind what is there."""
    client = in_clear(file=b"0123")
    lines = ["APPE file"] if line == "APPE" else [line, "STOR file"]
    upload(client, zlib.compress(b"xyz"), *lines)
    assert client.server.memory.get("/file") == b"0123xyz"


@pytest.mark.parametrize("make", [in_clear, under_tls])
@pytest.mark.parametrize("sent", [b"", zlib.compress(content(300_000))[:-1]])
def test_a_stream_without_its_end_is_no_file(make: Any, sent: bytes) -> None:
    """Also where the connection is closed as it should be, with close_notify under TLS."""
    client = make(file=b"old")
    assert codes(upload(client, sent, "STOR file")) == ["150", "426"]
    assert client.server.memory.get("/file") == b"old"


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (zlib.compress(content(300_000))[:-1], "the deflate stream ended before its end"),
        (b"not deflated", "the deflate stream is broken"),
        (zlib.compress(b"new")[:-1] + b"?", "the deflate stream is broken"),
        (zlib.compress(b"new") + b"more", "something follows the deflate stream"),
    ],
)
def test_what_is_no_whole_stream_is_no_file(sent: bytes, reason: str) -> None:
    """426, the old file stays, and the audit log says why."""
    client = in_clear(file=b"old")
    assert codes(upload(client, sent, "STOR file")) == ["150", "426"]
    assert client.server.memory.get("/file") == b"old"
    assert client.server.memory.tree.active == set()
    (event,) = client.server.published(FileStored)
    assert (event.result, event.reason) == (Result.TRUNCATED, reason)


def test_a_bomb_meets_the_rate() -> None:
    """Some kilobytes that would be 10 MiB come out at the rate of an upload of 10 MiB."""
    server = clear_server(mode_z=True, limits={"upload_rate": 1 << 20})
    client = client_with(server=server)
    client.say("MODE Z")
    data = client.connect_data()
    client.send("STOR file")
    data.send_and_close(zlib.compress(bytes(10 << 20), 9))
    for _ in range(20):
        server.reactor.advance(0.1)
        server.reactor.settle()
    assert client.pi.is_busy
    assert 1 << 20 <= client.session.bytes_received <= 3 << 20


def test_a_bomb_meets_the_disk() -> None:
    """452 when there is no room, and nothing is stored under the name."""
    storage = MemoryStorage()
    storage.tree.room = 1 << 20
    client = clear_server(mode_z=True, storage=storage).logged_in()
    client.say("MODE Z")
    replies = upload(client, zlib.compress(bytes(10 << 20), 9), "STOR file")
    assert codes(replies) == ["150", "452"]
    assert "file" not in storage.tree.root.children
