"""
Attacks: somebody with a shell changes the tree in a loop while the server works in it.

One comes before each system call of each operation in turn; the others run beside the server, and come when they come.
Nothing outside is read, changed or removed, whatever the operations answer.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count, product
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, Storage, StorageError
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.storage.uploads.sweep import sweep_partials
from tests.contracts.storages import at, entries, get, put
from tests.reliability.faults import CHANGING, READING
from tests.unit.storage.conftest import FAST, SECRET, OpenJail

pytestmark = pytest.mark.slow

# For what no step before a system call shows: what comes while one is made.
DURATION = 0.25
MOST = 30.0
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2): there is always something under the name
_AT_FDCWD = -100

# The answers of a walk that meets a swapped directory; anything else would be a surprise.
CALM = {Kind.NOT_FOUND, Kind.NOT_A_DIRECTORY, Kind.TOO_MANY_LINKS, Kind.EXISTS, Kind.IS_A_DIRECTORY, Kind.NOT_REGULAR}
CALM |= {Kind.NO_LINKS}


_LIBC = ctypes.CDLL(None)


def exchange(first: Path, second: Path) -> None:
    """Swap two names in one step."""
    done = _LIBC.renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _EXCHANGE)
    if done:
        pytest.skip("no RENAME_EXCHANGE here")


@contextmanager
def attacker(step: Callable[[], None]) -> Iterator[None]:
    """Run *step* in a loop beside the test, in a process of its own so that it really runs at the same time."""
    child = os.fork()
    if child == 0:
        try:
            while os.getppid() != 1:
                step()
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def is_on(start: float, seconds: float, *, shows: bool) -> bool:
    """Tell whether an attack since *start* goes on: for so many *seconds*, and longer until it *shows*."""
    passed = time.monotonic() - start
    return passed < seconds or (not shows and passed < MOST)


def work(storage: Storage, operations: list[Callable[[Storage], object]]) -> tuple[int, int]:
    """Repeat *operations* for the duration of an attack, until it shows; return how many went well and how many not."""
    good = bad = 0
    start = time.monotonic()
    while is_on(start, DURATION, shows=good > 0 < bad):
        for operation in operations:
            try:
                operation(storage)
                good += 1
            except StorageError as error:
                if error.kind not in CALM:
                    raise
                bad += 1
    return good, bad


def read(storage: Storage) -> None:
    """Download through the place that is being swapped."""
    assert get(storage, "/d/secret") == b"mine"


def read_link(storage: Storage, path: str) -> None:
    """Download through a link that was made while the place was being swapped."""
    assert get(storage, path) == b"mine"


@pytest.fixture
def bait(home: Path, outside: Path) -> Path:
    """Return the home with a directory /d beside a link that leads out; both have a file "secret"."""
    (home / "d").mkdir()
    (home / "d/secret").write_bytes(b"mine")
    (home.parent / "link").symlink_to(outside)
    return home


OPERATIONS: list[Callable[[Storage], object]] = [
    read,
    lambda storage: put(storage, "/d/new", b"x"),
    lambda storage: put(storage, "/d/secret", b"mine"),
    lambda storage: storage.stat(at("/d/secret")),
    lambda storage: storage.make_directory(at("/d/made")),
    lambda storage: storage.remove_directory(at("/d/made")),
    lambda storage: storage.rename(at("/d/new"), at("/d/newer")),
    lambda storage: storage.remove_file(at("/d/newer")),
    lambda storage: storage.make_link(at("/d/link"), at("/d/secret")),
    lambda storage: read_link(storage, "/d/link"),
    lambda storage: storage.make_link(at("/link-in"), at("/d/secret")),
    lambda storage: read_link(storage, "/link-in"),
    lambda storage: storage.remove_file(at("/d/link")),
    lambda storage: storage.remove_file(at("/link-in")),
    lambda storage: storage.set_mode(at("/d/secret"), 0o640),
    lambda storage: storage.set_modified(at("/d/secret"), 10**18),
    lambda storage: entries(storage, "/d"),
    lambda storage: entries(storage, "/"),
]


class Moments:
    """The system calls of this process; *step* is done before one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: Callable[[], None]) -> None:
        self._step = step
        self._left = 0
        for name in (*CHANGING, *READING, "readlink", "listdir", "lstat", "chmod"):
            if hasattr(os, name):
                monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def strikes(self, at: int, act: Callable[[], object]) -> bool:
        """Do *act*, and the step before its call *at*; tell whether it made as many."""
        self._left = at
        try:
            act()
        except StorageError as error:
            if error.kind not in CALM:
                raise
        finally:
            is_done, self._left = self._left <= 0, 0
        return is_done

    def _counted(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            self._left -= 1
            if self._left == 0:
                self._step()
            return real(*arguments, **options)

        return call


@pytest.mark.parametrize("swapped", ["directory", "file"])
@pytest.mark.parametrize("atomic", [True, False])
def test_swapped_before_each_call(
    open_jail: OpenJail, bait: Path, outside: Path, atomic: bool, swapped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory, or a file, turns into a link out or back at any moment between two calls, and never leads out."""
    names = (bait / "d", bait.parent / "link")
    if swapped == "file":
        names = (bait / "d/secret", bait.parent / "link-to-file")
        names[1].symlink_to(outside / "secret")
    before = (outside / "secret").stat()
    moments = Moments(monkeypatch, lambda: exchange(*names))
    struck = 0
    for symlinks in ("inside", "none"):
        jail = open_jail(policy=UploadPolicy(atomic=atomic, durable=False), symlinks=symlinks)
        for operation, is_out_before in product(OPERATIONS, (False, True)):
            for at_call in count(1):
                for undo in (*OPERATIONS[12:14], OPERATIONS[5]):
                    moments.strikes(0, partial(undo, jail))
                put(jail, "/d/new", b"x")
                if is_out_before:
                    exchange(*names)
                is_struck = moments.strikes(at_call, partial(operation, jail))
                if is_struck != is_out_before:
                    exchange(*names)
                struck += is_struck
                assert os.listdir(outside) == ["secret"]
                if not is_struck:
                    break
    after = (outside / "secret").stat()
    assert ((outside / "secret").read_bytes(), after.st_mode, after.st_mtime_ns) == (
        SECRET,
        before.st_mode,
        before.st_mtime_ns,
    )
    print(f"{struck} swaps")
    assert struck > 2 * 2 * 4 * len(OPERATIONS), "the calls are not seen any more"


@pytest.mark.parametrize("symlinks", ["inside", "none"])
@pytest.mark.parametrize("atomic", [True, False])
def test_directory_swapped_with_a_link_that_leads_out(
    open_jail: OpenJail, bait: Path, outside: Path, atomic: bool, symlinks: str
) -> None:
    """A directory that turns into a link out, back and forth, never leads out."""
    before = (outside / "secret").stat()
    jail = open_jail(
        policy=UploadPolicy(atomic=atomic, durable=False), symlinks="none" if symlinks == "none" else "inside"
    )
    with attacker(lambda: exchange(bait / "d", bait.parent / "link")):
        good, bad = work(jail, OPERATIONS)
    after = (outside / "secret").stat()
    assert os.listdir(outside) == ["secret"]
    assert ((outside / "secret").read_bytes(), after.st_mode, after.st_mtime_ns) == (
        SECRET,
        before.st_mode,
        before.st_mtime_ns,
    )
    assert good > 0 < bad  # else nothing was tested


def test_file_swapped_with_a_link_that_leads_out(open_jail: OpenJail, home: Path, outside: Path) -> None:
    """A file that turns into a link to the secret is never read as the secret, nor is the secret written."""
    (home / "d").mkdir()
    (home / "d/secret").write_bytes(b"mine")
    (home / "link").symlink_to(outside / "secret")
    with attacker(lambda: exchange(home / "d/secret", home / "link")):
        good, bad = work(
            open_jail(policy=UploadPolicy(atomic=False, durable=False)),
            [read, lambda storage: put(storage, "/d/secret", b"mine"), *OPERATIONS[8:16]],
        )
    assert (outside / "secret").read_bytes() == SECRET
    assert good > 0 < bad


def test_link_inside_retargeted(open_jail: OpenJail, home: Path, outside: Path) -> None:
    """A link that points inside and outside in turn is followed only when it points inside."""
    (home / "real").mkdir()
    (home / "real/secret").write_bytes(b"mine")
    (home / "d").symlink_to("real")
    (home / "link").symlink_to(outside)
    with attacker(lambda: exchange(home / "d", home / "link")):
        good, bad = work(open_jail(), OPERATIONS)
    assert os.listdir(outside) == ["secret"]
    assert (outside / "secret").read_bytes() == SECRET
    assert good > 0 < bad


def test_directory_moved_out_and_back(open_jail: OpenJail, home: Path, tmp_path: Path) -> None:
    """Links with `..` below a directory that is moved out of the home are not followed from where it is then."""
    (home / "d/e").mkdir(parents=True)
    (home / "d/e/up").symlink_to("../../secret")
    (home / "secret").write_bytes(b"mine")
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "x").mkdir()

    def move() -> None:
        with suppress(OSError):
            os.rename(home / "d", tmp_path / "x/d")
        with suppress(OSError):
            os.rename(tmp_path / "x/d", home / "d")

    def read_up(storage: Storage) -> None:
        assert get(storage, "/d/e/up") == b"mine"

    with attacker(move):
        good, bad = work(open_jail(), [read_up, lambda storage: storage.stat(at("/d/e/up"))])
    assert good > 0 < bad


def test_target_swapped_with_a_fifo(open_jail: OpenJail, home: Path) -> None:
    """A file that turns into a FIFO holds no worker and is never written to as one."""
    (home / "d").mkdir()
    (home / "d/secret").write_bytes(b"mine")
    os.mkfifo(home / "fifo")
    jail = open_jail(policy=UploadPolicy(atomic=False, durable=False))
    good = bad = 0
    start = time.monotonic()
    with attacker(lambda: exchange(home / "d/secret", home / "fifo")):
        while is_on(start, DURATION / 2, shows=good > 0 < bad):
            try:
                read(jail)
                good += 1
            except StorageError as error:
                if error.kind is not Kind.NOT_REGULAR:
                    raise
                bad += 1
    assert good > 0 < bad


def test_sweep_in_a_tree_that_changes(open_jail: OpenJail, bait: Path, outside: Path) -> None:
    """The sweep does not leave the home either."""
    victim = outside / (".ftpsd-" + "0" * 16 + "-" + "0" * 32)
    victim.write_bytes(SECRET)
    with attacker(lambda: exchange(bait / "d", bait.parent / "link")):
        end = time.monotonic() + DURATION / 2
        while time.monotonic() < end:
            sweep_partials(bait, 0)
    assert victim.read_bytes() == SECRET


def test_uploads_that_may_not_replace_never_do(open_jail: OpenJail, home: Path) -> None:
    """Of many who may only create one name, each round has one winner, and its bytes are whole."""
    storages = [open_jail(owner=f"user{number}") for number in range(4)]
    outcomes: list[list[int]] = []
    barrier = threading.Barrier(4)

    def upload(number: int, wins: list[int], path: str) -> None:
        barrier.wait()
        try:
            put(storages[number], path, b"%d" % number * 1000, may_replace=False)
            wins.append(number)
        except StorageError as error:
            if error.kind is not Kind.EXISTS:
                raise

    for round_number in range(100):
        wins: list[int] = []
        path = f"/{round_number}"
        threads = [threading.Thread(target=upload, args=(number, wins, path)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        outcomes.append(wins)
        assert (home / path[1:]).read_bytes() == b"%d" % wins[0] * 1000
    assert {len(wins) for wins in outcomes} == {1}


def test_close_during_work_reaches_no_other_directory(home: Path, outside: Path, open_jail: OpenJail) -> None:
    """A session that ends while its worker walks does not make the worker walk in the next session's home."""
    (home / "secret").write_bytes(b"mine")
    wrong: list[bytes] = []
    is_over = threading.Event()
    jails = [open_jail(policy=FAST)]

    def walk() -> None:
        while not is_over.is_set():
            with suppress(StorageError):
                data = get(jails[-1], "/secret")
                if data != b"mine":
                    wrong.append(data)

    thread = threading.Thread(target=walk)
    thread.start()
    end = time.monotonic() + DURATION / 2
    while time.monotonic() < end:
        jail = open_jail()
        jails.append(jail)
        jails.pop(0).close()
        os.close(os.open(outside, os.O_RDONLY))  # takes the number that became free
    is_over.set()
    thread.join()
    assert wrong == []
