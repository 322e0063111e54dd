"""
Events and SIGKILL: for every 226 at least one delivery with one id, for nothing that is not published any.

`FTPSD_KILLS=1000` has as many rounds of the four clients; an ordinary run has ten.
"""

from __future__ import annotations

import ftplib
import os
import random
import signal
import sqlite3
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import EXPLICIT, content, log_in, upload
from tests.e2e.daemon import Account
from tests.e2e.polling import eventually
from tests.e2e.processes.pair import both_serve, pids
from tests.events.receiver import Hooks
from tests.reliability.conftest import Mount, StartMortal
from tests.reliability.deaths import DEAD, LIVES, MANY_WORKERS, Course, die
from tests.reliability.mortal import MortalDaemon
from tests.reliability.test_kill_points import published

KILLS = int(os.environ.get("FTPSD_KILLS", "10"))
CLIENTS = 4
NOT_DONE = "451 Nothing was done"


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[Hooks]:
    """A receiver that fails half the time."""
    chance, mutex = random.Random(4711), threading.Lock()

    def sometimes(_: object, __: dict[str, Any]) -> int:
        with mutex:
            return chance.choice((200, 500))

    receiver = Hooks(tmp_path, sometimes)
    yield receiver
    receiver.stop()


def asked(daemon: MortalDaemon, query: str) -> list[tuple[Any, ...]]:
    """Return the answer of the state file."""
    with closing(sqlite3.connect(f"file:{daemon.folder / 'state.db'}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(query).fetchall()


def settled(daemon: MortalDaemon) -> dict[str, list[str]]:
    """Return the ids of the ledger's events by path, as soon as nothing is to be settled any more."""
    eventually(lambda: asked(daemon, "SELECT count(*) FROM intents WHERE NOT is_held") == [(0,)], "settled", 30)
    found: dict[str, list[str]] = defaultdict(list)
    for id, path in asked(
        daemon,
        "SELECT id, coalesce(json_extract(data, '$.path'), json_extract(data, '$.new')) FROM events ORDER BY number",
    ):
        found[path].append(id)
    return found


class Uploader(threading.Thread):
    """A client that uploads until the daemon is dead; *done* are the names that were answered with 226."""

    def __init__(self, daemon: MortalDaemon, account: Account, name: str, done: set[str]) -> None:
        super().__init__(daemon=True)
        self._to = daemon, account
        self._name = name
        self._done = done
        self.is_over = False

    def run(self) -> None:
        """Upload."""
        daemon, account = self._to
        with suppress(*DEAD):
            ftp = log_in(daemon, EXPLICIT, account)
            ftp.sendcmd("TYPE I")
            for number in range(10_000):
                if self.is_over:
                    return
                name = f"{self._name}-{number}"
                is_temporary = number % 3 == 0
                size = 200_000 if number % 5 == 0 else 900
                if upload(ftp, name + ".tmp" * is_temporary, content(size) + name.encode()).startswith("226"):
                    if is_temporary:
                        ftp.rename(name + ".tmp", name)
                    self._done.add(name)


def test_sigkill_under_four_clients(start_mortal: StartMortal, hooks: Hooks) -> None:
    """At moments of chance; the receiver fails half the time, and what it gets is there, whole, under that name."""
    sink = hooks.sink(longest_pause="1s", attempts=1000, at_once=16)
    daemon = start_mortal({"events": {"sinks": [sink]}, "uploads": {"durable": False}}, has_faults=False)
    account = daemon.account()
    done: set[str] = set()
    chance = random.Random(15)
    for number in range(KILLS):
        clients = [Uploader(daemon, account, f"{number}-{client}", done) for client in range(CLIENTS)]
        wanted = len(done) + chance.randint(2, 25)
        for client in clients:
            client.start()
        eventually(lambda wanted=wanted: len(done) >= wanted, "uploads", 60)  # type: ignore[misc]
        daemon.sigkill()
        for client in clients:
            client.join(30)
        daemon.restart()
    compare(daemon, account, hooks, done)


def test_sigkill_with_two_processes(start_mortal: StartMortal, hooks: Hooks) -> None:
    """Of the one that delivers, of the other one, and of the supervisor, whose processes end beside the next server."""
    sink = hooks.sink(longest_pause="1s", attempts=1000, at_once=16)
    changes = {"events": {"sinks": [sink]}, "uploads": {"durable": False}, "processes": 2}
    daemon = start_mortal(changes, has_faults=False)
    both_serve(daemon)
    account = daemon.account()
    done: set[str] = set()
    chance = random.Random(15)
    for number in range(max(3, KILLS // 3)):
        clients = [Uploader(daemon, account, f"{number}-{client}", done) for client in range(CLIENTS)]
        wanted = len(done) + chance.randint(5, 25)
        for client in clients:
            client.start()
        eventually(lambda wanted=wanted: len(done) >= wanted, "uploads", 60)  # type: ignore[misc]
        if number % 3 == 2:
            daemon.sigkill()
            daemon.restart()
        else:
            os.kill(pids(daemon)[number % 3], signal.SIGKILL)
        for client in clients:
            client.is_over = True
            client.join(60)
        both_serve(daemon)
    compare(daemon, account, hooks, done)


def compare(daemon: MortalDaemon, account: Account, hooks: Hooks, done: set[str]) -> None:
    """A published file has one event, which is delivered; nothing else has any; all that is *done* is published."""
    events = settled(daemon)
    files = published(account.home)
    final = {name for name in files if not name.endswith(".tmp")}
    assert done <= final
    # Every file that is there under its own name has one event, and there is no other event.
    assert {path.lstrip("/") for path in events} == final
    assert {path: ids for path, ids in events.items() if len(ids) != 1} == {}
    expected = {ids[0] for ids in events.values()}
    eventually(lambda: expected <= {event["id"] for event in hooks.taken}, "every delivery", 120)
    for event in hooks.taken:
        data = event["data"]
        assert event["id"] == events[data["path"]][0]
        assert sha256(files[data["path"].lstrip("/")]).hexdigest() == data["sha256"]
    assert any(hook.status == 500 for hook in hooks.got)
    print(f"{len(done)} answered, {len(final)} published, {len(hooks.got)} requests")


Doing = Callable[[ftplib.FTP, str], str]


def _stored(ftp: ftplib.FTP, name: str) -> str:
    return upload(ftp, name, content(20_000))


def _renamed(ftp: ftplib.FTP, name: str) -> str:
    upload(ftp, f"{name}.filepart", content(20_000))
    return ftp.rename(f"{name}.filepart", name)


def _copied(ftp: ftplib.FTP, name: str) -> str:
    ftp.sendcmd("SITE CPFR source")
    return ftp.sendcmd(f"SITE CPTO {name}")


def test_killed_before_each_call(start_mortal: StartMortal) -> None:
    """Also between the rename that publishes and the ledger: a file that is there has one event, and no other has."""
    daemon = start_mortal({"events": {"sinks": []}, "workers": MANY_WORKERS})
    account = daemon.account()
    (account.home / "source").write_bytes(content(5000))
    acts: dict[str, Doing] = {"stored": _stored, "renamed": _renamed, "copied": _copied}
    courses = {kind: Course(kind) for kind in acts}
    answered: set[str] = set()
    found_out: Counter[str] = Counter()
    for life in range(1, LIVES + 1):
        turns = []
        for kind, course in courses.items():
            for at in course.calls(life):
                ftp = log_in(daemon, EXPLICIT, account)
                ftp.sendcmd("TYPE I")
                turns.append((kind, at, ftp))
        fates = die(daemon, [(at, partial(acts[kind], ftp, f"{kind}-{at}")) for kind, at, ftp in turns])
        for _, _, ftp in turns:
            ftp.close()
        if daemon.exit_code is not None:
            daemon.restart()
        events = settled(daemon)
        files = {f"/{name}" for name in published(account.home) if name != "source" and "." not in name}
        assert set(events) == files, (turns, fates)
        assert all(len(ids) == 1 for ids in events.values())
        for (kind, at, _), fate in zip(turns, fates, strict=True):
            assert fate.call or fate.is_done, (kind, at, fate)
            courses[kind].note(at, fate)
            if fate.is_done:
                answered.add(f"{kind}-{at}")
            found_out[kind] += f"/{kind}-{at}" in events and not fate.is_done
    assert answered <= {path[1:] for path in settled(daemon)}
    for course in courses.values():
        course.check(8)
        print(f"{found_out[course.name]} events found out by a look at the disk")
        assert found_out[course.name] >= 2, "no death came between the rename and the ledger"


def test_a_ledger_without_room(start_mortal: StartMortal, mount: Mount, tmp_path: Path) -> None:
    """Nothing is published while it cannot be on record: 451, and 226 again as soon as there is room, with events."""
    folder = tmp_path / "state"
    folder.mkdir()
    mount(folder, "400k")
    daemon = start_mortal({"events": {}, "state": str(folder / "state.db")})
    account = daemon.account()
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    assert upload(ftp, "before", b"data").startswith("226")
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"-")
    answers = []
    for number in range(400):
        try:
            answers.append(upload(ftp, f"during-{number}", b"data"))
        except ftplib.error_temp as error:
            answers.append(str(error))
            break
    refused = len(answers) - 1
    assert answers[-1].startswith(NOT_DONE)
    assert f"during-{refused}" not in published(account.home)
    filler.unlink()

    def again() -> bool:
        try:
            return upload(ftp, "after", b"data").startswith("226")
        except ftplib.error_temp:
            return False

    eventually(again, "an upload that is taken again", 30)
    with closing(sqlite3.connect(folder / "state.db", timeout=10)) as connection:
        rows = connection.execute("SELECT json_extract(data, '$.path') FROM events ORDER BY number").fetchall()
    names = ["before", *(f"during-{number}" for number in range(refused)), "after"]
    assert [path for (path,) in rows] == [f"/{name}" for name in names]
    assert set(published(account.home)) == set(names)
