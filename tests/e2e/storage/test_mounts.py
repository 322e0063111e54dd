"""Mounts: several directories in one user's tree, each with rules of its own."""

from __future__ import annotations

import ftplib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import CLEAR, EXPLICIT, Sessions, Way, code, content, download, listing, reply, upload
from tests.e2e.daemon import Account, Daemon
from tests.e2e.forked import ftpsd
from tests.e2e.storage.conftest import StartWith, prepared
from tests.e2e.storage.ground import store, told

ROLES = {"reader": {"rules": [{"path": "/**", "allow": ["list", "read"]}]}}
INBOX = [{"path": "/", "allow": ["list"]}, {"path": "/*", "allow": ["list", "upload"]}]
DENIED = "550 Permission denied."
OTHER_TREE = "553 Cannot be moved to another file system; upload it there and delete it here."
# Where each tree is seen.
SHARED, INSIDE, PLAIN = "/shared", "/shared/inbox", "/projects/apollo"


def trees(folder: Path) -> dict[str, Path]:
    """Make the directories that are mounted, with something in each."""
    made = {point: folder / "trees" / point.strip("/").replace("/", "-") for point in (SHARED, INSIDE, PLAIN)}
    for point, directory in made.items():
        (directory / "folder").mkdir(parents=True)
        (directory / "file").write_bytes(point.encode())
    # Hidden by the mount in it, as the home's own /shared is.
    (made[SHARED] / "inbox").mkdir()
    (made[SHARED] / "inbox" / "hidden").write_bytes(b"hidden")
    return made


def mounts(made: dict[str, Path]) -> dict[str, Any]:
    """Return the fields of a user who sees them."""
    rules: dict[str, dict[str, Any]] = {SHARED: {"role": "reader"}, INSIDE: {"rules": INBOX}, PLAIN: {}}
    return {"mounts": [{"path": point, "directory": str(path), **rules[point]} for point, path in made.items()]}


@dataclass(frozen=True)
class Mounted:
    """A user with mounts, and a session of theirs; *trees* are the directories by where they are seen."""

    daemon: Daemon
    account: Account
    trees: dict[str, Path]
    ftp: ftplib.FTP


@pytest.fixture(params=[CLEAR, EXPLICIT], ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """In clear, and over TLS."""
    chosen: Way = request.param
    return chosen


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[tuple[Daemon, list[Any]]]:
    """A daemon whose users have mounts of their own, and what those are."""
    folder = tmp_path_factory.mktemp("mounts")
    made = [trees(folder / str(number)) for number in range(60)]
    quota = {"quota": {"bytes": 100_000}}
    daemon = prepared(folder / "daemon", tls_files, [{**mounts(each), **quota} for each in made], roles=ROLES)
    try:
        daemon.start()
        yield daemon, made
        daemon.stop()
    finally:
        daemon.kill()


@pytest.fixture
def user(house: tuple[Daemon, list[Any]], way: Way) -> Iterator[Mounted]:
    """A user nobody else uses, logged in."""
    daemon, made = house
    account = daemon.account()
    (account.home / "shared").mkdir()
    (account.home / "shared" / "hidden").write_bytes(b"hidden")
    (account.home / "own").write_bytes(b"own")
    sessions = Sessions(daemon, way)
    yield Mounted(daemon, account, made[int(account.name[1:])], sessions.log_in(account))
    sessions.close()


class TestLooking:
    """The view of the home and its mounts."""

    def test_listings_show_mount_points(self, user: Mounted) -> None:
        """Each once, in every form of listing, and what the home has in their place does not show."""
        assert sorted(listing(user.ftp, "NLST")) == ["own", "projects", "shared"]
        assert sorted(listing(user.ftp, "NLST /shared")) == ["/shared/file", "/shared/folder", "/shared/inbox"]
        assert sorted(listing(user.ftp, "NLST /shared/inbox")) == ["/shared/inbox/file", "/shared/inbox/folder"]
        for command in ("LIST", "MLSD"):
            names = sorted(line.split(" ")[-1] for line in listing(user.ftp, f"{command} /"))
            assert names == ["own", "projects", "shared"]
        assert code(user.ftp, "SIZE /shared/hidden") == code(user.ftp, "SIZE /shared/inbox/hidden") == 550

    @pytest.mark.parametrize(("path", "perm"), [(SHARED, "el"), (INSIDE, "cel"), (PLAIN, "celmp"), ("/projects", "el")])
    def test_a_mount_point_is_a_directory(self, user: Mounted, path: str, perm: str) -> None:
        """CWD, PWD, CDUP, MLST, MLSD and SIZE take it for one, whose perm fact says what its rules allow."""
        assert [code(user.ftp, line) for line in (f"CWD {path}", f"SIZE {path}", f"RETR {path}")][:2] == [250, 550]
        assert user.ftp.pwd() == path
        facts = reply(user.ftp, "MLST").split("\n")[1]
        assert "type=dir;" in facts
        assert f"perm={perm};" in facts
        assert facts.endswith(f" {path}")
        above, _, name = path.rpartition("/")
        shown = [line for line in listing(user.ftp, f"MLSD {above or '/'}") if line.endswith(f" {name}")]
        assert [f"perm={perm};" in line for line in shown] == [True]
        assert code(user.ftp, "CDUP") == 250
        assert user.ftp.pwd() == (above or "/")

    def test_each_file_is_that_of_its_tree(self, user: Mounted) -> None:
        """Downloads, sizes, times and checksums, by absolute and by relative names."""
        for point in (SHARED, PLAIN):
            assert download(user.ftp, f"{point}/file") == point.encode()
            assert code(user.ftp, f"CWD {point}") == 250
            assert download(user.ftp, "file") == point.encode()
            assert user.ftp.size("file") == len(point)
            assert [code(user.ftp, line) for line in ("MDTM file", "XSHA256 file", "HASH file")] == [213, 250, 213]
        assert download(user.ftp, "../../own") == b"own"


class TestRules:
    """Each mount has its own rules, about paths as they are seen from it."""

    def test_a_mount_that_is_only_read(self, user: Mounted) -> None:
        """Nothing in it can be changed."""
        lines = (
            "EPSV",
            "STOR {}new",
            "EPSV",
            "STOR {}file",
            "DELE {}file",
            "RMD {}folder",
            "MKD {}new",
            "SITE CHMOD 600 {}file",
        )
        answers = [reply(user.ftp, line.format("/shared/")) for line in lines]
        assert [answer for answer in answers if not answer.startswith("229")] == [DENIED] * 6
        assert sorted(path.name for path in user.trees[SHARED].iterdir()) == ["file", "folder", "inbox"]

    def test_a_mount_in_a_mount(self, user: Mounted) -> None:
        """The longer path wins: here files can be put, and neither replaced nor read."""
        upload(user.ftp, "/shared/inbox/new", content(1000))
        assert (user.trees[INSIDE] / "new").read_bytes() == content(1000)
        assert code(user.ftp, "EPSV") == 229
        assert reply(user.ftp, "STOR /shared/inbox/file") == "550 File exists."
        assert code(user.ftp, "EPSV") == 229
        assert reply(user.ftp, "RETR /shared/inbox/new") == DENIED

    def test_a_mount_without_rules(self, user: Mounted) -> None:
        """Everything is allowed below it, and nothing above, where there is only the way to it."""
        upload(user.ftp, "/projects/apollo/new", content(70_000))
        lines = ("RNFR /projects/apollo/new", "RNTO /projects/apollo/folder/new", "DELE /projects/apollo/folder/new")
        assert [code(user.ftp, line) for line in lines] == [350, 250, 250]
        assert reply(user.ftp, "MKD /projects/other") == DENIED
        assert not (user.account.home / "projects").exists()


class TestBorders:
    """The operations that are not done to a mount point, and not across one."""

    @pytest.mark.parametrize("path", [SHARED, INSIDE, PLAIN, "/projects"])
    def test_a_mount_point_stays(self, user: Mounted, path: str) -> None:
        """It is not removed, renamed, replaced or made; everything is as before."""
        lines = (
            f"RMD {path}",
            f"DELE {path}",
            f"RNFR {path}",
            "RNTO /elsewhere",
            f"MKD {path}",
            "EPSV",
            f"STOR {path}",
        )
        answers = [reply(user.ftp, line) for line in lines]
        assert answers[:2] == [DENIED] * 2
        assert answers[2][:3] == "350"
        assert answers[3:5] == [DENIED, "550 File exists."]
        assert answers[6] == "550 Is a directory."
        assert [reply(user.ftp, line) for line in ("RNFR /own", f"RNTO {path}")][1] == "550 File exists."
        assert sorted(listing(user.ftp, "NLST /")) == ["/own", "/projects", "/shared"]
        assert all((tree / "file").exists() for tree in user.trees.values())
        assert (user.account.home / "shared" / "hidden").exists()

    def test_a_rename_stays_in_its_tree(self, user: Mounted) -> None:
        """From home to mount, back, and from mount to mount: refused with what to do instead; both sides stay."""
        for old, new in [("/own", f"{PLAIN}/own"), (f"{PLAIN}/file", "/file"), (f"{PLAIN}/folder", "/folder")]:
            assert [reply(user.ftp, line) for line in (f"RNFR {old}", f"RNTO {new}")][1] == OTHER_TREE
        assert (user.account.home / "own").read_bytes() == b"own"
        assert (user.trees[PLAIN] / "file").read_bytes() == PLAIN.encode()

    def test_a_link_stays_in_its_tree(self, user: Mounted) -> None:
        """To another tree, to a mount point or what is above one: answered like a link to nothing, and not made."""
        for link, targets in [
            ("/link", [PLAIN, f"{PLAIN}/file", f"{PLAIN}/none", "/projects", "/shared/hidden", "/none"]),
            (f"{PLAIN}/link", ["/own", "/none", "/shared/file", f"{PLAIN}/none"]),
        ]:
            answers = {reply(user.ftp, f"SITE SYMLINK {target} {link}") for target in targets}
            assert answers == {"550 No such file or directory."}
        # Below /shared nobody may upload, in /shared/inbox not everywhere.
        for point in (SHARED, INSIDE):
            assert reply(user.ftp, f"SITE SYMLINK {point}/file {point}/link") == DENIED
        assert reply(user.ftp, f"SITE SYMLINK file {PLAIN}/link").startswith("200 ")
        assert reply(user.ftp, "SITE SYMLINK own link").startswith("200 ")
        assert (download(user.ftp, f"{PLAIN}/link"), download(user.ftp, "link")) == (PLAIN.encode(), b"own")

    def test_a_copy_goes_anywhere(self, user: Mounted) -> None:
        """SITE CPFR and CPTO read in one tree and store in another, by the rules of both."""
        assert [code(user.ftp, line) for line in ("SITE CPFR /shared/file", f"SITE CPTO {PLAIN}/copy")] == [350, 250]
        assert (user.trees[PLAIN] / "copy").read_bytes() == SHARED.encode()
        assert [code(user.ftp, line) for line in ("SITE CPFR /own", "SITE CPTO /shared/copy")] == [350, 550]

    def test_the_quota_is_that_of_the_home(self, user: Mounted) -> None:
        """A file stored in a mount is neither counted nor refused, and its room is that of its disk."""
        # Some of the files that the fixture has put there came before the count of the server's start.
        before = told(user.ftp)
        upload(user.ftp, f"{PLAIN}/large", content(150_000))
        assert told(user.ftp) == before
        assert reply(user.ftp, f"SITE QUOTA {PLAIN}") == "200 No quota holds here."
        assert reply(user.ftp, "AVBL /") == f"213 {100_000 - before[0]}"
        assert int(reply(user.ftp, f"AVBL {PLAIN}")[4:]) > 100_000
        assert store(user.ftp, "STOR /large", content(150_000)) == "552 Quota exceeded."
        assert code(user.ftp, "DELE /large") == 550  # what finds no room leaves nothing
        assert [code(user.ftp, line) for line in (f"SITE CPFR {PLAIN}/large", "SITE CPTO /large")] == [350, 552]
        assert code(user.ftp, "DELE /large") == 550
        assert [code(user.ftp, line) for line in (f"SITE CPFR {PLAIN}/file", "SITE CPTO /copy")] == [350, 250]
        assert told(user.ftp) == (before[0] + len(PLAIN), before[1] + 1, before[2])


class TestMissing:
    """A directory that is not there is one user's trouble."""

    def test_at_the_start(self, start_with: StartWith, tmp_path: Path) -> None:
        """The operator is told where it is named; the user is refused with the reason in the log; others work."""
        gone = tmp_path / "gone"
        daemon = start_with({"mounts": [{"path": "/shared", "directory": str(gone)}]}, {})
        assert (
            f": warning: users.u000.mounts[0].directory: {gone} does not exist; run: mkdir -p {gone}" in daemon.stderr
        )
        refused, fine = daemon.account(), daemon.account()
        sessions = Sessions(daemon, CLEAR)
        ftp = sessions.connect()
        assert [code(ftp, f"USER {refused.name}"), code(ftp, f"PASS {refused.password}")] == [331, 530]
        daemon.wait_for_event("login-refused", name=refused.name, reason="mount directory missing")
        assert "mount directory missing, /shared" in daemon.stderr
        upload(sessions.log_in(fine), "file", b"data")
        gone.mkdir()
        assert listing(sessions.log_in(refused), "NLST") == ["shared"]
        sessions.close()

    def test_at_a_reload(self, start_with: StartWith, tmp_path: Path) -> None:
        """While a file server is down, a reload takes effect for everybody else."""
        shared = tmp_path / "shared"
        shared.mkdir()
        daemon = start_with({"mounts": [{"path": "/shared", "directory": str(shared)}]}, {})
        refused, fine = daemon.account(), daemon.account()
        shared.rmdir()
        users = json.loads(daemon.users_file.read_text())["users"]
        users[fine.name]["rules"] = []
        daemon.write_users(users)
        daemon.reload()
        assert f"{shared} does not exist" in daemon.stderr
        sessions = Sessions(daemon, CLEAR)
        assert code(sessions.log_in(fine), "CWD /") == 550
        with pytest.raises(ftplib.error_perm, match=r"^530"):
            sessions.log_in(refused)
        sessions.close()

    def test_while_a_session_lasts(self, start_with: StartWith, tmp_path: Path) -> None:
        """A mounted directory that is removed under a session is empty for it; home and other mounts go on."""
        shared = tmp_path / "shared"
        shared.mkdir()
        daemon = start_with({"mounts": [{"path": "/shared", "directory": str(shared)}]})
        sessions = Sessions(daemon, CLEAR)
        ftp = sessions.log_in(daemon.account())
        shared.rmdir()
        assert code(ftp, "EPSV") == 229
        assert code(ftp, "STOR /shared/file") == 550
        upload(ftp, "file", b"data")
        assert sorted(listing(ftp, "NLST")) == ["file", "shared"]
        sessions.close()


class TestExplain:
    """`ftpsd explain` says of mounts what the daemon does."""

    CASES = (
        ("read", "/shared/file", True, "mount /shared, role reader, rule 1 of 1 decides about /file"),
        ("delete", "/shared/file", False, "mount /shared, role reader, rule 1 of 1 decides about /file"),
        ("upload", "/shared/inbox/new", True, "mount /shared/inbox, inline rules, rule 2 of 2 decides about /new"),
        ("read", "/shared/inbox/file", False, "mount /shared/inbox, inline rules, rule 2 of 2 decides about /file"),
        ("upload", "/shared/inbox/folder/new", False, "none of 2 rules matches /folder/new, so nothing is allowed"),
        ("delete", "/projects/apollo/file", True, "mount /projects/apollo, no role and no rules"),
        ("rmdir", "/shared", False, "/shared is a mount point or above one: no rule can allow that"),
        ("rename", "/projects", False, "/projects is a mount point or above one: no rule can allow that"),
        ("delete", "/own", True, "home, no role and no rules: everything is allowed"),
    )

    @pytest.mark.parametrize(("action", "path", "is_allowed", "reason"), CASES)
    def test_it_says_what_is_done(self, user: Mounted, action: str, path: str, is_allowed: bool, reason: str) -> None:
        """Verdict, exit code and the rule that decides; and the daemon, asked to do it, does as was said."""
        done = ftpsd("explain", "--config", user.daemon.config_file, user.account.name, action, path)
        verdict = "allowed" if is_allowed else "denied"
        first, second = done.stdout.splitlines()
        assert (done.returncode, first.split(":")[0]) == (0 if is_allowed else 1, verdict)
        assert reason in second
        assert self.is_done(user.ftp, action, path) is is_allowed

    def is_done(self, ftp: ftplib.FTP, action: str, path: str) -> bool:
        """Do it, and tell whether the server did."""
        try:
            match action:
                case "read":
                    download(ftp, path)
                case "upload":
                    upload(ftp, path, b"data")
                case "rename":
                    ftp.rename(path, "/elsewhere")
                case _:
                    ftp.voidcmd(f"{'DELE' if action == 'delete' else 'RMD'} {path}")
        except ftplib.error_perm:
            return False
        return True
