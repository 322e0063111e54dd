"""Quotas: whatever happens, and whoever is at work, the account is what a fresh count finds."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftpsd.storage.base import Sink, StorageError, Terms
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.quota.account import QuotaAccount
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.quota import Quota, Usage
from tests.contracts.storages import at, write
from tests.unit.storage.accounts import POLICIES, fresh, opened

pytestmark = pytest.mark.slow

# A step draws at most eight numbers; a draw of each by itself takes longer than what is done with it.
MOST_STEPS = 30
NUMBERS = 8 * MOST_STEPS


class Life:
    """A user's doings, drawn from numbers; *sinks* are uploads under way."""

    PATHS = ("/a", "/b", "/d", "/d/a", "/d/e", "/d/e/a", "/f/b")

    def __init__(self, storages: list[LocalJail], draw: Callable[[int], int]) -> None:
        self._storages = storages
        self._draw = draw
        self._sinks: list[Sink] = []

    def step(self) -> None:
        """Do one thing; what is refused is done as far as it was."""
        with suppress(StorageError):
            self._do(self._draw(13))

    def end(self) -> None:
        """Give up what is under way."""
        while self._sinks:
            self._sinks.pop().abort()

    def _do(self, what: int) -> None:
        storage = self._storages[self._draw(len(self._storages))]
        path = at(self.PATHS[self._draw(len(self.PATHS))])
        data = memoryview(b"x" * self._draw(60))
        if what <= 3:
            sink = storage.open_sink(path, Terms(offset=self._draw(2) * self._draw(40), append=self._draw(3) == 0))
            self._sinks.append(sink)
            if self._draw(3):
                sink.write(data)
        elif what <= 5 and self._sinks:
            self._sinks.pop(self._draw(len(self._sinks))).commit()
        elif what == 6 and self._sinks:
            self._sinks.pop(self._draw(len(self._sinks))).abort()
        elif what == 7 and self._sinks:
            self._write(self._draw(len(self._sinks)), data)
        elif what == 8:
            storage.make_directory(path)
        elif what == 9:
            storage.remove_directory(path)
        elif what == 10:
            storage.remove_file(path)
        elif what == 11:
            other = at(self.PATHS[self._draw(len(self.PATHS))])
            storage.rename(path, other, may_replace=self._draw(4) > 0)
        elif what == 12:
            storage.make_link(path, at(self.PATHS[self._draw(len(self.PATHS))]))

    def _write(self, index: int, data: memoryview) -> None:
        try:
            self._sinks[index].write(data)
        except StorageError:
            self._sinks.pop(index).abort()
            raise


def lives(home: Path, account: QuotaAccount, policy: UploadPolicy, draw: Callable[[int], int]) -> Life:
    """Return the doings of two users in one home."""
    return Life([opened(home, account, Quota(400, 8), policy=policy, owner=owner) for owner in ("one", "two")], draw)


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=150)
@given(drawn=st.binary(min_size=NUMBERS, max_size=NUMBERS), steps=st.integers(1, MOST_STEPS))
def test_the_account_is_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, policy: str, drawn: bytes, steps: int
) -> None:
    """After whatever two users do, the account is what a fresh count finds, and never above the quota."""
    home = tmp_path_factory.mktemp("home")
    account = QuotaAccount(home)
    assert account.count()
    numbers = iter(drawn)
    life = lives(home, account, POLICIES[policy], lambda below: next(numbers) % below)
    for _ in range(steps):
        life.step()
        assert account.used == fresh(home)
        assert account.counted.bytes <= 400
        assert account.used.bytes <= 800  # with copies that are about to replace what they are of
        assert account.used.files <= 9  # one more while a file is replaced
    life.end()
    assert account.used == account.counted == fresh(home)
    assert account.count()
    assert account.used == account.counted == fresh(home)


@pytest.mark.parametrize("is_counting", [False, True], ids=["alone", "with-counts"])
@pytest.mark.parametrize("seed", range(4))
def test_four_threads_and_a_count(home: Path, seed: int, is_counting: bool) -> None:
    """While four threads are at work, and count follows count, nothing is counted twice or passed by."""
    account = QuotaAccount(home)
    for number in range(300):
        (home / f"old{number}").write_bytes(b"x" * number)
    assert account.count()
    problems: list[BaseException] = []

    def work(number: int) -> None:
        chance = random.Random(seed * 100 + number)
        life = Life([opened(home, account, owner=f"{number}"), opened(home, account)], chance.randrange)
        try:
            for _ in range(600):
                life.step()
            life.end()
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while is_counting and any(thread.is_alive() for thread in threads):
        assert account.count()
    for thread in threads:
        thread.join()
    assert problems == []
    assert account.used == account.counted == fresh(home)


@pytest.mark.parametrize("moment", range(1, 5))
@pytest.mark.parametrize(("old", "new"), [("/a/x", "/b/x"), ("/b/x", "/a/x"), ("/a/d", "/b/d"), ("/b/d", "/a/d")])
def test_what_moves_during_a_count(home: Path, moment: int, old: str, new: str) -> None:
    """A file or directory that is renamed while the walk is under way is counted once: not twice, and not never."""
    for name in "ab":
        (home / name / "d2").mkdir(parents=True)
    source = home / at(old).parts[0]
    (source / "x").write_bytes(b"123")
    (source / "d").mkdir()
    (source / "d" / "y").write_bytes(b"12345")
    account = QuotaAccount(home)
    storage = opened(home, account)
    asked = 0

    def before_each_directory() -> bool:
        nonlocal asked
        asked += 1
        if asked == moment:
            storage.rename(at(old), at(new))
        return False

    assert account.count(is_stopped=before_each_directory)
    assert account.used == fresh(home)


def test_two_uploads_at_the_edge(home: Path) -> None:
    """Two threads that upload at once get exactly what there is between them, and give it back."""
    account = QuotaAccount(home)
    assert account.count()
    together, over = threading.Barrier(2), threading.Barrier(3)

    def upload(name: str) -> None:
        sink = opened(home, account, Quota(bytes=100_000)).open_sink(at(name))
        together.wait()
        with suppress(StorageError):
            while True:
                write(sink, b"x" * 7)
        over.wait()
        over.wait()
        sink.abort()

    threads = [threading.Thread(target=upload, args=(name,)) for name in ("/a", "/b")]
    for thread in threads:
        thread.start()
    over.wait()
    assert account.used == fresh(home) == Usage(100_000, 2)
    over.wait()
    for thread in threads:
        thread.join()
    assert account.used == fresh(home) == Usage()
