"""Opening the state file: its rights, its version, and each kind of trouble as a sentence with its remedy."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsd.durable import facts
from ftpsd.durable.opening import open_state, state_opened, trouble_with
from ftpsd.durable.state_trouble import StateTrouble, described
from ftpsd.durable.tables import VERSION


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def trouble(path: Path) -> str:
    """Return what opening and looking say, which is the same."""
    looked = trouble_with(path)
    with pytest.raises(StateTrouble) as raised:
        open_state(path)
    assert looked == str(raised.value)
    return looked


def test_a_new_file_is_its_owners_alone(path: Path) -> None:
    """And so is all that SQLite puts beside it; a commit is on the disk."""
    assert trouble_with(path) is None
    assert not path.exists()
    with state_opened(path) as connection:
        facts.put(connection, "test", "a", "b")
        modes = {name.name: stat.S_IMODE(name.stat().st_mode) for name in path.parent.iterdir()}
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
    assert trouble_with(path) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_roots_file_is_the_directorys_owners(path: Path) -> None:
    """The command line may come before the daemon has ever run."""
    os.chown(path.parent, 12345, 12345)
    with state_opened(path) as connection:
        facts.put(connection, "test", "a", "b")
        assert {name.stat().st_uid for name in path.parent.iterdir()} == {12345}


def make_open_to_others(path: Path) -> None:
    open_state(path).close()
    path.chmod(0o640)


def make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_newer(path: Path) -> None:
    connection = open_state(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()


def make_rubbish(path: Path) -> None:
    path.write_bytes(b"rubbish" * 1000)
    path.chmod(0o600)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (make_open_to_others, "chmod 600"),
        (make_link, "link"),
        (make_newer, "newer ftpsd"),
        (make_rubbish, "not a database; stop ftpsd and move it away"),
        (Path.mkdir, "no plain file"),
    ],
)
def test_a_file_that_cannot_be_used(path: Path, make: Callable[[Path], None], words: str) -> None:
    """Is left as it is."""
    make(path)
    before = path.lstat()
    assert words in trouble(path)
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)


def test_a_missing_directory(tmp_path: Path) -> None:
    """It is not made: its owner would be a guess."""
    assert "install -d" in trouble(tmp_path / "nowhere" / "state.db")


def test_a_damaged_file_is_found_before_it_is_needed(path: Path) -> None:
    """By the look through it; its first page, all that opening reads, is whole."""
    with state_opened(path) as connection:
        connection.execute("BEGIN")
        for number in range(2000):
            facts.put(connection, "test", str(number), "x" * 50)
        connection.execute("COMMIT")
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * (size // 4))
    assert "move it away" in (trouble_with(path) or "")


def test_an_older_file_is_brought_forward(path: Path) -> None:
    """From nothing at all, as an empty file is."""
    path.touch(0o600)
    with state_opened(path) as connection:
        facts.put(connection, "test", "a", "b")
        assert facts.get(connection, "test", "a", 0.0) == "b"


def test_facts_end_and_make_room(path: Path) -> None:
    """By their moment; above the number the ones that end first go, those without an end never."""
    with state_opened(path) as connection:
        for number in range(10):
            facts.put(connection, "a", str(number), "v", 100.0 + number)
        facts.put(connection, "a", "for ever", "w")
        facts.put(connection, "b", "other", "x", 101.0)
        assert facts.get(connection, "a", "3", 102.9) == "v"
        assert facts.get(connection, "a", "3", 103.0) is None
        facts.tidy(connection, "a", 101.0, 5)
        left = [fact.key for fact in facts.every(connection, "a", 0.0)]
        assert left == ["for ever", "9", "8", "7", "6", "5"]
        assert facts.remove(connection, "a", "9")
        assert not facts.remove(connection, "a", "9")
        assert facts.get(connection, "b", "other", 0.0) == "x"


def test_the_first_fact_stays(path: Path) -> None:
    """Of those that come at once one wins, and the others learn which."""
    with state_opened(path) as connection:
        assert facts.put_first(connection, "pin", "alice\udcff", "one", 0.0) == "one"
        assert facts.put_first(connection, "pin", "alice\udcff", "two", 0.0) == "one"
        assert [fact.key for fact in facts.every(connection, "pin", 0.0)] == ["alice\udcff"]


def test_a_full_disk_is_named(path: Path) -> None:
    """With what to do; nothing of the transaction stays."""
    connection = open_state(path)
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError) as raised:
        facts.put(connection, "test", "a", "x" * 100_000)
    connection.close()
    assert "make room" in str(described(path, raised.value))


# Files may not grow beyond a page meanwhile, as on a full disk: EFBIG in place of ENOSPC.
FULL = """
import resource, signal, sys
from pathlib import Path
from ftpsd.durable.opening import open_state
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
open_state(Path(sys.argv[1])).close()
"""


def test_a_disk_without_room_is_found_at_the_opening(path: Path) -> None:
    """And not by the first login: the file would be usable and not usable in turns."""
    with state_opened(path):
        full = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, timeout=60)
    assert full.returncode == 1
    assert "StateTrouble" in full.stderr
