"""Quotas: what is refused beyond them, and that what is counted is what is there."""

from __future__ import annotations

import ftplib
import threading
from collections.abc import Iterator

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import Way, code, content, download, reply, upload
from tests.e2e.daemon import Daemon
from tests.e2e.storage.bounded import Bounded, logged_in
from tests.e2e.storage.conftest import prepared
from tests.e2e.storage.ground import interrupted, published, store, told, used

BYTES, FILES = 200_000, 4
QUOTA = {"quota": {"bytes": BYTES, "files": FILES}}
# One piece of an upload is kept in memory, a larger one goes to the disk while it comes in.
SMALL, LARGE = 20_000, 150_000
FULL = "552 Quota exceeded."


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Daemon]:
    """A daemon whose users all have the same quota, each in a home of their own."""
    daemon = prepared(tmp_path_factory.mktemp("bounded"), tls_files, [QUOTA] * 60)
    with daemon.running():
        yield daemon


@pytest.fixture
def user(bounded: Daemon, way: Way) -> Iterator[Bounded]:
    """A user nobody else uses, logged in; at the end the account must be exact, and the session alive."""
    with logged_in(bounded, way) as bound:
        yield bound


class TestBytes:
    """More bytes than there may be."""

    @pytest.mark.parametrize("command", ["STOR more", "APPE more", "STOU more"])
    @pytest.mark.parametrize("size", [SMALL, LARGE])
    def test_an_upload_ends_at_the_byte_beyond(self, user: Bounded, command: str, size: int) -> None:
        """552 in the middle, nothing published, the session alive; the audit log says so."""
        upload(user.ftp, "old", content(BYTES - size + 1))
        assert store(user.ftp, command, content(size)) == FULL
        assert published(user.home) == {"old": BYTES - size + 1}
        assert used(user.home)[0] <= BYTES
        event = user.daemon.wait_for_event("quota-exceeded", user=user.account.name)
        assert event["command"] == command[:4]
        assert event["path"].startswith("/more")
        assert (
            user.daemon.wait_for_event("file-stored", user=user.account.name, result="failed")["path"] == event["path"]
        )

    def test_the_last_byte_fits(self, user: Bounded) -> None:
        """A quota can be used up, in one file or in several."""
        upload(user.ftp, "a", content(LARGE))
        upload(user.ftp, "b", content(BYTES - LARGE))
        assert told(user.ftp) == (BYTES, 2, 0)
        assert store(user.ftp, "STOR c", b"x") == FULL

    @pytest.mark.parametrize("command", ["STOR more", "APPE more", "STOU more", "STOR old", "APPE old"])
    def test_what_was_refused_gives_its_room_back(self, user: Bounded, command: str) -> None:
        """Nothing of it is left: what fits is stored at once, to the last byte."""
        upload(user.ftp, "old", content(SMALL))
        before = told(user.ftp)
        assert store(user.ftp, command, content(BYTES)) == FULL
        assert (told(user.ftp), published(user.home)) == (before, {"old": SMALL})
        upload(user.ftp, "rest", content(BYTES - SMALL))
        assert told(user.ftp)[0] == BYTES

    def test_also_where_it_was_gone_on_with(self, user: Bounded) -> None:
        """The bytes that had come in before an interruption are part of what has no room."""
        upload(user.ftp, "old", content(SMALL))
        interrupted(user.ftp, "STOR more", content(LARGE))
        there = user.ftp.size("more")
        assert there
        assert store(user.ftp, "STOR more", content(BYTES)[there:], after=f"REST {there}") == FULL
        assert told(user.ftp) == (SMALL, 1, 0)

    def test_a_copy_on_the_server(self, user: Bounded) -> None:
        """SITE CPTO stores like an upload, and is refused like one."""
        upload(user.ftp, "old", content(LARGE))
        assert code(user.ftp, "SITE CPFR old") == 350
        assert reply(user.ftp, "SITE CPTO copy") == FULL
        assert published(user.home) == {"old": LARGE}
        assert user.daemon.wait_for_event("quota-exceeded", user=user.account.name)["command"] == "SITE CPTO"

    def test_an_append(self, user: Bounded) -> None:
        """Only what is appended must fit, however large the file is; refused, it leaves that as it was."""
        upload(user.ftp, "old", content(LARGE))
        assert store(user.ftp, "APPE old", b"x" * (BYTES - LARGE + 1)) == FULL
        assert (user.home / "old").read_bytes() == content(LARGE)
        upload(user.ftp, "old", b"x" * (BYTES - LARGE), verb="APPE")
        assert told(user.ftp) == (BYTES, 1, 0)
        assert store(user.ftp, "APPE old", b"x") == FULL


class TestFiles:
    """More files than there may be."""

    @pytest.fixture
    def full(self, user: Bounded) -> Bounded:
        """The user with as many files, and as many directories, as there may be."""
        for number in range(FILES):
            upload(user.ftp, f"file{number}", b"data")
            assert code(user.ftp, f"MKD folder{number}") == 257
        return user

    @pytest.mark.parametrize(
        "lines",
        [
            ("EPSV", "STOR new"),
            ("EPSV", "APPE new"),
            ("EPSV", "STOU new"),
            ("MKD new",),
            ("SITE CPFR file0", "SITE CPTO new"),
            ("SITE SYMLINK folder0 new",),
        ],
    )
    def test_one_too_many(self, full: Bounded, lines: tuple[str, ...]) -> None:
        """Refused before anything is sent; nothing is there, and the audit log says so."""
        answers = [reply(full.ftp, line) for line in lines]
        assert answers[-1] == FULL
        assert not list(full.home.glob("new*"))
        event = full.daemon.wait_for_event("quota-exceeded", user=full.account.name)
        assert event["path"].startswith("/new")

    def test_replacing_needs_no_room(self, full: Bounded) -> None:
        """A user with as many files as allowed can replace them and append to them."""
        upload(full.ftp, "file0", b"other")
        upload(full.ftp, "file1", b"more", verb="APPE")
        assert (download(full.ftp, "file0"), download(full.ftp, "file1")) == (b"other", b"datamore")

    def test_what_goes_makes_room(self, full: Bounded) -> None:
        """DELE and RMD make room for a file and a directory."""
        assert [code(full.ftp, line) for line in ("DELE file0", "RMD folder0", "MKD new")] == [250, 250, 257]
        upload(full.ftp, "new-file", b"data")


class TestAccounting:
    """The room that each operation takes and gives back."""

    def test_what_is_replaced_is_given_back(self, user: Bounded) -> None:
        """After an overwrite the difference counts, up and down."""
        upload(user.ftp, "a", content(SMALL))
        upload(user.ftp, "a", content(SMALL + 5_000))
        assert told(user.ftp) == (SMALL + 5_000, 1, 0)
        upload(user.ftp, "a", content(10))
        assert told(user.ftp) == (10, 1, 0)

    def test_renaming(self, user: Bounded) -> None:
        """A rename changes nothing, unless it replaces a file: that is given back."""
        upload(user.ftp, "a", content(SMALL))
        upload(user.ftp, "b", content(100))
        assert [code(user.ftp, line) for line in ("MKD d", "RNFR a", "RNTO d/a")] == [257, 350, 250]
        assert told(user.ftp) == (SMALL + 100, 2, 1)
        assert [code(user.ftp, line) for line in ("RNFR d/a", "RNTO b")] == [350, 250]
        assert told(user.ftp) == (SMALL, 1, 1)

    def test_links(self, user: Bounded) -> None:
        """A link is an empty file, to a directory too; DELE gives it back, and what it leads to stays."""
        upload(user.ftp, "a", content(SMALL))
        assert [code(user.ftp, line) for line in ("MKD d", "SITE SYMLINK a b", "SITE SYMLINK /d /d/../c")] == [
            257,
            200,
            200,
        ]
        assert told(user.ftp) == (SMALL, 3, 1)
        assert user.is_exact()
        assert [code(user.ftp, line) for line in ("RNFR b", "RNTO d/b", "DELE c")] == [350, 250, 250]
        assert told(user.ftp) == (SMALL, 2, 1)
        assert code(user.ftp, "DELE d/b") == 250
        assert told(user.ftp) == (SMALL, 1, 1)

    def test_removing(self, user: Bounded) -> None:
        """DELE and RMD give back; so does RMD of a directory that only holds an unfinished upload."""
        assert code(user.ftp, "MKD d") == 257
        interrupted(user.ftp, "STOR d/more", content(LARGE))
        assert told(user.ftp) == (LARGE, 1, 1)
        assert code(user.ftp, "RMD d") == 250
        upload(user.ftp, "a", content(SMALL))
        assert code(user.ftp, "DELE a") == 250
        assert told(user.ftp) == (0, 0, 0)

    def test_what_is_left_is_told(self, user: Bounded) -> None:
        """AVBL and ALLO answer from the account."""
        upload(user.ftp, "a", content(SMALL))
        left = BYTES - SMALL
        lines = ("AVBL", f"ALLO {left}", f"ALLO {left + 1}")
        assert [reply(user.ftp, line) for line in lines] == [
            f"213 {left}",
            "202 No allocation is needed.",
            f"552 Only {left} bytes are left.",
        ]

    def test_two_sessions_at_once(self, user: Bounded) -> None:
        """The files that two sessions of a user store at once are together no more than the quota, to the byte."""
        others = [user.sessions.log_in(user.account) for _ in range(2)]
        answers: list[str] = []

        def work(ftp: ftplib.FTP, name: str) -> None:
            answers.append(store(ftp, f"STOR {name}", content(LARGE)))

        threads = [threading.Thread(target=work, args=pair) for pair in zip(others, "ab", strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer[:3] for answer in answers) in (["226", "552"], ["552", "552"])
        assert used(user.home)[0] == LARGE * sum(answer[:3] == "226" for answer in answers)
        assert all(told(ftp) == used(user.home) for ftp in others)
        assert [code(ftp, "NOOP") for ftp in others] == [200, 200]
