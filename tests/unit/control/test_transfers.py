"""Transfers as a session sees them: their replies, their failures, and what the audit log learns."""

from __future__ import annotations

from typing import Any

import pytest

from ftpsd.audit.events import (
    CommandDone,
    DataConnectionRefused,
    DirectoryListed,
    FileSent,
    FileStored,
    TransferStarted,
)
from ftpsd.audit.topics.tree_events import StorageFailed
from ftpsd.control.datatransfer import _judge
from ftpsd.control.work import BUSY_PAUSE
from ftpsd.data.candidates import GRACE
from ftpsd.storage.base import Kind, Listing, Source, StorageError
from ftpsd.values.direction import Result
from ftpsd.values.entry import Entry, EntryType
from ftpsd.values.path import VirtualPath
from ftpsd.workers import PoolBusy
from tests.dataclient import new_client
from tests.fakes import MemoryStorage
from tests.memory import MemorySource, MemoryTree
from tests.sessions import ControlClient, Server, clear_server
from tests.unit.control.running import BIG, arrive_in_clear, downloading, finish
from tests.workers import QueueingWorkers

# --- the end


def test_226_comes_after_the_last_byte() -> None:
    """FlashFXP truncates otherwise: flushed and closed first, then 226."""
    transfer, client, data = downloading()
    transfer.release(1)
    assert client.replies() == ""
    finish(transfer, client, data)
    assert client.replies() == "226 Transfer complete."


def test_a_connection_lost_in_a_transfer_gives_everything_back() -> None:
    """As soon as the worker has come back."""
    transfer, client, _ = downloading()
    client.hang_up()
    transfer.release()
    server = client.server
    assert (server.counts.logged_in, server.realm.open, server.ports.claimed) == (0, 0, 0)
    assert (server.reactor.getDelayedCalls(), server.reactor.watched) == ([], 0)


def test_a_connection_lost_in_an_upload_gives_everything_back() -> None:
    """The sink is aborted: what came in is resumable, and nobody works on it any more."""
    server = clear_server()
    client = server.logged_in()
    data = client.connect_data()
    client.say("STOR new")
    data.send(b"half")
    client.hang_up(clean=False)
    assert server.memory.tree.active == set()
    assert (server.reactor.getDelayedCalls(), server.reactor.watched) == ([], 0)


def test_a_transfer_cut_by_its_session_is_booked_to_its_user() -> None:
    """The event that comes when the worker is back still says whose transfer it was."""
    transfer, client, _ = downloading()
    client.hang_up()
    transfer.release()
    (sent,) = client.server.published(FileSent)
    assert (sent.who.user, sent.result) == ("alice", Result.ABORTED)


def test_an_upload_that_outlives_its_session_is_booked_to_its_user() -> None:
    """A client that hangs up behind its last byte has stored its file all the same."""
    files = QueueingWorkers()
    server = clear_server(files=files)
    client = server.logged_in()
    data = client.connect_data()
    client.send("STOR new")
    files.release(1)
    data.send_and_close(b"data")
    server.reactor.run_until(lambda: files.waiting > 0)
    client.hang_up()
    files.release()
    (stored,) = server.published(FileStored)
    assert (stored.who.user, stored.result, server.memory.get("/new")) == ("alice", Result.COMPLETE, b"data")


# --- data connections that are none


def protected(**arguments: Any) -> ControlClient:
    """Return a client with PROT P."""
    server = Server(**arguments)
    server.memory.put("/file", b"data")
    client = server.connect()
    client.start_tls()
    client.log_in()
    client.say("PROT P")
    return client


def test_a_connection_that_does_not_resume_is_told() -> None:
    """522 when no other connection has come for some seconds; the data connection ends properly, without a byte."""
    client = protected()
    data = client.connect_data(resume=False)
    assert client.say("RETR file").startswith("150 ")
    client.server.reactor.advance(GRACE)
    assert client.replies().startswith("522 ")
    assert data.read_all() == b""


def test_a_connection_that_does_not_resume_is_published() -> None:
    """The audit log names the reason in a fixed word."""
    client = protected()
    client.connect_data(resume=False)
    client.say("RETR file")
    client.server.reactor.advance(GRACE)
    assert [event.reason for event in client.server.published(DataConnectionRefused)] == ["not-resumed"]
    assert [event.result for event in client.server.published(FileSent)] == [Result.REFUSED]


def test_a_connection_need_not_resume_by_policy() -> None:
    """tls.data_session_reuse: offered."""
    client = protected(tls={"data_session_reuse": "offered"})
    data = client.connect_data(resume=False)
    client.say("RETR file")
    assert data.read_all() == b"data"


def test_every_transfer_may_resume_the_same_session() -> None:
    """Clients reuse the control channel's ticket for all of them (curl, FileZilla)."""
    client = protected()
    for _ in range(3):
        data = client.connect_data()
        assert client.say("RETR file").endswith("226 Transfer complete.")
        assert data.read_all() == b"data"
        data.close()


def test_nobody_comes() -> None:
    """425 after data_connect_timeout, and the port is free again."""
    server = clear_server(limits={"data_connect_timeout": 20})
    server.memory.put("/file", b"data")
    client = server.logged_in()
    client.agree()
    client.say("RETR file")
    server.reactor.advance(20)
    assert client.replies().startswith("425 ")
    assert server.ports.claimed == 0


def test_an_empty_upload_without_tls_is_refused() -> None:
    """lftp 4.7 closes without a byte of TLS: not a file of 0 bytes, or anybody could make one."""
    client = protected()
    reservation = client.server.ports.take(client.agree(), client.peer)
    assert reservation is not None
    data = arrive_in_clear(client, reservation)
    data.close()
    client.send("STOR new")
    client.server.reactor.run_until(lambda: bool(client.server.published(DataConnectionRefused)))
    client.server.reactor.advance(GRACE)
    assert client.replies().split("\n")[-1].startswith("425 ")
    with pytest.raises(StorageError):
        client.server.memory.get("/new")


def test_a_cut_upload_is_426() -> None:
    """FIN without close_notify: nothing is stored under the name, and the audit log says truncated."""
    client = protected()
    data = client.connect_data()
    client.say("STOR new")
    data.send(b"half")
    data.socket.shutdown(1)
    client.server.reactor.run_until(lambda: not client.pi.is_busy)
    assert client.replies().startswith("426 ")
    assert [event.result for event in client.server.published(FileStored)] == [Result.TRUNCATED]
    with pytest.raises(StorageError):
        client.server.memory.get("/new")


# --- storage that fails


class Trouble(MemoryStorage):
    """A storage whose listings and files break in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.open_listings = 0

    def list(self, path: VirtualPath) -> Listing:
        self.open_listings += 1
        return BrokenListing(self)

    def open_source(self, path: VirtualPath, offset: int = 0) -> Source:
        source = MemorySource(b"half", 0)
        source.size = 8
        return source


class BrokenListing:
    """A directory of which the second read fails."""

    def __init__(self, storage: Trouble) -> None:
        self._storage = storage
        self._reads = 0

    def read(self, count: int) -> list[Entry]:
        self._reads += 1
        if self._reads > 1:
            raise StorageError(Kind.IO)
        return [Entry("name", EntryType.FILE, 0, 0, 0o600)]

    def close(self) -> None:
        self._storage.open_listings -= 1


def test_a_directory_that_cannot_be_read_is_closed() -> None:
    """LIST answers 451, and holds no descriptor."""
    storage = Trouble()
    client = clear_server(storage=storage).logged_in()
    client.connect_data()
    assert client.say("LIST").split("\n")[-1][:3] == "451"
    assert storage.open_listings == 0


def test_a_small_file_that_shrank_is_no_success() -> None:
    """The 150 promised 8 bytes, 4 are left: a client must not take them for the whole."""
    client = clear_server(storage=Trouble()).logged_in()
    client.connect_data()
    assert client.say("RETR file").split("\n")[-1][0] == "4"


def test_a_full_disk_is_452() -> None:
    """The upload is refused, published as failed, and told to the operator."""
    storage = MemoryStorage(MemoryTree(room=2))
    server = clear_server(storage=storage)
    client = server.logged_in()
    data = client.connect_data()
    client.say("STOR new")
    data.send_and_close(b"data")
    server.reactor.run_until(lambda: not client.pi.is_busy)
    assert client.replies().startswith("452 ")
    assert [event.result for event in server.published(FileStored)] == [Result.FAILED]
    assert len(server.published(StorageFailed)) == 1


def test_a_busy_pool_does_not_unsay_a_stored_file() -> None:
    """The file was committed: a queue that is full right behind it does not make the 226 a 450."""
    files = QueueingWorkers()
    server = clear_server(files=files)
    client = server.logged_in()
    data = client.connect_data()
    client.send("STOR new")
    files.release(1)
    data.send_and_close(b"data")
    server.reactor.run_until(lambda: files.waiting > 0)
    files.is_full = True
    files.release(1)
    assert server.memory.get("/new") == b"data"
    assert client.replies().split("\n")[-1] == "226 Transfer complete."


@pytest.mark.parametrize("hangs_up", [False, True])
@pytest.mark.parametrize(
    ("settings", "sent", "stored"),
    [
        ([], b"data", b"data"),
        ([], BIG, BIG),
        (["TYPE A"], b"a\r\nb", b"a\nb"),
        (["TYPE A"], b"a\r\n" * 99_999, b"a\n" * 99_999),
    ],
    ids=["small", "large", "small-text", "large-text"],
)
def test_a_busy_pool_delays_an_upload_that_is_here(
    settings: list[str], sent: bytes, stored: bytes, hangs_up: bool
) -> None:
    """The queue is full when all of it has come in: it waits, also for a client that has gone, and is stored once."""
    files = QueueingWorkers()
    server = clear_server(files=files)
    client = server.logged_in()
    for line in settings:
        client.say(line)
    data = client.connect_data()
    client.send("STOR new")
    files.release(1)
    files.is_full = True
    data.send_and_close(sent)
    server.reactor.run_until(lambda: client.session.bytes_received == len(sent))
    for _ in range(3):
        server.reactor.turn(0.01)
        server.reactor.advance(BUSY_PAUSE)
    assert (server.published(FileStored), files.waiting) == ([], 0)
    if hangs_up:
        client.hang_up()
    files.is_full = False
    server.reactor.advance(BUSY_PAUSE)
    server.reactor.run_until(lambda: files.waiting > 0)
    files.release()
    assert server.memory.get("/new") == stored
    assert [event.result for event in server.published(FileStored)] == [Result.COMPLETE]
    assert hangs_up or client.replies().split("\n")[-1] == "226 Transfer complete."


def test_abor_ends_the_wait_for_a_busy_pool() -> None:
    """426, then 226; nothing is stored, and the audit log says who ended it."""
    files = QueueingWorkers()
    server = clear_server(files=files)
    client = server.logged_in()
    data = client.connect_data()
    client.send("STOR new")
    files.release(1)
    files.is_full = True
    data.send_and_close(b"data")
    server.reactor.run_until(lambda: client.session.transfer is not None and client.session.bytes_received == 4)
    client.send("ABOR")
    server.reactor.advance(BUSY_PAUSE)
    files.is_full = False
    server.reactor.advance(5)
    files.release()
    assert [line[:3] for line in client.replies().split("\n")[-2:]] == ["426", "226"]
    (event,) = server.published(FileStored)
    assert (event.result, event.reason) == (Result.ABORTED, "aborted by the client")


def test_what_a_busy_pool_refuses_is_called_busy() -> None:
    """The large upload whose first piece no worker can take: 450, and the audit log says why."""
    assert _judge(PoolBusy("files")) == (Result.FAILED, "busy")


def test_a_busy_pool_leaves_no_upload_open() -> None:
    """When the queue is full, a broken upload is still given up: its partial is free for the next attempt."""
    files = QueueingWorkers()
    server = clear_server(files=files)
    client = server.logged_in()
    client.agree()
    client.send("STOR new")
    files.release(1)
    files.is_full = True
    client.send("ABOR")
    files.is_full = False
    server.reactor.advance(5)
    files.release()
    assert server.memory.tree.active == set()


# --- events


def test_every_started_transfer_ends_in_an_event() -> None:
    """TransferStarted and its end come in pairs, whatever the result."""
    server = clear_server(limits={"data_connect_timeout": 5})
    server.memory.put("/file", b"data")
    client = server.logged_in()
    data = client.connect_data()
    client.say("RETR file")
    data.close()
    client.agree()
    client.say("LIST")
    server.reactor.advance(5)
    client.replies()
    client.agree()
    client.say("STOR new")
    client.say("ABOR")
    ended = [event for event in server.events if isinstance(event, FileSent | FileStored | DirectoryListed)]
    assert len(server.published(TransferStarted)) == len(ended) == 3


def test_bytes_are_counted_for_the_session() -> None:
    """SessionClosed will tell both directions."""
    server = clear_server()
    server.memory.put("/file", b"data")
    client = server.logged_in()
    client.connect_data()
    client.say("RETR file")
    data = client.connect_data()
    client.say("STOR new")
    data.send_and_close(b"six678")
    server.reactor.run_until(lambda: not client.pi.is_busy)
    assert (client.session.bytes_sent, client.session.bytes_received) == (4, 6)


def test_every_command_has_one_final_reply() -> None:
    """CommandDone and final replies agree over a session full of trouble."""
    server = clear_server()
    client = server.logged_in()
    client.connect_data()
    codes = []
    for line in ("RETR missing", "LIST", "LIST", "RETR", "ABOR", "XYZ", "STOR /no/such", "QUIT"):
        codes += [reply[:3] for reply in client.say(line).split("\n") if reply[0] != "1"]
    done = [str(event.code) for event in server.published(CommandDone)][2:]
    assert codes == [code for code in done if code != "229"] == ["550", "226", "425", "501", "226", "500", "425", "221"]


def test_a_resumed_handshake_is_booked_to_the_transfer() -> None:
    """The file's event carries what its data connection negotiated."""
    client = protected()
    client.connect_data()
    client.say("RETR file")
    (sent,) = client.server.published(FileSent)
    assert sent.tls is not None
    assert sent.tls.resumed


def test_a_stranger_cannot_resume_what_he_has_not() -> None:
    """A client of our own server with a session of its own is still a stranger here."""
    other = protected()
    client = protected()
    assert other.tls is not None
    reservation = client.server.ports.take(client.agree(), client.peer)
    assert reservation is not None
    data = arrive_in_clear(client, reservation)
    data.shake_hands(new_client(other.tls.tls.session))
    client.say("RETR file")
    client.server.reactor.advance(GRACE)
    assert client.replies().startswith("522 ")
