"""STAT with a path: the whole of a directory on the control connection, at the speed of its client, or no success."""

from __future__ import annotations

import pytest

from ftpsd.control.work import BUSY_PAUSE
from ftpsd.storage.base import Kind, Listing, StorageError
from ftpsd.values.entry import Entry
from ftpsd.values.path import VirtualPath
from tests.fakes import MemoryStorage
from tests.sessions import ControlClient, clear_server
from tests.unit.commands.listings import LINE, among, large, tree
from tests.workers import QueueingWorkers


def test_stat_of_a_directory() -> None:
    """212, the lines of LIST on the control connection, no data port needed."""
    lines = tree().say("STAT dir").split("\n")
    assert (lines[0][:4], lines[-1][:4]) == ("212-", "212 ")
    assert sorted(LINE.fullmatch(line[1:])[2] for line in lines[1:-1]) == ["inner.csv", "other"]  # type: ignore[index]


def test_stat_needs_a_login_for_a_path() -> None:
    """A stranger may ask for the state of the session only."""
    client = clear_server().connect()
    assert client.say("STAT /").startswith("530 ")
    assert client.say("STAT").startswith("211-")


@pytest.mark.parametrize(("argument", "code"), [("/dir", 212), ("/*.csv", 212), ("/nothing*", 212), ("/a.csv", 213)])
def test_stat_says_what_it_is_about(argument: str, code: int) -> None:
    """212 is the status of a directory, 213 that of a file (RFC 959, 4.2.2)."""
    lines = tree().say(f"STAT {argument}").split("\n")
    assert (lines[0][:4], lines[-1]) == (f"{code}-", f"{code} End.")


@pytest.mark.parametrize("count", [999, 1000, 1001, 5000])
def test_stat_lists_all(count: int) -> None:
    """A client that mirrors by STAT deletes what is left out."""
    lines = among(*(f"/f{number}" for number in range(count))).say("STAT /").split("\n")
    matches = [LINE.fullmatch(line[1:]) for line in lines[1:-1]]
    assert sorted(match[2] for match in matches if match) == sorted(f"f{number}" for number in range(count))
    assert (lines[0], lines[-1]) == ("212-Status of /:", "212 End.")


def slow_reader(files: QueueingWorkers) -> ControlClient:
    """Return a client that asked for a large listing by STAT and has not taken its first part yet."""
    client = large(files)
    client.send("STAT /")
    files.release(1)
    client.session.room.pauseProducing()
    files.release()
    return client


def the_rest(files: QueueingWorkers, client: ControlClient) -> list[str]:
    """Return the lines that come when the client reads: more is read from the directory as it takes them."""
    lines: list[str] = []
    while files.waiting:
        files.release()
        lines += client.replies().split("\n")
    return lines


def test_stat_waits_for_its_client() -> None:
    """Bytes that the client does not take are not read either, so no listing fills the memory."""
    files = QueueingWorkers()
    client = slow_reader(files)
    client.send("NOOP")
    first = client.replies().split("\n")
    assert first[0] == "212-Status of /:"
    assert 800 < len(first) < 2000
    assert not files.waiting
    client.session.room.resumeProducing()
    rest = the_rest(files, client)
    assert rest[-2] == "212 End."
    assert rest[-1].startswith("200 ")
    assert len(first) + len(rest) == 5001 + 3


def test_stat_goes_on_when_the_pool_was_full() -> None:
    """Once it has begun it waits for a worker."""
    files = QueueingWorkers()
    client = slow_reader(files)
    files.is_full = True
    client.session.room.resumeProducing()
    assert not client.replies().endswith("212 End.")
    files.is_full = False
    client.server.reactor.advance(BUSY_PAUSE)
    assert the_rest(files, client)[-1] == "212 End."


def test_stat_of_a_client_that_reads_nothing_ends() -> None:
    """The session ends, and the reply does not."""
    files = QueueingWorkers()
    client = slow_reader(files)
    client.server.reactor.advance(client.server.config.limits.stall_timeout)
    files.release()
    assert "\n212 " not in client.replies()
    assert client.is_closed


def test_stat_of_a_client_that_leaves() -> None:
    """Nothing goes on."""
    files = QueueingWorkers()
    client = slow_reader(files)
    client.hang_up()
    files.release()
    assert not client.pi.is_busy
    assert not client.server.reactor.getDelayedCalls()


class BreaksOff:
    """A listing that the disk cannot read to its end."""

    def __init__(self, inner: Listing) -> None:
        self._inner = inner
        self._left = 2000

    def read(self, count: int) -> list[Entry]:
        """Return some entries, then fail."""
        self._left -= count
        if self._left < 0:
            raise StorageError(Kind.IO)
        return self._inner.read(count)

    def close(self) -> None:
        """Close what is behind it."""
        self._inner.close()


class Breaking(MemoryStorage):
    """A storage of such directories."""

    def list(self, path: VirtualPath) -> Listing:
        """Open the directory *path*."""
        return BreaksOff(super().list(path))


def test_stat_that_breaks_off_is_no_success() -> None:
    """The last line of a 212 never comes, and the connection ends."""
    storage = Breaking()
    for number in range(5000):
        storage.put(f"/f{number}", b"")
    client = clear_server(storage=storage).logged_in()
    said = client.say("STAT /").split("\n")
    assert said[0].startswith("212-")
    assert said[-1].startswith("451 ")
    assert not [line for line in said if line.startswith("212 ")]
    assert client.is_closed


def test_a_name_in_stat_forges_no_reply() -> None:
    """A file called like a last line stays inside (it has a space in front)."""
    lines = among("/212 End.").say("STAT /").split("\n")
    assert [line for line in lines if line.startswith("212 ")] == lines[-1:]
