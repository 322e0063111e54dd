"""The store: one thread, transactions for many calls, and a file that breaks under it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from sqlite3 import Connection
from threading import Event

import pytest

from ftpsd.durable import facts
from ftpsd.durable.opening import open_state, state_opened
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.durable.store import AGAIN, QUEUE, Store
from ftpsd.durable.tables import BEGUN, begun_at
from ftpsd.workers import PoolBusy
from tests.reactor import PATIENCE, Reactor
from tests.tools import ROOT
from tests.unit.durable.running import Driven, driven

NOW = 1000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def it(path: Path) -> Iterator[Driven]:
    """A store that runs."""
    with driven(path) as made:
        yield made


def put(connection: Connection, key: str) -> None:
    facts.put(connection, "test", key, "")


def keys(path: Path) -> list[str]:
    """Return the keys that are on the disk, as another process sees them."""
    with state_opened(path) as connection:
        return sorted(fact.key for fact in facts.every(connection, "test", NOW))


def test_what_is_answered_is_on_the_disk(it: Driven, path: Path) -> None:
    """Another process reads it at once, while ours goes on."""
    it.answer(it.store.run(put, "a"))
    assert keys(path) == ["a"]
    with state_opened(path) as connection:
        facts.put(connection, "test", "b")
    assert it.answer(it.store.run(facts.get, "test", "b", NOW)) == ""


def test_calls_that_wait_together_are_one_transaction(it: Driven, path: Path) -> None:
    """In their order, and one that raises undoes its own work alone."""
    begun, go_on = Event(), Event()

    def hold(connection: Connection) -> None:
        begun.set()
        assert go_on.wait(PATIENCE)

    def fail(connection: Connection) -> None:
        put(connection, "undone")
        raise LookupError

    def ordered(name: str) -> Callable[[None], None]:
        return lambda _: order.append(name)

    held = it.store.run(hold)
    assert begun.wait(PATIENCE)
    order: list[str] = []
    answers = []
    for name in ("a", "b", "c"):
        answers.append(it.store.run(put, name).addCallback(ordered(name)))
    failed = it.store.run(fail)
    changes = it.store.run(lambda connection: connection.total_changes)
    assert it.store.queued == 5
    go_on.set()
    it.answer(held)
    for answer in answers:
        it.answer(answer)
    with pytest.raises(LookupError):
        it.answer(failed)
    it.answer(changes)
    assert order == ["a", "b", "c"]
    assert keys(path) == ["a", "b", "c"]


def test_a_mistake_in_one_statement_harms_no_other(it: Driven, path: Path) -> None:
    """It is its caller's, and no trouble with the file."""
    wrong = it.store.run(lambda connection: connection.execute("SELECT nothing FROM nowhere"))
    right = it.store.run(put, "a")
    with pytest.raises(sqlite3.OperationalError):
        it.answer(wrong)
    it.answer(right)
    assert keys(path) == ["a"]
    assert it.told == []


def test_the_queue_is_bounded(path: Path) -> None:
    """A call beyond it fails at once; so does one behind the end."""
    made = Driven(path)
    waiting = [made.store.run(put, str(number)) for number in range(QUEUE)]
    with pytest.raises(PoolBusy):
        made.answer(made.store.run(put, "one more"))
    made.store.start()
    assert made.store.stop(PATIENCE)
    made.answer(waiting[-1])
    assert len(keys(path)) == QUEUE
    with pytest.raises(PoolBusy):
        made.answer(made.store.run(put, "too late"))


def test_a_server_without_a_state_file(tmp_path: Path) -> None:
    """Every call fails at once, and nothing is started."""
    store = Store(None, Reactor().callFromThread)
    store.start()
    found: list[object] = []
    store.run(put, "a").addErrback(lambda failure: found.append(failure.trap(StateTrouble)))
    assert found == [StateTrouble]
    assert not store.is_configured
    assert store.stop()


def test_a_file_that_breaks_is_told_once_and_used_again_when_it_is_mended(it: Driven, path: Path) -> None:
    """Without a restart; the reason has the remedy."""
    it.answer(it.store.run(put, "a"))
    blocker = open_state(path)
    blocker.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    blocker.close()
    with open(path, "r+b") as file:
        file.write(b"rubbish" * 1000)
    for _ in range(3):
        it.reactor.advance(2)
        with pytest.raises(StateTrouble):
            # A fresh connection reads the file and not its cache.
            it.answer(it.store.run(lambda connection: connection.execute("SELECT * FROM facts").fetchall()))
    assert len(it.told) == 1
    assert it.told[0] is not None
    assert "mv " in it.told[0]
    for name in path.parent.iterdir():
        name.unlink()
    assert it.store.generation == 0
    it.reactor.advance(2 * AGAIN)
    it.answer(it.store.run(put, "b"))
    assert it.told[-1] is None
    assert keys(path) == ["b"]
    # Nothing of the other file is in it.
    assert it.store.generation == 1


def test_a_file_that_was_removed_is_told_and_begun_anew(it: Driven, path: Path) -> None:
    """Without a restart, once for each loss; and what was meant for the other file does not come into it."""
    it.answer(it.store.run(put, "a"))
    assert it.answer(it.store.run_of(0, facts.get, "test", "a", NOW)) == ""
    for loss in (1, 2):
        before = time.time()
        for name in path.parent.iterdir():
            name.unlink()
        for _ in range(2):
            with pytest.raises(StateTrouble, match=r"removed or replaced.*user otp NAME --recovery"):
                it.answer(it.store.run(put, "b"))
        assert not path.exists()
        it.reactor.advance(AGAIN)
        with pytest.raises(StateTrouble, match="removed or replaced"):
            it.answer(it.store.run_of(loss - 1, put, "of before"))
        it.answer(it.store.run_of(loss, put, "c"))
        assert keys(path) == ["c"]
        with state_opened(path) as connection:
            assert (begun_at(connection) or 0.0) >= before
        assert (it.store.generation, len(it.told), it.told[-1]) == (loss, 2 * loss, None)


def test_an_older_file_in_its_place_is_marked(it: Driven, path: Path) -> None:
    """As begun now: codes that were used since it was copied would count again. One that is younger is not."""
    it.answer(it.store.run(put, "a"))
    for begun, is_marked in ((1000.0, True), (time.time() + 1000, False), (None, True)):
        other = path.with_name("other.db")
        with state_opened(other) as connection:
            facts.remove(connection, BEGUN, "")
            if begun is not None:
                facts.put(connection, BEGUN, "", repr(begun))
            connection.execute("PRAGMA journal_mode = DELETE")
        before = time.time()
        for name in path.parent.glob("state.db-*"):
            name.unlink()
        other.rename(path)
        with pytest.raises(StateTrouble):
            it.answer(it.store.run(put, "b"))
        it.reactor.advance(AGAIN)
        noted = it.answer(it.store.run(begun_at))
        assert noted is not None
        assert (before <= noted <= time.time()) is is_marked, begun


def test_several_processes_write_at_once(tmp_path: Path, path: Path) -> None:
    """A new file too: each of them migrates it or waits, and every number is handed out once."""
    script = (
        "import sys; from pathlib import Path; from ftpsd.durable.opening import state_opened\n"
        "for _ in range(25):\n"
        "    with state_opened(Path(sys.argv[1])) as c:\n"
        "        c.execute('BEGIN IMMEDIATE')\n"
        '        n = c.execute("SELECT count(*) FROM facts").fetchone()[0]\n'
        "        c.execute(\"INSERT INTO facts VALUES ('n', ?, '', NULL)\", (str(n).encode(),))\n"
        "        c.execute('COMMIT')\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = [subprocess.Popen([sys.executable, "-c", script, str(path)], env=environ) for _ in range(3)]
    assert [process.wait(PATIENCE * 4) for process in running] == [0, 0, 0]
    with state_opened(path) as connection:
        assert len(list(facts.every(connection, "n", NOW))) == 75
