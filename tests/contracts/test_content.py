"""The behaviour that every way for bytes to lie on the disk has in common."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsd.events.disk_look import is_done
from ftpsd.storage.base import Kind, StorageError, Terms
from ftpsd.storage.disk.content import Content
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.quota.account import QuotaAccount
from ftpsd.storage.quota.change import QuotaLedger
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.quota import Quota
from tests.contracts.contents import CONTENTS, Framed
from tests.contracts.storages import at, get, kind_of, put, write

DATA = bytes(range(100))


@pytest.fixture(params=CONTENTS)
def content(request: pytest.FixtureRequest, tmp_path: Path) -> Content:
    """Return one of them."""
    return CONTENTS[request.param](tmp_path)


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    """Return an empty file."""
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def read(content: Content, fd: int, offset: int = 0) -> bytes:
    """Return what *fd* holds from *offset* on."""
    buffer = memoryview(bytearray(1000))
    return bytes(buffer[: content.growing(fd)(buffer, offset)])


def test_lengths(content: Content) -> None:
    """Each is stored as some bytes, which say the length; nothing as nothing, and more never as less."""
    stored = [content.stored(length) for length in range(1000)]
    assert stored[0] == 0
    assert stored == sorted(stored)
    assert [content.length(count) for count in stored] == list(range(1000))


@pytest.mark.parametrize("size", [1, 6, 7, 8, 50])
def test_what_is_written_is_read(content: Content, fd: int, size: int) -> None:
    """In pieces of any size, from any offset, and all of it is in the file."""
    write = content.writing(fd, 0)
    for start in range(0, len(DATA), size):
        write(memoryview(DATA[start : start + size]))
        assert os.fstat(fd).st_size == content.stored(min(start + size, len(DATA)))
    assert [read(content, fd, offset) for offset in range(101)] == [DATA[offset:] for offset in range(101)]


@pytest.mark.parametrize("start", [0, 1, 6, 7, 8, 99, 100])
def test_it_goes_on_anywhere(content: Content, fd: int, start: int) -> None:
    """Behind what is left of a file that was cut there."""
    content.writing(fd, 0)(memoryview(DATA))
    content.truncate(fd, start)
    assert (read(content, fd), os.fstat(fd).st_size) == (DATA[:start], content.stored(start))
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    content.writing(again, start)(memoryview(b"new"))
    os.close(again)
    assert read(content, fd) == DATA[:start] + b"new"


@pytest.mark.parametrize("length", [0, 1, 7, 8, 100])
def test_a_beginning_is_copied(content: Content, fd: int, tmp_path: Path, length: int) -> None:
    """And gone on with."""
    content.writing(fd, 0)(memoryview(DATA))
    content.finish(fd)
    copy = os.open(tmp_path / "copy", os.O_RDWR | os.O_CREAT)
    content.copy(fd, copy, length)
    content.writing(copy, length)(memoryview(b"new"))
    assert read(content, copy) == DATA[:length] + b"new"
    os.close(copy)


def test_no_more_is_copied_than_there_is(content: Content, fd: int, tmp_path: Path) -> None:
    """BUSY: the file was cut meanwhile."""
    content.writing(fd, 0)(memoryview(DATA))
    content.finish(fd)
    copy = os.open(tmp_path / "copy", os.O_RDWR | os.O_CREAT)
    with pytest.raises(StorageError) as refusal:
        content.copy(fd, copy, 101)
    assert refusal.value.kind is Kind.BUSY
    os.close(copy)


class TestJail:
    """A tree whose files hold another content; the contract of storages is run over one, too."""

    @pytest.fixture
    def jail(self, tmp_path: Path) -> LocalJail:
        """Return it."""
        return LocalJail.open(tmp_path, uploads=UploadPolicy(durable=False), owner="alice", content=Framed())

    def test_the_disk_holds_something_else(self, jail: LocalJail, tmp_path: Path) -> None:
        """And users see none of that, nor may the kernel send it."""
        put(jail, "/a", DATA)
        on_disk = (tmp_path / "a").read_bytes()
        assert (DATA in on_disk, len(on_disk)) == (False, Framed().stored(100))
        assert (get(jail, "/a"), jail.stat(at("/a")).size) == (DATA, 100)
        assert jail.read_cached(at("/a"), 1000) is None
        source = jail.open_source(at("/a"))
        assert source.fileno() is None
        source.close()

    def test_a_quota_is_about_the_disk(self, tmp_path: Path) -> None:
        """As much is written as has room there."""
        account = QuotaAccount(tmp_path)
        account.count()
        ledger = QuotaLedger(account, Quota(bytes=80))
        policy = UploadPolicy(durable=False)
        jail = LocalJail.open(tmp_path, uploads=policy, owner="alice", ledger=ledger, content=Framed())
        sink = jail.open_sink(at("/a"))
        assert kind_of(write, sink, bytes(71)) is Kind.QUOTA
        assert account.used.bytes == 80
        sink.abort()
        put(jail, "/a", bytes(69))
        put(jail, "/a", b"1", append=True)
        assert account.used.bytes == 80

    def test_an_upload_goes_on_in_a_frame(self, jail: LocalJail) -> None:
        """Of its own partial, and of the published file; the digest is of the user's bytes."""
        put(jail, "/a", DATA)
        put(jail, "/b", DATA)
        one, other = put(jail, "/a", b"new", offset=10), put(jail, "/b", DATA[:10] + b"new")
        assert get(jail, "/a") == DATA[:10] + b"new"
        assert one.sha256 == other.sha256 is not None

    def test_not_in_place(self, tmp_path: Path) -> None:
        """A file that is written in place lies as it came."""
        with pytest.raises(ValueError, match="in place"):
            LocalJail.open(tmp_path, uploads=UploadPolicy(atomic=False), owner="alice", content=Framed())

    def test_offsets_are_the_users(self, jail: LocalJail) -> None:
        """Beyond the last byte is BAD_OFFSET, though the file on the disk is longer."""
        put(jail, "/a", DATA)
        assert kind_of(jail.open_source, at("/a"), 101) is Kind.BAD_OFFSET
        assert kind_of(jail.open_sink, at("/a"), Terms(offset=101)) is Kind.BAD_OFFSET


@pytest.mark.parametrize("data", [b"", DATA])
def test_the_trace_of_an_upload_is_that_of_the_file(content: Content, tmp_path: Path, data: bytes) -> None:
    """The trace made before a file is published tells it from others behind that, and the same after a rename."""
    (tmp_path / "home").mkdir()
    jail = LocalJail.open(tmp_path / "home", uploads=UploadPolicy(), owner="alice", content=content)
    sink = jail.open_sink(at("/file"))
    write(sink, data)
    while not sink.prepare():
        pass
    trace = sink.trace()
    assert trace.place == os.fsencode(tmp_path / "home" / "file")
    assert not is_done("file-stored", trace)
    sink.commit()
    assert is_done("file-stored", trace)
    assert sink.sha256 == trace.sha256
    renamed = jail.trace(at("/file"), at("/new"))
    assert (renamed.former, renamed.place) == (trace.place, os.fsencode(tmp_path / "home" / "new"))
    assert not is_done("file-renamed", renamed)
    jail.rename(at("/file"), at("/new"))
    assert is_done("file-renamed", renamed)
    assert not is_done("file-stored", trace)
    deletion = jail.trace(at("/new"))
    assert not is_done("file-deleted", deletion)
    jail.remove_file(at("/new"))
    assert is_done("file-deleted", deletion)
