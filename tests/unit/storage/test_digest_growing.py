"""The SHA-256 of uploads that go on behind much: nothing long is done before they begin, or in one piece at the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, Sink, StorageError, Terms
from ftpsd.storage.disk.content import PLAIN
from ftpsd.storage.disk.digest import CATCH_UP, PIECE, StreamDigest
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.uploads.growing import Growing
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import VirtualPath

FILE = VirtualPath(("file",))
# More than two pieces.
HEAD = os.urandom(1 << 20) * 17 + b"end"


class Grown:
    """A file on disk with a digest that follows it."""

    def __init__(self, path: Path, present: bytes) -> None:
        path.write_bytes(present)
        self.content = present
        self.fd = os.open(path, os.O_RDWR | os.O_APPEND)
        self.digest = StreamDigest()
        self.growing = Growing(PLAIN.reading(self.fd), len(present), [self.digest])

    def add(self, data: bytes) -> None:
        os.write(self.fd, data)
        self.content += data
        self.growing.grew(memoryview(data))

    def pieces(self) -> int:
        """Return how many pieces are left, which are done."""
        count = 1
        while not self.growing.catch_up(PIECE):
            count += 1
        return count

    def is_right(self) -> bool:
        return self.digest.hex() == sha256(self.content).hexdigest()


@pytest.mark.parametrize("present", [b"", b"x", HEAD[:PIECE]], ids=len)
def test_what_is_little_is_read_at_once(tmp_path: Path, present: bytes) -> None:
    """Then nothing is left at the end, and what comes in is never read again."""
    grown = Grown(tmp_path / "file", present)
    os.truncate(tmp_path / "file", 0)
    grown.growing.grew(memoryview(b"data"))
    grown.content = present + b"data"
    assert grown.pieces() == 1
    assert grown.is_right()


def test_what_is_much_is_read_piece_by_piece(tmp_path: Path) -> None:
    """Three pieces of it, when hardly anything came in."""
    grown = Grown(tmp_path / "file", HEAD)
    grown.add(b"data")
    assert grown.pieces() == 3
    assert grown.is_right()


@pytest.mark.slow
def test_it_is_read_while_others_come_in(tmp_path: Path) -> None:
    """A third as much as there was, and all of it has been read."""
    grown = Grown(tmp_path / "file", HEAD)
    for _ in range(0, len(HEAD) // (CATCH_UP - 1) + 1, 65536):
        grown.add(bytes(65536))
    grown.add(b"the rest")
    assert grown.pieces() == 1
    assert grown.is_right()


def test_a_file_that_became_shorter_has_no_digest(tmp_path: Path) -> None:
    """An error instead of the digest of something else."""
    grown = Grown(tmp_path / "file", HEAD)
    os.truncate(tmp_path / "file", 100)
    with pytest.raises(OSError, match="shorter"):
        grown.pieces()


@pytest.fixture
def jail(tmp_path: Path) -> LocalJail:
    """A tree in which an upload of `HEAD` was interrupted."""
    jail = LocalJail.open(tmp_path, uploads=UploadPolicy(), owner="alice")
    sink = jail.open_sink(FILE)
    sink.write(memoryview(HEAD))
    sink.abort()
    return jail


def prepare_and_commit(sink: Sink) -> None:
    """Publish *sink*, piece by piece."""
    pieces = 1
    while not sink.prepare():
        pieces += 1
    sink.commit()
    assert pieces == 3


def commit_at_once(sink: Sink) -> None:
    """Publish *sink* by one call."""
    sink.commit()


@pytest.mark.parametrize("publish", [prepare_and_commit, commit_at_once])
def test_a_resumed_upload(jail: LocalJail, tmp_path: Path, publish: Callable[[Sink], None]) -> None:
    """The digest is that of the whole file, told, and kept with it."""
    sink = jail.open_sink(FILE, Terms(offset=len(HEAD) - 3))
    sink.write(memoryview(b"new end"))
    publish(sink)
    expected = sha256(HEAD[:-3] + b"new end").hexdigest()
    assert sha256((tmp_path / "file").read_bytes()).hexdigest() == sink.sha256 == expected
    source = jail.open_source(FILE)
    assert source.sha256 == expected
    source.close()


def test_given_up_between_two_pieces_it_can_be_resumed(jail: LocalJail, tmp_path: Path) -> None:
    """Nothing is published, and all that came in is still there."""
    sink = jail.open_sink(FILE, Terms(append=True))
    sink.write(memoryview(b"more"))
    assert not sink.prepare()
    sink.abort()
    assert not (tmp_path / "file").exists()
    assert jail.stat(FILE).size == len(HEAD) + 4


def test_preparing_what_is_over_is_refused(jail: LocalJail) -> None:
    """IO, as commit() is."""
    sink = jail.open_sink(FILE, Terms(append=True))
    sink.abort()
    with pytest.raises(StorageError) as refusal:
        sink.prepare()
    assert refusal.value.kind is Kind.IO
