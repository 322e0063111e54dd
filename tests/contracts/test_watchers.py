"""The behaviour that every watcher of uploads has in common, and how a growing file treats it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, Storage, StorageError, Terms
from ftpsd.storage.disk.content import PLAIN
from ftpsd.storage.disk.digest import PIECE
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.uploads.growing import Growing, Watcher
from ftpsd.storage.uploads.policy import UploadPolicy
from tests.contracts.storages import at, get, interrupt, kind_of, names, put, write
from tests.contracts.watchers import WATCHERS, Gate

MOST_QUESTIONS = 1000


@pytest.fixture(params=WATCHERS)
def watcher(request: pytest.FixtureRequest) -> Iterator[Watcher]:
    """Return a watcher of one upload."""
    make: Callable[[], Watcher] = WATCHERS[request.param]
    watcher = make()
    yield watcher
    watcher.close()


class TestWatcher:
    """Of any kind."""

    def test_it_decides(self, watcher: Watcher) -> None:
        """After a number of questions, whichever way the bytes came."""
        watcher.update(b"bytes")
        watcher.update(memoryview(b"a view"))
        assert any(watcher.finish() for _ in range(MOST_QUESTIONS))

    def test_nothing_is_a_file_too(self, watcher: Watcher) -> None:
        """An empty one."""
        assert any(watcher.finish() for _ in range(MOST_QUESTIONS))

    def test_it_can_be_closed_at_any_time(self, watcher: Watcher) -> None:
        """In the middle, and twice."""
        watcher.update(b"half")
        watcher.close()
        watcher.close()

    def test_it_keeps_no_view(self, watcher: Watcher) -> None:
        """The buffer is used again for the next bytes."""
        buffer = bytearray(b"data")
        with memoryview(buffer) as view:
            watcher.update(view)
        buffer.clear()  # BufferError, were a view of it still held


@pytest.fixture
def gate() -> Gate:
    """Return what makes the watchers of `storage`."""
    return Gate(unwanted=b"bad")


@pytest.fixture
def storage(tmp_path: Path, gate: Gate) -> Storage:
    """Return a tree whose uploads are watched."""
    policy = UploadPolicy(durable=False, watch=(gate,))
    return LocalJail.open(tmp_path, uploads=policy, owner="alice")


class TestUploads:
    """The bytes that uploads show, and what a refusal does."""

    def test_all_bytes_in_order_once(self, storage: Storage, gate: Gate) -> None:
        """And the path, and an end."""
        sink = storage.open_sink(at("/a"))
        for piece in (b"1", b"23", b"456"):
            write(sink, piece)
        sink.commit()
        (only,) = gate.made
        assert (only.path, bytes(only.seen), only.is_finished) == (at("/a"), b"123456", True)
        assert only.closed

    def test_a_watcher_is_asked_again(self, storage: Storage, gate: Gate) -> None:
        """Until it has decided: others have their turn meanwhile."""
        sink = storage.open_sink(at("/a"))
        write(sink, b"1")
        assert not sink.prepare()
        assert sink.prepare()
        sink.commit()
        assert gate.made[0].is_finished

    @pytest.mark.parametrize("head", [b"old ", bytes(range(256)) * (PIECE // 128)], ids=len)
    def test_the_beginning_is_seen_too(self, storage: Storage, gate: Gate, head: bytes) -> None:
        """The watcher sees what an upload of yesterday left, however long it is."""
        interrupt(storage, "/a", head)
        put(storage, "/a", b"new", append=True)
        assert (gate.made[0].is_finished, gate.made[0].seen == head) == (False, True)
        assert (gate.made[1].seen == head + b"new", gate.made[1].is_finished) == (True, True)
        assert get(storage, "/a") == head + b"new"

    def test_the_published_beginning_is_seen_too(self, storage: Storage, gate: Gate) -> None:
        """An append, and one that overwrites the end."""
        put(storage, "/a", b"12345")
        put(storage, "/a", b"67", append=True)
        put(storage, "/a", b"x", offset=3)
        assert [bytes(made.seen) for made in gate.made] == [b"12345", b"1234567", b"123x"]

    def test_a_refused_upload_is_not_published(self, storage: Storage, gate: Gate, tmp_path: Path) -> None:
        """Nothing of it stays, and nothing of it is resumed."""
        assert kind_of(put, storage, "/a", b"so bad") is Kind.REFUSED
        assert list(tmp_path.iterdir()) == []
        assert kind_of(storage.open_sink, at("/a"), Terms(offset=1)) is Kind.BAD_OFFSET
        assert all(made.closed for made in gate.made)

    def test_a_refused_end_of_a_good_beginning(self, storage: Storage, tmp_path: Path) -> None:
        """Bad is what only both together are."""
        interrupt(storage, "/a", b"ba")
        assert kind_of(put, storage, "/a", b"d", append=True) is Kind.REFUSED
        assert list(tmp_path.iterdir()) == []

    def test_a_refused_version_leaves_the_old_one(self, storage: Storage) -> None:
        """It is as it was, and its user is told that a new version was begun: SIZE is not where that goes on."""
        put(storage, "/a", b"good")
        sink = storage.open_sink(at("/a"))
        write(sink, b"bad version")
        assert kind_of(sink.prepare) is Kind.REFUSED
        sink.abort()
        assert (get(storage, "/a"), names(storage)) == (b"good", ["a"])
        assert kind_of(put, storage, "/a", b"more", append=True) is Kind.UNFINISHED

    def test_a_refusal_says_why_and_where(self, storage: Storage) -> None:
        """The path as its user knows it; the reason is for the log."""
        with pytest.raises(StorageError) as refusal:
            put(storage, "/a", b"bad")
        assert (refusal.value.path, refusal.value.reason) == (at("/a"), "it holds what is unwanted")


def test_uploads_in_place_cannot_be_watched(gate: Gate) -> None:
    """They are published while they come in."""
    with pytest.raises(ValueError, match="in place"):
        UploadPolicy(atomic=False, watch=(gate,))


def test_without_watchers_nothing_is_read_again(tmp_path: Path) -> None:
    """The old bytes are not touched: no error that they cannot be read."""
    with (tmp_path / "file").open("wb") as file:
        growing = Growing(PLAIN.reading(file.fileno()), 2 * PIECE, ())
        growing.grew(memoryview(b"data"))
        assert growing.catch_up(1)
