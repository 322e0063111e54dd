"""COMB, and RANG with STOR, under a quota: what fits, what does not, and that what is counted is what is there."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT, Sessions, Way, begin, code, content, next_code, reply, upload
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually
from tests.e2e.storage.bounded import Bounded, logged_in
from tests.e2e.storage.conftest import StartWith, prepared
from tests.e2e.storage.ground import published, store, told, used

BYTES, FILES = 200_000, 4
QUOTA = {"quota": {"bytes": BYTES, "files": FILES}}
FULL = "552 Quota exceeded."
# The size received in memory and stored in one call, and the size that goes to the disk while it comes in.
SMALL, LARGE = 20_000, 80_000


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Daemon]:
    """A daemon whose users all have the same quota, each in a home of their own."""
    daemon = prepared(tmp_path_factory.mktemp("parts"), tls_files, [QUOTA] * 80)
    with daemon.running():
        yield daemon


@pytest.fixture
def user(bounded: Daemon, way: Way) -> Iterator[Bounded]:
    """A user nobody else uses, logged in; at the end the account must be exact, and the session alive."""
    with logged_in(bounded, way) as bound:
        yield bound


def put(user: Bounded, **files: int) -> None:
    """Upload files of these names and sizes."""
    for name, size in files.items():
        upload(user.ftp, name, content(size))


def ranged(user: Bounded, name: str, first: int, last: int, data: bytes) -> str:
    """Replace the bytes from *first* to *last* by *data*; return the last reply."""
    assert code(user.ftp, "TYPE I") == 200
    return store(user.ftp, f"STOR {name}", data, after=f"RANG {first} {last}")


class TestCombining:
    """The combination grows beside its parts, so it needs room of its own for as long as that takes."""

    def test_it_fits_to_the_byte(self, user: Bounded) -> None:
        """Afterwards the parts are gone, and so are their bytes."""
        put(user, one=SMALL, two=LARGE)
        assert told(user.ftp) == (BYTES // 2, 2, 0)
        assert reply(user.ftp, "COMB all one two") == "250 Combined."
        assert (user.home / "all").read_bytes() == content(SMALL) + content(LARGE)
        assert told(user.ftp) == used(user.home) == (BYTES // 2, 1, 0)

    @pytest.mark.parametrize("order", ["one two", "two one"])
    def test_one_byte_too_many(self, user: Bounded, order: str) -> None:
        """552, the parts are as they were, nothing else is there, and the audit log says so."""
        put(user, one=SMALL + 1, two=LARGE)
        assert reply(user.ftp, f"COMB all {order}") == FULL
        assert published(user.home) == {"one": SMALL + 1, "two": LARGE}
        assert told(user.ftp) == used(user.home) == (SMALL + 1 + LARGE, 2, 0)
        event = user.daemon.wait_for_event("quota-exceeded", user=user.account.name)
        assert (event["command"], event["path"]) == ("COMB", "/all")

    def test_behind_what_is_there(self, user: Bounded) -> None:
        """The bytes that the target holds are copied too, which needs no room: the target is about to be replaced."""
        put(user, all=SMALL, one=LARGE)
        assert reply(user.ftp, "COMB all one") == "250 Combined."
        assert (user.home / "all").read_bytes() == content(SMALL) + content(LARGE)
        assert told(user.ftp) == used(user.home) == (BYTES // 2, 1, 0)

    @pytest.mark.parametrize(("old", "part"), [(SMALL, 90_001), (LARGE, 60_001), (150_000, 25_001)])
    def test_behind_what_is_there_one_byte_too_many(self, user: Bounded, old: int, part: int) -> None:
        """552 in the part, which is there twice until it is deleted; both are as they were."""
        put(user, all=old, one=part)
        assert reply(user.ftp, "COMB all one") == FULL
        assert (user.home / "all").read_bytes() == content(old)
        assert (user.home / "one").read_bytes() == content(part)
        assert told(user.ftp) == used(user.home) == (old + part, 2, 0)

    def test_one_file_too_many(self, user: Bounded) -> None:
        """With as many parts as there may be files no target can be made; one part fewer, and one can."""
        put(user, a=1, b=2, c=3, d=4)
        assert reply(user.ftp, "COMB all a b c d") == FULL
        assert told(user.ftp) == used(user.home) == (10, 4, 0)
        assert reply(user.ftp, "COMB d a b c") == "250 Combined."
        assert (user.home / "d").read_bytes() == content(4) + content(1) + content(2) + content(3)
        assert told(user.ftp) == used(user.home) == (10, 1, 0)

    def test_the_room_that_was_freed_is_used_again(self, user: Bounded) -> None:
        """Refused, one file deleted, done: parts that were refused once are combined later."""
        put(user, other=SMALL, one=SMALL, two=LARGE)
        assert reply(user.ftp, "COMB all one two") == FULL
        assert code(user.ftp, "DELE other") == 250
        assert reply(user.ftp, "COMB all one two") == "250 Combined."
        put(user, more=BYTES // 2)
        assert told(user.ftp) == (BYTES, 2, 0)

    def test_parts_in_folders(self, user: Bounded) -> None:
        """The folders stay, and are counted."""
        assert code(user.ftp, "MKD parts") == 257
        upload(user.ftp, "parts/one", content(SMALL))
        upload(user.ftp, "parts/two", content(SMALL))
        assert reply(user.ftp, 'COMB "parts/all" "parts/one" "parts/two"') == "250 Combined."
        assert told(user.ftp) == used(user.home) == (2 * SMALL, 1, 1)


class TestRanges:
    """A range is replaced in a copy of the file, of which only what is added behind the end needs room."""

    @pytest.mark.parametrize(
        ("first", "last"),
        [(0, 9), (500, SMALL), (LARGE, 99_999), (99_990, 99_999), (0, 99_999)],
        ids=["beginning", "small", "large", "end", "all"],
    )
    def test_it_fits_to_the_byte(self, user: Bounded, first: int, last: int) -> None:
        """Half of the quota twice."""
        put(user, file=BYTES // 2)
        new = content(last + 1 - first)
        assert ranged(user, "file", first, last, new).startswith("226")
        old = content(BYTES // 2)
        assert (user.home / "file").read_bytes() == old[:first] + new + old[last + 1 :]
        assert told(user.ftp) == used(user.home) == (BYTES // 2, 1, 0)

    def test_it_grows_to_the_byte(self, user: Bounded) -> None:
        """A range that goes beyond the end makes the file longer."""
        put(user, file=LARGE)
        new = content(40_001)
        assert ranged(user, "file", LARGE - 1, 119_999, new[: 120_000 - LARGE + 1]).startswith("226")
        assert told(user.ftp) == used(user.home) == (120_000, 1, 0)

    @pytest.mark.parametrize(("first", "last"), [(0, 9), (0, 99_999), (1, 1), (1, 100_000)])
    def test_within_the_file_it_needs_no_room(self, user: Bounded, first: int, last: int) -> None:
        """Of a file that fills more than half of the quota: it replaces bytes and adds none."""
        size = BYTES // 2 + 1
        put(user, file=size)
        new = bytes(last + 1 - first)
        assert ranged(user, "file", first, last, new).startswith("226")
        old = content(size)
        assert (user.home / "file").read_bytes() == old[:first] + new + old[last + 1 :]
        assert told(user.ftp) == used(user.home) == (size, 1, 0)

    @pytest.mark.parametrize("first", [0, 1, 99_999])
    def test_one_byte_too_many(self, user: Bounded, first: int) -> None:
        """552 for what a range adds behind the end; the file is as it was, and what came in is gone."""
        size = BYTES // 2 + 1
        put(user, file=size)
        assert ranged(user, "file", first, BYTES, content(BYTES + 1 - first)) == FULL
        assert (user.home / "file").read_bytes() == content(size)
        assert told(user.ftp) == used(user.home) == (size, 1, 0)
        event = user.daemon.wait_for_event("quota-exceeded", user=user.account.name)
        assert (event["command"], event["path"]) == ("STOR", "/file")

    @pytest.mark.parametrize("size", [BYTES // 2 + 1, 150_000])
    def test_what_is_before_the_range_needs_no_room(self, user: Bounded, size: int) -> None:
        """Only what is added at the end does, to the byte."""
        put(user, file=size)
        assert ranged(user, "file", size, BYTES, content(BYTES + 1 - size)) == FULL
        assert (user.home / "file").read_bytes() == content(size)
        assert told(user.ftp) == used(user.home) == (size, 1, 0)
        assert ranged(user, "file", size, BYTES - 1, content(BYTES - size)).startswith("226")
        assert told(user.ftp) == used(user.home) == (BYTES, 1, 0)

    def test_a_full_number_of_files(self, user: Bounded) -> None:
        """A file is replaced, not added."""
        put(user, a=10, b=10, c=10, d=10)
        assert ranged(user, "d", 3, 4, b"xy").startswith("226")
        assert told(user.ftp) == used(user.home) == (40, 4, 0)

    @pytest.mark.parametrize("sent", [0, 10, SMALL - 1, SMALL + 1, LARGE])
    def test_another_length_gives_everything_back(self, user: Bounded, sent: int) -> None:
        """554, and not a byte of the copy is left or counted."""
        put(user, file=LARGE)
        assert ranged(user, "file", 100, SMALL + 99, content(sent)).startswith("554")
        assert (user.home / "file").read_bytes() == content(LARGE)
        assert told(user.ftp) == used(user.home) == (LARGE, 1, 0)

    def test_an_abort_gives_everything_back(self, user: Bounded) -> None:
        """ABOR in the middle of a large range."""
        put(user, file=LARGE)
        assert code(user.ftp, "TYPE I") == 200
        growing, _ = begin(user.ftp, "STOR file", after="RANG 10 79999")
        growing.sendall(content(70_000))
        eventually(lambda: used(user.home)[0] > LARGE, "the copy grows")
        assert code(user.ftp, "ABOR") == 426
        assert next_code(user.ftp) == 226
        growing.close()
        assert (user.home / "file").read_bytes() == content(LARGE)
        assert told(user.ftp) == used(user.home) == (LARGE, 1, 0)


class TestRestarts:
    """The count after a restart is what is there."""

    @pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
    def test_all_is_counted_again(self, start_with: StartWith, end: signal.Signals) -> None:
        """After combining and ranges, done and refused, and with a range just coming in when the daemon ended."""
        daemon = start_with(QUOTA, changes={"drain_timeout": "0s"})
        account = daemon.account()
        sessions = Sessions(daemon, EXPLICIT)
        user = Bounded(daemon, account, sessions, sessions.log_in(account))
        put(user, one=10_000, two=10_000, file=60_000)
        assert reply(user.ftp, "COMB all one two") == "250 Combined."
        assert ranged(user, "file", 1, 100, content(100)).startswith("226")
        assert ranged(user, "file", 1, 100, content(99)).startswith("554")
        assert told(user.ftp) == used(user.home) == (80_000, 2, 0)
        growing, _ = begin(user.ftp, "STOR file", after="RANG 10 69999")
        growing.sendall(content(69_000))
        eventually(lambda: used(user.home)[0] == 149_010, "all that came in is on the disk")
        daemon.signal(end)
        daemon.ended()
        growing.close()
        sessions.close()
        before = used(account.home)
        assert before[1] == (2 if end is signal.SIGTERM else 3)
        daemon.start()
        sessions = Sessions(daemon, EXPLICIT)
        ftp = sessions.log_in(account)
        assert told(ftp) == used(account.home) == before
        assert published(account.home) == {"all": 20_000, "file": 60_000}
        assert reply(ftp, "COMB all file") == ("250 Combined." if end is signal.SIGTERM else FULL)
        assert told(ftp) == used(account.home)
        sessions.close()
