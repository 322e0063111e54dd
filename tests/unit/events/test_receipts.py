"""Receipts: what they say, what openssl thinks of them, the shelf that they lie on, and who gets one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from ftpsd.config.people.user_records import ReceiptTerms, UserRecord
from ftpsd.config.receipts.receipt_files import SigningFiles
from ftpsd.events.receipts import receipt_shelf
from ftpsd.events.receipts.receipt_giving import PATIENCE, THREADS, Receipts, is_wanted
from ftpsd.events.receipts.signed_receipt import Signer, content_of, moment_of, name_of
from ftpsd.events.record_tables import Record
from ftpsd.events.sinks.receiver import NotTaken
from ftpsd.storage.base import Kind, Storage, StorageError
from ftpsd.storage.disk.names import RESERVED_PREFIX
from ftpsd.storage.file_systems import NOTHING
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import VirtualPath
from tests.e2e.polling import eventually
from tests.tools import require_tool

TERMS = ReceiptTerms(VirtualPath(("receipts",)), frozenset({"uploads", "downloads"}), 100.0, 3)
STORED = {"time": "2026-12-01T09:30:12.250134Z", "event": "file-stored", "user": "acme", "path": "/in/a", "bytes": 5}


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> tuple[SigningFiles, Path]:
    """A pair made with openssl, and the file of its certificate."""
    folder = tmp_path_factory.mktemp("signing")
    key = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=receipts", "-days", "30"]
    command = [require_tool("openssl"), "req", "-x509", *key, "-keyout", f"{folder}/key", "-out", f"{folder}/pem"]
    subprocess.run(command, check=True, capture_output=True)
    return SigningFiles((folder / "pem").read_bytes(), (folder / "key").read_bytes()), folder / "pem"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Storage]:
    """The home of a user."""
    jail = LocalJail.open(tmp_path, uploads=UploadPolicy(), owner="server")
    yield jail
    jail.close()


def verified(receipt: bytes, authority: Path) -> bytes | None:
    """Return what openssl says was signed, None where it refuses."""
    command = [require_tool("openssl"), "cms", "-verify", "-CAfile", str(authority)]
    done = subprocess.run(command, input=receipt, capture_output=True)
    return done.stdout if done.returncode == 0 else None


def test_openssl_verifies_a_receipt_and_shows_what_it_says(signing: tuple[SigningFiles, Path]) -> None:
    """The facts of the event and no others; names from clients are values, in ASCII."""
    files, authority = signing
    evil = '/in/"\n--=\x1b[2J\u202e\udc80'
    data = {**STORED, "path": evil, "sha256": "ab" * 32, "verdict": "clean", "listener": "explicit:21"}
    content = content_of("id-1", data, "files1")
    receipt = Signer(files).sign(content)
    assert receipt.isascii()
    assert b"\x1b" not in receipt
    told = verified(receipt, authority)
    assert told is not None
    found = json.loads(told)
    assert found["path"] == evil
    assert (found["id"], found["server"], found["transfer"], found["user"]) == ("id-1", "files1", "file-stored", "acme")
    assert (found["bytes"], found["sha256"], found["verdict"]) == (5, "ab" * 32, "clean")
    assert "listener" not in found


def test_what_is_not_the_receipt_does_not_verify(signing: tuple[SigningFiles, Path], tmp_path: Path) -> None:
    """Each changed fact, a signature of another receipt, and that of somebody else."""
    files, authority = signing
    receipt = Signer(files).sign(content_of("id-1", STORED, "files1"))
    assert verified(receipt, authority)
    for old, new in ((b"acme", b"acmi"), (b'"bytes": 5', b'"bytes": 6'), (b"id-1", b"id-2"), (b"09:30", b"09:31")):
        assert old in receipt
        assert verified(receipt.replace(old, new), authority) is None, old
    other = Signer(files).sign(content_of("id-2", STORED, "files1"))
    head, mark, _ = receipt.partition(b"Content-Type: application/x-pkcs7-signature")
    assert verified(head + mark + other.partition(mark)[2], authority) is None
    key = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=receipts", "-days", "30"]
    command = [require_tool("openssl"), "req", "-x509", *key, "-keyout", f"{tmp_path}/key", "-out", f"{tmp_path}/pem"]
    subprocess.run(command, check=True, capture_output=True)
    stranger = SigningFiles((tmp_path / "pem").read_bytes(), (tmp_path / "key").read_bytes())
    assert verified(Signer(stranger).sign(content_of("id-1", STORED, "files1")), authority) is None


def test_names_are_by_time_and_read_back() -> None:
    """A name says when; others are no receipts."""
    name = name_of("9f86d081884c7d65-17", 1_764_581_412.9)
    assert name == "20251201T093012Z-9f86d081884c7d65-17.eml"
    assert moment_of(name) == 1_764_581_412.0
    for other in ("notes.eml", "20259901T093012Z-x.eml", "20251201T093012Z-a/b.eml", name + ".bak"):
        assert moment_of(other) is None, other


def test_the_shelf_is_bounded_and_aged(home: Storage, tmp_path: Path) -> None:
    """The oldest go when they are too many or too old; what is no receipt stays; nothing is written twice."""
    folder = tmp_path / "receipts"
    assert receipt_shelf.age(home, TERMS, 0.0) == 0
    names = [name_of(f"id-{number}", 1000.0 + number) for number in range(6)]
    for name in names:
        receipt_shelf.put(home, TERMS.directory, name, b"content")
        receipt_shelf.put(home, TERMS.directory, name, b"other")
    (folder / "notes.txt").write_text("mine")
    assert {path.read_bytes() for path in folder.glob("*.eml")} == {b"content"}
    assert not [*folder.glob(f"{RESERVED_PREFIX}*")]
    assert receipt_shelf.age(home, TERMS, 1010.0) == 3
    assert sorted(path.name for path in folder.iterdir()) == [*names[3:], "notes.txt"]
    assert receipt_shelf.age(home, TERMS, 1104.5) == 2
    assert sorted(path.name for path in folder.iterdir()) == [names[5], "notes.txt"]


class Homes:
    """One user in one home; *fault* is raised when that is opened."""

    def __init__(self, home: Path, user: UserRecord) -> None:
        self.home = home
        self.user: UserRecord | None = user
        self.fault: StorageError | None = None

    def find(self, host: str, name: str) -> Deferred[UserRecord | None]:
        """Return the user."""
        found = self.user is not None and (host, name) == ("", self.user.name)
        return succeed(self.user if found else None)

    def open_own_part(self, host: str, user: UserRecord) -> Storage:
        """Open the home."""
        if self.fault is not None:
            raise self.fault
        return LocalJail.open(self.home, uploads=UploadPolicy(), owner="server")

    def getting_receipts(self) -> list[tuple[str, UserRecord]]:
        """Return the user."""
        return [] if self.user is None else [("", self.user)]


def record(number: int, **fields: Any) -> Record:
    """Return a record of the ledger."""
    data = {**STORED, **fields}
    return Record(number, f"id-{number}", str(data["event"]), 1000.0 + number, (), None, json.dumps(data))


def test_who_gets_a_receipt_and_of_what(signing: tuple[SigningFiles, Path], tmp_path: Path) -> None:
    """One for each transfer, once; none for users without, who are gone, and for the fetching of a receipt."""
    user = UserRecord("acme", None, tmp_path, receipts=TERMS)
    homes = Homes(tmp_path, user)
    receipts = Receipts(signing[0], lambda: homes, Clock(), lambda function, *args: function(*args))
    outcomes: list[object] = []

    def send(each: Record) -> None:
        before = len(outcomes)
        receipts.send([each]).addBoth(outcomes.append)
        eventually(lambda: len(outcomes) > before, "the receipt", 10)

    def there() -> list[str]:
        return sorted(path.name.partition("-")[2] for path in (tmp_path / "receipts").glob("*"))

    try:
        for each in (record(1), record(1), record(2, event="file-sent"), record(3, event="upload-published")):
            send(each)
        assert there() == ["id-1.eml", "id-2.eml", "id-3.eml"]
        for fields in ({"user": "other"}, {"user": None}, {"host": "other"}, {"path": "/receipts/x.eml"}):
            send(record(4, **fields))
        homes.user = replace(user, receipts=None)
        send(record(5))
        homes.user = None
        send(record(6))
        assert there() == ["id-1.eml", "id-2.eml", "id-3.eml"]
        assert outcomes == [None] * len(outcomes)
        homes.user, homes.fault = user, StorageError(Kind.NOT_FOUND)
        receipts.send([record(7)]).addErrback(lambda failure: outcomes.append(failure.value))
        eventually(lambda: isinstance(outcomes[-1], NotTaken), "the failure, which is tried again", 10)
    finally:
        receipts.stop()
    only = replace(user, receipts=replace(TERMS, of=frozenset({"downloads"})))
    assert not is_wanted(only, "file-stored", "/a")
    assert is_wanted(only, "file-sent", "/a")


class TwoHomes(Homes):
    """Two users: the home of `acme` hangs while *answers* is not set."""

    def __init__(self, hanging: Path, home: Path) -> None:
        super().__init__(hanging, UserRecord("acme", None, hanging, receipts=TERMS))
        self.other = UserRecord("bob", None, home, receipts=TERMS)
        self.answers = Event()

    def find(self, host: str, name: str) -> Deferred[UserRecord | None]:
        """Return the user."""
        return succeed(self.user if name == "acme" else self.other)

    def open_own_part(self, host: str, user: UserRecord) -> Storage:
        """Open the home, when it answers."""
        if user.name == "acme":
            self.answers.wait()
        return LocalJail.open(user.home, uploads=UploadPolicy(), owner="server")


def test_a_home_that_hangs_holds_up_no_receipts_of_others(signing: tuple[SigningFiles, Path], tmp_path: Path) -> None:
    """Its own are given up, and not begun again until it answers; then they are given, each once."""
    hanging, home = tmp_path / "hanging", tmp_path / "home"
    for directory in (hanging, home):
        directory.mkdir()
    homes, clock = TwoHomes(hanging, home), Clock()

    def waiting(directories: Iterable[Path]) -> dict[frozenset[str], list[Path]]:
        return {frozenset({"nfs"}) if each == hanging else NOTHING: [each] for each in directories}

    calls = SimpleQueue[Callable[[], object]]()
    receipts = Receipts(
        signing[0], lambda: homes, clock, lambda function, *args: calls.put(partial(function, *args)), waiting
    )
    given: list[object] = []
    failed: list[Failure] = []

    def comes(is_true: Callable[[], bool], what: str) -> None:
        def look() -> bool:
            while not calls.empty():
                calls.get()()
            return is_true()

        eventually(look, what, 10)

    def send(each: Record) -> None:
        receipts.send([each]).addCallbacks(given.append, failed.append)

    try:
        for number in range(2 * THREADS):
            send(record(number))
        comes(lambda: len(clock.getDelayedCalls()) == 2 * THREADS, "the receipts that wait")
        send(record(50, user="bob"))
        comes(lambda: len(given) == 1, "the receipt of the other")
        clock.advance(PATIENCE)
        assert len(failed) == 2 * THREADS
        send(record(51))
        comes(lambda: len(failed) == 2 * THREADS + 1, "the refusal at once")
        assert all(failure.check(NotTaken) for failure in failed)
        assert not clock.getDelayedCalls()
        homes.answers.set()
        comes(lambda: len([*(hanging / "receipts").glob("*.eml")]) == 2 * THREADS, "those that waited")

        def is_taken() -> bool:
            before, ended = len(given), len(given) + len(failed)
            send(record(51))
            comes(lambda: len(given) + len(failed) > ended, "an outcome")
            return len(given) > before

        comes(is_taken, "a further one")
    finally:
        homes.answers.set()
        receipts.stop()
    assert len([*(home / "receipts").glob("*.eml")]) == 1
