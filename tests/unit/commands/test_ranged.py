"""RANG and STOR: other bytes in the middle of a file, and nothing else is another."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from ftpsd.audit.events import FileStored
from ftpsd.control.work import BUSY_PAUSE
from ftpsd.storage.base import Kind, Sink, Storage, StorageError, Terms
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.mounts import MountedStorage
from ftpsd.storage.pieces.piece import CHUNK, PIECE
from ftpsd.storage.pieces.range import open_ranged
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.direction import Result
from ftpsd.values.entry import Entry
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule
from tests.fakes import MemoryStorage
from tests.sessions import clear_server
from tests.unit.commands.huge import HugeStorage
from tests.unit.commands.transfers import client_with, codes, download, upload
from tests.workers import QueueingWorkers

FILE = VirtualPath.parse("/file")
BIG = bytes(range(256)) * 4000


@pytest.fixture(params=["memory", "disk"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A storage with `/file`, ten digits."""
    if request.param == "memory":
        memory = MemoryStorage()
        memory.put("/file", b"0123456789")
        return memory
    (tmp_path / "file").write_bytes(b"0123456789")
    return LocalJail.open(tmp_path, uploads=UploadPolicy(), owner="alice")


def content(storage: Storage, path: VirtualPath = FILE) -> bytes:
    """Return what is published."""
    source = storage.open_source(path)
    buffer = bytearray(source.size)
    source.read_into(memoryview(buffer))
    source.close()
    return bytes(buffer)


def fill(sink: Sink, data: bytes) -> None:
    """Write *data* and publish it."""
    sink.write(memoryview(data))
    sink.commit()


@pytest.mark.parametrize(
    ("start", "end", "sent", "expected"),
    [
        (2, 5, b"abc", b"01abc56789"),
        (0, 1, b"a", b"a123456789"),
        (9, 10, b"a", b"012345678a"),
        (8, 12, b"abcd", b"01234567abcd"),
        (10, 12, b"ab", b"0123456789ab"),
        (0, 10, b"abcdefghij", b"abcdefghij"),
        (0, 12, b"abcdefghijkl", b"abcdefghijkl"),
    ],
)
def test_only_the_range_changes(storage: Storage, start: int, end: int, sent: bytes, expected: bytes) -> None:
    """Before it, behind it, and in the length, where the range does not go beyond it."""
    sink = open_ranged(storage, FILE, start, end)
    for byte in sent:
        sink.write(memoryview(bytes([byte])))
    sink.commit()
    assert content(storage) == expected


@pytest.mark.parametrize("sent", [b"", b"ab", b"abcd"])
def test_another_length_changes_nothing(storage: Storage, sent: bytes) -> None:
    """BAD_RANGE: the client has to send the full range."""
    sink = open_ranged(storage, FILE, 2, 5)
    with pytest.raises(StorageError) as refusal:
        fill(sink, sent)
    sink.abort()
    assert refusal.value.kind is Kind.BAD_RANGE
    assert content(storage) == b"0123456789"


@pytest.mark.parametrize("sent", [b"ab", b"abc", b"abcd"])
def test_one_that_fails_leaves_no_false_digest(tmp_path: Path, sent: bytes) -> None:
    """The bytes behind the range were read to their end; that is not the whole file."""
    (tmp_path / "file").write_bytes(BIG)
    jail = LocalJail.open(tmp_path, uploads=UploadPolicy(), owner="alice")
    sink = open_ranged(jail, FILE, 2, 5)
    with pytest.raises(StorageError):  # noqa: PT012
        sink.write(memoryview(sent))
        while not sink.prepare():
            pass
        (tmp_path / "file").touch()
        sink.commit()
    sink.abort()
    source = jail.open_source(FILE)
    assert source.sha256 is None
    source.read_into(memoryview(bytearray(len(BIG) + 1)))
    source.close()
    assert source.sha256 == sha256(BIG).hexdigest()


def test_a_range_behind_the_end(storage: Storage) -> None:
    """BAD_OFFSET: there would be a hole."""
    with pytest.raises(StorageError) as refusal:
        open_ranged(storage, FILE, 11, 12)
    assert refusal.value.kind is Kind.BAD_OFFSET


def test_a_new_file(storage: Storage) -> None:
    """Begins at 0."""
    path = VirtualPath.parse("/new")
    sink = open_ranged(storage, path, 0, 3)
    sink.write(memoryview(b"abc"))
    sink.commit()
    assert content(storage, path) == b"abc"


def test_two_at_once(storage: Storage) -> None:
    """The later one is BUSY: it would take back what the first has changed outside of its range."""
    first, second = open_ranged(storage, FILE, 0, 2), open_ranged(storage, FILE, 5, 7)
    for sink in (first, second):
        sink.write(memoryview(b"ab"))
    first.commit()
    with pytest.raises(StorageError) as refusal:
        second.commit()
    assert refusal.value.kind is Kind.BUSY
    assert content(storage) == b"ab23456789"


class Interrupted(LocalJail):
    """A jail in which something happens right behind a look."""

    between: Callable[[], None] | None = None

    def stat(self, path: VirtualPath) -> Entry:
        """Describe *path*, and then let it happen."""
        entry = super().stat(path)
        if self.between is not None:
            self.between()
        return entry


@pytest.mark.parametrize("other", ["/file", "/link", "/mount/file"])
def test_two_at_the_same_moment_under_two_names(tmp_path: Path, other: str) -> None:
    """One that is published between the last look of the other and its rename is not undone: no name guards a file."""
    (tmp_path / "file").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to("file")
    policy = UploadPolicy()
    mount = LocalJail.open(tmp_path, uploads=policy, owner="bob")
    bob = MountedStorage(LocalJail.open(tmp_path, uploads=policy, owner="bob"), {VirtualPath.parse("/mount"): mount})
    alice = Interrupted.open(tmp_path, uploads=policy, owner="alice")
    assert isinstance(alice, Interrupted)
    first, second = open_ranged(alice, FILE, 0, 2), open_ranged(bob, VirtualPath.parse(other), 5, 7)
    for sink in (first, second):
        sink.write(memoryview(b"ab"))
    alice.between = second.commit
    with pytest.raises(StorageError) as refusal:
        first.commit()
    assert refusal.value.kind is Kind.BUSY
    assert content(bob) == b"01234ab789"
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


def test_beside_an_unfinished_new_version(storage: Storage) -> None:
    """UNFINISHED: a client that goes on where it was interrupted would put its new end behind the old beginning."""
    unfinished = storage.open_sink(FILE)
    unfinished.write(memoryview(b"newer"))
    unfinished.abort()
    for start, end in ((2, 5), (5, 7), (10, 12)):
        with pytest.raises(StorageError) as refusal:
            open_ranged(storage, FILE, start, end)
        assert refusal.value.kind is Kind.UNFINISHED
    assert content(storage) == b"0123456789"
    fill(storage.open_sink(FILE, Terms(offset=5)), b"!")
    assert content(storage) == b"newer!"


@pytest.mark.parametrize("start", [0, 3])
def test_what_was_interrupted_is_no_beginning(storage: Storage, start: int) -> None:
    """The file is as it was, and what comes next goes on from that."""
    sink = open_ranged(storage, FILE, start, 9)
    sink.write(memoryview(b"ab"))
    sink.abort()
    fill(storage.open_sink(FILE, Terms(append=True)), b"!")
    assert content(storage) == b"0123456789!"


def test_on_the_wire() -> None:
    """Large, with much before and behind it."""
    client = client_with(file=BIG)
    assert codes(upload(client, b"x" * 500_000, "RANG 1000 500999", "STOR file")) == ["350", "150", "226"]
    assert client.server.memory.get("/file") == BIG[:1000] + b"x" * 500_000 + BIG[501_000:]


class Behind:
    """A client that has replaced the first byte of `/huge`, 20 MiB of zeros, and waits for the copy of the rest."""

    def __init__(self) -> None:
        self.storage = HugeStorage(2 * PIECE + CHUNK)
        self.workers = QueueingWorkers()
        self.client = clear_server(files=self.workers, storage=self.storage).logged_in()
        data = self.client.connect_data()
        self.client.send("RANG 0 0", "STOR huge")
        self.workers.release(1)
        data.send_and_close(b"x")
        self.client.server.reactor.run_until(lambda: self.workers.waiting > 0)
        self.workers.release(1)

    def rest(self) -> list[str]:
        """Let it come to an end; return the codes of the replies."""
        self.workers.release()
        return codes(self.client.replies())


def test_the_rest_is_copied_piece_by_piece() -> None:
    """Each is a call of its own, between which others have their turn."""
    behind = Behind()
    pieces = 1
    while behind.workers.waiting:
        behind.workers.release(1)
        pieces += 1
    assert pieces == 3
    assert behind.rest() == ["350", "150", "226"]
    assert behind.storage.get("/huge") == b"x" + bytes(behind.storage.size - 1)


def test_abor_ends_the_copy_of_the_rest() -> None:
    """426, then 226; the file is as it was, nothing stays open, and the audit log says who ended it."""
    behind = Behind()
    behind.client.send("ABOR")
    assert behind.rest() == ["350", "150", "426", "226"]
    assert behind.storage.get("/huge") == b""
    assert behind.storage.tree.active == set()
    (event,) = behind.client.server.published(FileStored)
    assert (event.result, event.reason) == (Result.ABORTED, "aborted by the client")


def test_the_copy_outlives_its_client() -> None:
    """All that was sent has come in: a control connection that breaks then, as behind many a NAT, changes nothing."""
    behind = Behind()
    behind.client.hang_up()
    behind.workers.release()
    assert behind.storage.get("/huge") == b"x" + bytes(behind.storage.size - 1)


def test_a_full_pool_delays_the_copy() -> None:
    """It goes on when there is a place again."""
    behind = Behind()
    behind.workers.is_full = True
    behind.workers.release(1)
    behind.workers.is_full = False
    behind.client.server.reactor.advance(BUSY_PAUSE)
    assert behind.rest() == ["350", "150", "226"]


def test_a_range_holds_once() -> None:
    """The next upload is of the whole file."""
    client = client_with(file=b"0123456789")
    upload(client, b"ab", "RANG 1 2", "STOR file")
    upload(client, b"new", "STOR file")
    assert client.server.memory.get("/file") == b"new"


def test_what_is_too_long_is_refused() -> None:
    """554, and the session goes on."""
    client = client_with(file=b"0123456789")
    assert codes(upload(client, b"abc", "RANG 1 2", "STOR file")) == ["350", "150", "554"]
    assert download(client, "RETR file")[0] == b"0123456789"


def test_where_uploads_are_direct(tmp_path: Path) -> None:
    """504: in place, what is behind the range would be cut off."""
    jail = LocalJail.open(tmp_path, uploads=UploadPolicy(atomic=False), owner="alice")
    client = clear_server(storage=jail).logged_in()
    client.agree()
    client.say("RANG 0 1")
    assert client.say("STOR file").startswith("504 ")


@pytest.mark.parametrize(
    ("allowed", "is_done"),
    [({"read", "overwrite"}, True), ({"overwrite"}, False), ({"read", "upload", "append"}, False)],
)
def test_permissions(allowed: set[str], is_done: bool) -> None:
    """To read and to overwrite."""
    memory = MemoryStorage()
    memory.put("/file", b"0123456789")
    rule = Rule("/**", frozenset({Permission.LIST, *map(Permission, allowed)}))
    guarded = GuardedStorage(memory, [rule])
    if is_done:
        open_ranged(guarded, FILE, 0, 1).abort()
    else:
        with pytest.raises(StorageError):
            open_ranged(guarded, FILE, 0, 1)
    assert memory.get("/file") == b"0123456789"
