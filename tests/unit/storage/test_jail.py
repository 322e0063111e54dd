"""The jail: links, special files and listings."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, Terms
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.entry import EntryType
from tests.contracts.storages import at, entries, get, interrupt, kind_of, names, put
from tests.unit.storage.conftest import SECRET, OpenJail

ESCAPES: dict[str, Callable[[Path, Path], str]] = {
    "absolute": lambda home, outside: str(outside),
    "absolute through the home": lambda home, outside: f"{home}/../outside",
    "absolute beside the home": lambda home, outside: f"{home}side",
    "relative": lambda home, outside: "../outside",
    "up and up": lambda home, outside: "../" * 50 + str(outside),
    "root of the host": lambda home, outside: "/",
    "through a directory": lambda home, outside: "d/../../outside",
    "through a link": lambda home, outside: "inner/../../outside",
    "proc": lambda home, outside: f"/proc/self/root{outside}",
    "working directory": lambda home, outside: "/proc/self/cwd",
}


@pytest.fixture(params=ESCAPES)
def escape(request: pytest.FixtureRequest, home: Path, outside: Path) -> Path:
    """Return a link /link in the home that leads to the directory outside."""
    (home / "d").mkdir()
    (home / "inner").symlink_to("d")
    (home.parent / "homeside").symlink_to(outside)
    (home / "link").symlink_to(ESCAPES[request.param](home, outside))
    return outside


class TestEscape:
    """Links that lead out."""

    def test_nothing_is_reached_through_it(self, jail: LocalJail, escape: Path) -> None:
        """A link out in the middle of a path is no such file, for every operation."""
        secret, new = at("/link/secret"), at("/link/new")
        put(jail, "/mine", b"1")
        kinds = [
            kind_of(jail.stat, secret),
            kind_of(jail.list, at("/link")),
            kind_of(jail.open_source, secret),
            kind_of(jail.open_sink, new),
            kind_of(jail.open_sink, secret, Terms(append=True)),
            kind_of(jail.make_directory, new),
            kind_of(jail.remove_directory, new),
            kind_of(jail.remove_file, secret),
            kind_of(jail.rename, secret, at("/stolen")),
            kind_of(jail.rename, at("/mine"), new),
            kind_of(jail.set_modified, secret, 0),
            kind_of(jail.set_mode, secret, 0o777),
        ]
        assert kinds == [Kind.NOT_FOUND] * len(kinds)
        assert os.listdir(escape) == ["secret"]
        assert (escape / "secret").read_bytes() == SECRET

    def test_it_is_in_no_listing(self, jail: LocalJail, escape: Path) -> None:
        """A link out is hidden."""
        assert names(jail) == ["d", "inner"]

    def test_itself_it_is_no_such_file(self, jail: LocalJail, escape: Path) -> None:
        """A link out as the last name is no such file either."""
        link = at("/link")
        calls: list[Callable[..., object]] = [jail.stat, jail.open_source, jail.open_sink, jail.list]
        kinds = [kind_of(call, link) for call in calls]
        kinds += [kind_of(jail.set_mode, link, 0o777), kind_of(jail.set_modified, link, 0)]
        assert kinds == [Kind.NOT_FOUND] * len(kinds)

    def test_removing_removes_the_link(self, jail: LocalJail, escape: Path) -> None:
        """DELE of a link out removes the link and nothing behind it."""
        jail.remove_file(at("/link"))
        assert (escape / "secret").read_bytes() == SECRET

    def test_upload_over_a_renamed_link(self, jail: LocalJail, escape: Path, home: Path) -> None:
        """A rename over a link replaces the link, not what it leads to."""
        put(jail, "/mine", b"1")
        jail.rename(at("/mine"), at("/link"))
        assert ((home / "link").read_bytes(), os.listdir(escape)) == (b"1", ["secret"])


class TestFileEscape:
    """A link to a file outside."""

    @pytest.mark.parametrize("atomic", [True, False])
    def test_upload_does_not_write_through(self, open_jail: OpenJail, home: Path, outside: Path, atomic: bool) -> None:
        """STOR to a link that leads out changes nothing outside, in either mode."""
        (home / "link").symlink_to(outside / "secret")
        jail = open_jail(policy=UploadPolicy(atomic=atomic, durable=False))
        assert kind_of(jail.open_sink, at("/link")) is Kind.NOT_FOUND
        assert kind_of(jail.open_sink, at("/link"), Terms(append=True)) is Kind.NOT_FOUND
        assert (outside / "secret").read_bytes() == SECRET

    @pytest.mark.parametrize("atomic", [True, False])
    def test_upload_does_not_create_through(self, open_jail: OpenJail, home: Path, outside: Path, atomic: bool) -> None:
        """STOR to a dangling link that leads out makes nothing outside."""
        (home / "link").symlink_to(outside / "new")
        jail = open_jail(policy=UploadPolicy(atomic=atomic, durable=False))
        assert kind_of(jail.open_sink, at("/link")) is Kind.NOT_FOUND
        assert os.listdir(outside) == ["secret"]

    def test_dot_dot_in_the_path_itself(self, jail: LocalJail, outside: Path) -> None:
        """Even a path that was never parsed cannot go up."""
        path = at("/")
        object.__setattr__(path, "parts", ("..", "outside", "secret"))
        assert kind_of(jail.open_source, path) is Kind.BAD_NAME

    def test_slashes_in_a_name(self, jail: LocalJail, outside: Path) -> None:
        """Nor one whose name is a path."""
        path = at("/")
        object.__setattr__(path, "parts", (str(outside / "secret"),))
        assert kind_of(jail.open_source, path) is Kind.BAD_NAME


INSIDE: dict[str, Callable[[Path], str]] = {
    "relative": lambda home: "d/e",
    "with dots": lambda home: "./d//./e/",
    "up to the root and down": lambda home: "d/e/../../d/e",
    "absolute into the home": lambda home: f"{home}/d/e",
    "through another": lambda home: "other",
    "up through another": lambda home: "other/../e",
}


class TestInside:
    """Links that stay inside."""

    @pytest.fixture(params=INSIDE)
    def link(self, request: pytest.FixtureRequest, home: Path) -> str:
        """Return the path of a link to the directory /d/e."""
        (home / "d/e").mkdir(parents=True)
        (home / "d/e/file").write_bytes(b"inside")
        (home / "other").symlink_to("d/e")
        (home / "link").symlink_to(INSIDE[request.param](home))
        return "/link"

    def test_file_behind_it_is_read(self, jail: LocalJail, link: str) -> None:
        """A link in the middle of a path is followed."""
        assert get(jail, f"{link}/file") == b"inside"

    def test_upload_goes_behind_it(self, jail: LocalJail, link: str, home: Path) -> None:
        """An upload through a link arrives in the directory."""
        put(jail, f"{link}/new", b"1")
        assert (home / "d/e/new").read_bytes() == b"1"

    def test_it_is_listed_as_a_directory(self, jail: LocalJail, link: str) -> None:
        """A link is told as what it leads to."""
        assert {entry.name: entry.type for entry in entries(jail)}["link"] is EntryType.DIRECTORY

    def test_it_can_be_listed(self, jail: LocalJail, link: str) -> None:
        """CWD and LIST work through a link."""
        assert (jail.stat(at(link)).type, names(jail, link)) == (EntryType.DIRECTORY, ["file"])


class TestLinkToFile:
    """A link to a file inside."""

    @pytest.fixture(autouse=True)
    def link(self, home: Path) -> None:
        """Make /d/link, which leads to /file."""
        (home / "d").mkdir()
        (home / "file").write_bytes(b"inside")
        (home / "d/link").symlink_to("../file")

    def test_it_is_read(self, jail: LocalJail) -> None:
        """RETR and SIZE follow it."""
        assert (get(jail, "/d/link"), jail.stat(at("/d/link")).size) == (b"inside", 6)

    def test_entry_has_its_own_name(self, jail: LocalJail) -> None:
        """A listing shows the link's name with the file's facts."""
        (entry,) = entries(jail, "/d")
        assert (entry.name, entry.type, entry.size) == ("link", EntryType.FILE, 6)

    @pytest.mark.parametrize("atomic", [True, False])
    def test_upload_replaces_what_it_leads_to(self, open_jail: OpenJail, home: Path, atomic: bool) -> None:
        """STOR to a link writes the file and leaves the link a link."""
        put(open_jail(policy=UploadPolicy(atomic=atomic, durable=False)), "/d/link", b"new")
        assert (home / "d/link").is_symlink()
        assert (home / "file").read_bytes() == b"new"

    def test_interrupted_upload_is_resumed_through_it(self, jail: LocalJail, home: Path) -> None:
        """REST and STOR to a link go on with the file behind it."""
        (home / "file").unlink()
        interrupt(jail, "/d/link", b"123")
        assert jail.stat(at("/d/link")).size == 3
        put(jail, "/d/link", b"4", offset=3)
        assert (home / "file").read_bytes() == b"1234"

    def test_facts_are_set_behind_it(self, jail: LocalJail, home: Path) -> None:
        """MFMT and SITE CHMOD change the file."""
        jail.set_modified(at("/d/link"), 10**18)
        jail.set_mode(at("/d/link"), 0o640)
        status = (home / "file").lstat()
        assert (status.st_mtime_ns, status.st_mode & 0o777) == (10**18, 0o640)

    def test_removing_it_leaves_the_file(self, jail: LocalJail) -> None:
        """DELE removes the link."""
        jail.remove_file(at("/d/link"))
        assert (names(jail, "/d"), get(jail, "/file")) == ([], b"inside")

    def test_renaming_it_leaves_the_file(self, jail: LocalJail, home: Path) -> None:
        """RNFR and RNTO rename the link."""
        jail.rename(at("/d/link"), at("/d/new"))
        assert os.readlink(home / "d/new") == "../file"

    def test_link_to_a_directory_is_not_removed_as_one(self, jail: LocalJail, home: Path) -> None:
        """RMD of a link is NOT_A_DIRECTORY: it acts on the link."""
        (home / "to-d").symlink_to("d")
        assert kind_of(jail.remove_directory, at("/to-d")) is Kind.NOT_A_DIRECTORY


class TestLinkLimits:
    """Links that go nowhere, in circles, or are not wanted."""

    def test_dangling_link_is_hidden(self, jail: LocalJail, home: Path) -> None:
        """A link to nothing is no such file and in no listing."""
        (home / "link").symlink_to("nothing")
        assert (names(jail), kind_of(jail.stat, at("/link"))) == ([], Kind.NOT_FOUND)

    def test_circle_ends(self, jail: LocalJail, home: Path) -> None:
        """Links in a circle are too many, and hidden."""
        (home / "a").symlink_to("b")
        (home / "b").symlink_to("a")
        assert (names(jail), kind_of(jail.stat, at("/a"))) == ([], Kind.TOO_MANY_LINKS)

    def test_link_to_itself_and_more_ends(self, jail: LocalJail, home: Path) -> None:
        """A link that makes the path longer each time is bounded too."""
        (home / "a").symlink_to("a/a/a/a/a/a/a/a")
        assert kind_of(jail.stat, at("/a/b")) is Kind.TOO_MANY_LINKS

    @pytest.mark.parametrize(("count", "is_found"), [(40, True), (41, False)])
    def test_forty_links_are_followed(self, jail: LocalJail, home: Path, count: int, is_found: bool) -> None:
        """As many as the kernel follows, and not one more."""
        (home / "link0").write_bytes(b"end")
        for number in range(1, count + 1):
            (home / f"link{number}").symlink_to(f"link{number - 1}")
        if is_found:
            assert get(jail, f"/link{count}") == b"end"
        else:
            assert kind_of(jail.open_source, at(f"/link{count}")) is Kind.TOO_MANY_LINKS

    def test_no_link_is_followed_where_none_is_wanted(self, open_jail: OpenJail, home: Path) -> None:
        """With symlinks="none" a link inside is no such file, in the middle and at the end, and hidden."""
        (home / "d").mkdir()
        (home / "d/file").write_bytes(b"1")
        (home / "to-d").symlink_to("d")
        (home / "to-file").symlink_to("d/file")
        jail = open_jail(symlinks="none")
        kinds = [
            kind_of(jail.stat, at("/to-file")),
            kind_of(jail.open_source, at("/to-file")),
            kind_of(jail.open_sink, at("/to-file")),
            kind_of(jail.stat, at("/to-d/file")),
            kind_of(jail.list, at("/to-d")),
        ]
        assert (names(jail), kinds) == (["d"], [Kind.NOT_FOUND] * 5)

    @pytest.mark.parametrize("said", [".ftpsd-x", "d/../.ftpsd-x", ".FTPSD-x"])
    def test_link_to_a_reserved_name(self, jail: LocalJail, home: Path, said: str) -> None:
        """A link does not open a way to the server's own files."""
        (home / "d").mkdir()
        (home / ".ftpsd-x").write_bytes(b"1")
        (home / "link").symlink_to(said)
        assert (names(jail), kind_of(jail.open_source, at("/link"))) == (["d"], Kind.NOT_FOUND)

    def test_partial_is_not_reached_by_its_name(self, jail: LocalJail, home: Path) -> None:
        """A user who guesses the name of a partial gets nothing."""
        interrupt(jail, "/a", b"123")
        (name,) = os.listdir(home)
        assert [kind_of(call, at(f"/{name}")) for call in (jail.stat, jail.remove_file)] == [Kind.NOT_FOUND] * 2


class TestRoot:
    """The directory of the jail itself."""

    def test_root_may_be_reached_by_a_link(self, home: Path, tmp_path: Path) -> None:
        """A home that is a link is opened where it leads, and absolute links into it count from there."""
        (home / "file").write_bytes(b"1")
        (home / "link").symlink_to(home / "file")
        (tmp_path / "alias").symlink_to(home)
        jail = LocalJail.open(tmp_path / "alias", uploads=UploadPolicy(), owner="user")
        assert get(jail, "/link") == b"1"

    def test_home_that_is_moved_stays_the_home(self, jail: LocalJail, home: Path, tmp_path: Path) -> None:
        """The jail is a directory, not a path."""
        home.rename(tmp_path / "moved")
        home.mkdir()
        put(jail, "/a", b"1")
        assert (os.listdir(home), os.listdir(tmp_path / "moved")) == ([], ["a"])

    def test_link_to_the_root(self, jail: LocalJail, home: Path) -> None:
        """A link may lead to the root itself, written either way."""
        (home / "d").mkdir()
        (home / "d/up").symlink_to("..")
        (home / "d/absolute").symlink_to(home)
        put(jail, "/file", b"1")
        assert (get(jail, "/d/up/file"), names(jail, "/d/absolute")) == (b"1", ["d", "file"])
        assert kind_of(jail.open_sink, at("/d/up")) is Kind.IS_A_DIRECTORY

    def test_missing_home(self, tmp_path: Path) -> None:
        """A home that is not there is NOT_FOUND."""
        assert kind_of(LocalJail.open, tmp_path / "no", uploads=UploadPolicy(), owner="user") is Kind.NOT_FOUND

    def test_home_that_is_a_file(self, tmp_path: Path) -> None:
        """A home that is a file is NOT_A_DIRECTORY."""
        (tmp_path / "f").write_bytes(b"")
        assert kind_of(LocalJail.open, tmp_path / "f", uploads=UploadPolicy(), owner="user") is Kind.NOT_A_DIRECTORY


class TestSpecialFiles:
    """Entries that are neither file nor directory."""

    @pytest.fixture(params=["fifo", "socket", "device"])
    def special(self, request: pytest.FixtureRequest, home: Path) -> str:
        """Return the path of a special file."""
        place = home / request.param
        if request.param == "fifo":
            os.mkfifo(place)
        elif request.param == "socket":
            directory = os.open(home, os.O_RDONLY)
            server = socket.socket(socket.AF_UNIX)
            server.bind(f"/proc/self/fd/{directory}/socket")  # the path itself may be longer than a socket's address
            os.close(directory)
            server.close()
        else:
            if os.geteuid() != 0:
                pytest.skip("only root makes devices")
            os.mknod(place, 0o600 | 0o020000, os.makedev(1, 3))
        return f"/{request.param}"

    @pytest.mark.parametrize("atomic", [True, False])
    def test_it_is_neither_read_nor_written(self, open_jail: OpenJail, special: str, atomic: bool) -> None:
        """RETR, STOR, APPE and SITE CHMOD are refused, at once."""
        jail = open_jail(policy=UploadPolicy(atomic=atomic, durable=False))
        kinds = [
            kind_of(jail.open_source, at(special)),
            kind_of(jail.open_sink, at(special)),
            kind_of(jail.open_sink, at(special), Terms(append=True)),
            kind_of(jail.set_mode, at(special), 0o777),
        ]
        assert kinds == [Kind.NOT_REGULAR] * 4

    def test_writer_that_waits_at_a_fifo_gets_nothing(self, open_jail: OpenJail, home: Path) -> None:
        """Also with a reader at the other end an upload into a FIFO is refused."""
        os.mkfifo(home / "fifo")
        reader = os.open(home / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        jail = open_jail(policy=UploadPolicy(atomic=False))
        assert kind_of(jail.open_sink, at("/fifo")) is Kind.NOT_REGULAR
        os.close(reader)

    def test_it_is_listed_as_something_else(self, jail: LocalJail, special: str) -> None:
        """A listing tells that it is there, and no more."""
        (entry,) = entries(jail)
        assert (entry.type, entry.perm) == (EntryType.OTHER, "df")


class TestListing:
    """Directories of the disk."""

    def test_vanished_names_are_left_out(self, jail: LocalJail, home: Path) -> None:
        """A file that goes while its directory is read is not listed, and the rest is."""
        for number in range(10):
            (home / str(number)).write_bytes(b"")
        listing = jail.list(at("/"))
        first = listing.read(1)
        for number in range(5):
            (home / str(number)).unlink()
        rest = listing.read(100)
        listing.close()
        assert {entry.name for entry in first + rest} >= set("56789")
        assert len(first + rest) <= 6

    def test_names_with_control_characters_are_left_out(self, jail: LocalJail, home: Path) -> None:
        """An entry that no path can name is not listed: it could forge an entry."""
        (home / "a\r\nb").write_bytes(b"")
        (home / "a\nlink").symlink_to("b")
        (home / "b").write_bytes(b"")
        assert names(jail) == ["b"]

    def test_unique_is_device_and_inode(self, jail: LocalJail, home: Path) -> None:
        """The unique fact is what tells files apart on the host, in hexadecimal digits."""
        (home / "a").write_bytes(b"")
        status = (home / "a").stat()
        assert jail.stat(at("/a")).unique == f"{status.st_dev:x}g{status.st_ino:x}"

    def test_listing_outlives_its_storage(self, jail: LocalJail, home: Path) -> None:
        """A listing goes on after close(), links too."""
        (home / "a").write_bytes(b"")
        (home / "b").symlink_to("a")
        listing = jail.list(at("/"))
        jail.close()
        assert {entry.name for entry in listing.read(10)} == {"a", "b"}
        listing.close()
