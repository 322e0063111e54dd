"""ABOR, and the other commands that come while a transfer runs."""

from __future__ import annotations

import pytest

from ftpsd.audit.events import FileSent
from ftpsd.storage.base import StorageError
from ftpsd.values.direction import Result
from tests.sessions import clear_server
from tests.unit.control.running import BIG, downloading, finish
from tests.workers import QueueingWorkers

# --- ABOR


def test_abor_ends_a_transfer_with_426_then_226() -> None:
    """RFC 959, 4.1.3: the transfer's reply first, then ABOR's own; ftplib accepts no others."""
    transfer, client, _ = downloading()
    client.send("ABOR")
    transfer.release()
    replies = client.replies().split("\n")
    assert [reply[:3] for reply in replies] == ["426", "226"]


def test_abor_with_telnet_synch() -> None:
    """IP and Synch before ABOR, as most clients send it in clear."""
    transfer, client, _ = downloading()
    client.send_bytes(b"\xff\xf4\xff\xf2ABOR\r\n")
    transfer.release()
    assert [reply[:3] for reply in client.replies().split("\n")] == ["426", "226"]


def test_abor_cuts_the_data_connection() -> None:
    """The client sees the end of it at once, also while a worker has the socket."""
    _, client, data = downloading()
    client.send("ABOR")
    assert data.read_all() == b""


def test_abor_before_anybody_has_connected() -> None:
    """The wait for the data connection ends."""
    server = clear_server()
    server.memory.put("/file", b"data")
    client = server.logged_in()
    client.agree()
    assert client.say("RETR file").startswith("150 ")
    assert [reply[:3] for reply in client.say("ABOR").split("\n")] == ["426", "226"]


def test_abor_without_a_transfer() -> None:
    """226 alone."""
    assert clear_server().logged_in().say("ABOR").startswith("226 ")


def test_abor_gives_the_agreed_port_back() -> None:
    """Nothing is being transferred, so the port is not needed."""
    client = clear_server().logged_in()
    client.agree()
    client.say("ABOR")
    assert client.server.ports.claimed == 0


def test_a_second_abor_waits_its_turn() -> None:
    """A command sent between the two is answered between them."""
    transfer, client, _ = downloading()
    client.send("ABOR", "PWD", "ABOR")
    transfer.release()
    assert [reply[:3] for reply in client.replies().split("\n")] == ["426", "226", "257", "226"]


def test_abor_jumps_the_queue() -> None:
    """Commands sent ahead of it are run after it."""
    transfer, client, _ = downloading()
    client.send("NOOP", "ABOR")
    transfer.release()
    assert [reply[:3] for reply in client.replies().split("\n")] == ["426", "226", "200"]


def test_abor_twice() -> None:
    """Each gets its one reply."""
    transfer, client, _ = downloading()
    client.send("ABOR", "ABOR")
    transfer.release()
    assert [reply[:3] for reply in client.replies().split("\n")] == ["426", "226", "226"]


@pytest.mark.parametrize("segments", [[["RETR big", "ABOR"]], [["RETR big"], ["ABOR"]]])
def test_abor_before_the_150(segments: list[list[str]]) -> None:
    """Sent while the file is still being opened, it ends the transfer too, and does not wait for it."""
    files = QueueingWorkers()
    server = clear_server(files=files)
    server.memory.put("/big", BIG)
    client = server.logged_in()
    client.agree()
    for lines in segments:
        client.send(*lines)
    files.release()
    assert client.replies().split("\n")[-1][:3] == "226"


def test_an_aborted_transfer_is_published() -> None:
    """The audit log says aborted, with what had been sent."""
    transfer, client, data = downloading()
    transfer.release(1)
    client.send("ABOR")
    transfer.release()
    (sent,) = client.server.published(FileSent)
    assert (sent.result, sent.reason, sent.path) == (Result.ABORTED, "aborted by the client", "/big")
    assert 0 < sent.bytes == client.session.bytes_sent
    data.close()


def test_after_abor_the_session_goes_on() -> None:
    """A new transfer works."""
    transfer, client, _ = downloading()
    client.send("ABOR")
    transfer.release()
    client.replies()
    client.server.memory.put("/file", b"data")
    data = client.connect_data()
    client.say("RETR file")
    assert data.read_all() == b"data"


def test_an_aborted_upload_is_not_published_as_a_file() -> None:
    """The bytes that came in stay a partial."""
    server = clear_server()
    client = server.logged_in()
    data = client.connect_data()
    client.say("STOR new")
    data.send(b"half")
    server.reactor.settle()
    client.say("ABOR")
    with pytest.raises(StorageError):
        server.memory.get("/new")


# --- other commands meanwhile


def test_stat_answers_at_once() -> None:
    """The transfer goes on, and its bytes are told."""
    transfer, client, data = downloading()
    assert "Transferring: 0 of 1048576 bytes" in client.say("STAT")
    transfer.release(1)
    assert " of 1048576 bytes" in client.say("STAT")
    assert transfer.waiting + client.server.reactor.watched > 0
    data.close()


def test_stat_of_a_path_waits() -> None:
    """It is a listing of its own, not a look at the transfer."""
    _, client, _ = downloading()
    assert client.say("STAT /") == ""


def test_stat_is_not_answered_to_a_client_that_does_not_read() -> None:
    """A flood of STATs during a transfer must not fill our memory with replies."""
    _, client, _ = downloading()
    client.session.room.pauseProducing()
    client.send(*["STAT"] * 50)
    assert client.replies() == ""


def test_noop_waits_for_the_transfer() -> None:
    """lftp and commons-net expect the 200 of their keep-alive behind the 226."""
    transfer, client, data = downloading()
    assert client.say("NOOP") == ""
    finish(transfer, client, data)
    assert client.replies() == "226 Transfer complete.\n200 OK."


def test_quit_finishes_the_transfer() -> None:
    """226, then 221."""
    transfer, client, data = downloading()
    assert client.say("QUIT") == ""
    finish(transfer, client, data)
    assert client.replies() == "226 Transfer complete.\n221 Goodbye."
    assert client.is_closed


def test_draining_finishes_the_transfer() -> None:
    """A daemon that stops lets what runs end."""
    transfer, client, data = downloading()
    client.pi.drain()
    finish(transfer, client, data)
    assert client.replies() == "226 Transfer complete."
    assert client.is_closed


def test_a_transfer_is_not_idle() -> None:
    """Hours of download need no keep-alive."""
    transfer, client, data = downloading()
    for _ in range(3):
        client.server.reactor.advance(299)
        transfer.release(1)
        data.collect(bytearray(), until=lambda: transfer.waiting > 0)
    assert client.session.transfer is not None
    assert not client.is_closed
