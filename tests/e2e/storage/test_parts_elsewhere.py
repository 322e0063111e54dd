"""COMB, and RANG with STOR, where there is more than one plain tree: mounts, rules, other encodings, MODE Z, PROT C."""

from __future__ import annotations

import ftplib
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import (
    Sessions,
    Way,
    begin,
    code,
    connect,
    content,
    download,
    finish,
    next_code,
    read_all,
    reply,
    upload,
)
from tests.e2e.daemon import Account, Daemon
from tests.e2e.storage.conftest import prepared
from tests.e2e.storage.ground import store, told, used

ONE, TWO = content(100_000), content(70_000)
COMBINED = "250 Combined."
DENIED = "550 Permission denied."
QUOTA = 400_000
NAME, OTHER = "中文 文件.txt", "乗"  # the second byte of 乗 is a backslash in GBK

# Mounts by where they are seen, with what may be done there.
MOUNTS = {
    "/free": ["all"],
    "/reader": ["list", "read"],
    "/inbox": ["list", "upload"],
    "/kept": ["list", "read", "upload", "overwrite", "append"],
    "/log": ["list", "append"],
}


def mounts(folder: Path) -> dict[str, Any]:
    """Return the fields of a user who has all of them, and one whose names on disk are GBK."""
    entries = []
    for point, allowed in MOUNTS.items():
        (folder / point[1:]).mkdir(parents=True)
        rules = [{"path": "/", "allow": ["list"]}, {"path": "/**", "allow": allowed}]
        entries.append({"path": point, "directory": str(folder / point[1:]), "rules": rules})
    (folder / "old").mkdir()
    entries.append({"path": "/old", "directory": str(folder / "old"), "stored_encoding": "gbk"})
    return {"mounts": entries, "quota": {"bytes": QUOTA}}


@dataclass(frozen=True)
class Mounted:
    """A user with mounts, the folder their trees are in, and a session of theirs."""

    account: Account
    trees: Path
    ftp: ftplib.FTP

    def of(self, path: str) -> Path:
        """Return where the virtual *path* is on disk."""
        point = path.split("/")[1]
        return (self.trees if f"/{point}" in MOUNTS or point == "old" else self.account.home) / path[1:]

    def put(self, path: str, data: bytes) -> None:
        """Put a file there, past the daemon where that is no home with a quota."""
        if self.of(path).is_relative_to(self.account.home):
            upload(self.ftp, path, data)
        else:
            self.of(path).write_bytes(data)

    def ranged(self, path: str, first: int, last: int, data: bytes) -> str:
        """Replace the bytes from *first* to *last*; return the last reply."""
        assert code(self.ftp, "TYPE I") == 200
        return store(self.ftp, f"STOR {path}", data, after=f"RANG {first} {last}")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[tuple[Daemon, Path]]:
    """A daemon whose users have mounts of their own, in a folder by the number of each."""
    folder = tmp_path_factory.mktemp("parts-elsewhere")
    users = [mounts(folder / str(number)) for number in range(80)]
    daemon = prepared(folder / "daemon", tls_files, users, changes={"mode_z": True})
    try:
        daemon.start()
        yield daemon, folder
        daemon.stop()
        assert "Traceback" not in daemon.stderr
    finally:
        daemon.kill()


@pytest.fixture
def user(house: tuple[Daemon, Path], way: Way) -> Iterator[Mounted]:
    """A user nobody else uses, logged in; at the end what is counted of the home is what is there."""
    daemon, folder = house
    account = daemon.account()
    sessions = Sessions(daemon, way)
    ftp = sessions.log_in(account)
    yield Mounted(account, folder / str(int(account.name[1:])), ftp)
    assert told(ftp) == used(account.home)
    sessions.close()


class TestMounts:
    """Parts and target may be in different trees: bytes are copied, so that needs no common disk."""

    @pytest.mark.parametrize(
        ("target", "one", "two"),
        [
            ("/free/all", "/one", "/two"),
            ("/all", "/free/one", "/free/two"),
            ("/all", "/one", "/free/two"),
            ("/free/all", "/free/one", "/two"),
            ("/inbox/all", "/free/one", "/two"),
        ],
    )
    def test_over_the_border(self, user: Mounted, target: str, one: str, two: str) -> None:
        """Each tree gets and loses what is its own, and the quota is the home's alone."""
        user.put(one, ONE)
        user.put(two, TWO)
        assert reply(user.ftp, f"COMB {target} {one} {two}") == COMBINED
        assert user.of(target).read_bytes() == ONE + TWO
        assert not user.of(one).exists()
        assert not user.of(two).exists()
        in_home = len(ONE + TWO) if target == "/all" else 0
        assert told(user.ftp)[:2] == ((in_home, 1) if in_home else (0, 0))

    @pytest.mark.parametrize(
        ("target", "part"),
        [
            ("/reader/all", "/one"),
            ("/all", "/reader/one"),
            ("/all", "/inbox/one"),
            ("/all", "/kept/one"),
            ("/all", "/log/one"),
            ("/kept/all", "/reader/one"),
        ],
    )
    def test_the_rules_of_each_tree_hold(self, user: Mounted, target: str, part: str) -> None:
        """A part must be readable and deletable where it is; nothing is changed anywhere."""
        user.put(part, ONE)
        assert reply(user.ftp, f"COMB {target} {part}") == DENIED
        assert user.of(part).read_bytes() == ONE
        assert not user.of(target).exists()

    def test_behind_what_another_tree_holds(self, user: Mounted) -> None:
        """Where adding is allowed, but not reading, the target is continued all the same; it is not where it is not."""
        for path in ("/log/all", "/inbox/all"):
            user.put(path, b"old")
        user.put("/one", ONE)
        assert reply(user.ftp, "COMB /inbox/all /one") == "550 File exists."
        assert reply(user.ftp, "COMB /log/all /one") == COMBINED
        assert user.of("/log/all").read_bytes() == b"old" + ONE
        assert user.of("/inbox/all").read_bytes() == b"old"

    def test_a_mount_point_is_no_part(self, user: Mounted) -> None:
        """Nor a target."""
        user.put("/one", ONE)
        assert reply(user.ftp, "COMB /all /one /free") == "550 Is a directory."
        assert reply(user.ftp, "COMB /free /one") == "550 Is a directory."
        assert user.of("/one").read_bytes() == ONE

    @pytest.mark.parametrize("path", ["/free/file", "/kept/file", "/file"])
    def test_a_range(self, user: Mounted, path: str) -> None:
        """Where reading and overwriting is allowed; a home's quota is not asked for another tree."""
        user.put("/ballast", content(QUOTA - 2 * len(ONE)))
        user.put(path, ONE)
        assert user.ranged(path, 10, 69_999, TWO[:69_990]).startswith("226")
        assert user.of(path).read_bytes() == ONE[:10] + TWO[:69_990] + ONE[70_000:]

    @pytest.mark.parametrize("path", ["/reader/file", "/inbox/file", "/log/file"])
    def test_a_range_where_it_is_not_allowed(self, user: Mounted, path: str) -> None:
        """550 instead of 150."""
        user.put(path, ONE)
        assert [code(user.ftp, line) for line in ("TYPE I", "EPSV", "RANG 0 9")] == [200, 229, 350]
        assert code(user.ftp, f"STOR {path}") == 550
        assert user.of(path).read_bytes() == ONE


class TestEncodings:
    """Names on the wire in one encoding, on the disk in another, in quotes or not."""

    @pytest.fixture
    def gbk(self, house: tuple[Daemon, Path], way: Way) -> Iterator[Mounted]:
        """A user whose client writes GBK."""
        daemon, folder = house
        account = daemon.account()
        users = json.loads(daemon.users_file.read_text())["users"]
        users[account.name]["encoding"] = "gbk"
        daemon.write_users(users)
        daemon.reload()
        ftp = connect(daemon, way)
        ftp.encoding = "gbk"
        assert ftp.sock is not None
        ftp.file = ftp.sock.makefile("r", encoding="gbk")
        ftp.sendcmd(f"USER {account.name}")
        ftp.sendcmd(f"PASS {account.password}")
        if isinstance(ftp, ftplib.FTP_TLS):
            ftp.prot_p()
        yield Mounted(account, folder / str(int(account.name[1:])), ftp)
        ftp.close()

    @pytest.mark.parametrize("tree", ["", "/old", "/free"])
    def test_comb(self, gbk: Mounted, tree: str) -> None:
        """Target and part are found and made under the names that their tree has on disk."""
        encoding = "gbk" if tree == "/old" else "utf-8"
        folder = os.fsencode(gbk.of(f"{tree}/x").parent)
        upload(gbk.ftp, f"{tree}/{OTHER}", ONE)
        upload(gbk.ftp, f"{tree}/part", TWO)
        assert OTHER.encode(encoding) in os.listdir(folder)
        assert reply(gbk.ftp, f'COMB "{tree}/{NAME}" "{tree}/{OTHER}" {tree}/part') == COMBINED
        assert [name for name in os.listdir(folder) if not name.startswith(b".")] == [NAME.encode(encoding)]
        assert download(gbk.ftp, f"{tree}/{NAME}") == ONE + TWO

    def test_comb_from_one_tree_to_another(self, gbk: Mounted) -> None:
        """The name of a part is GBK on one disk, that of the target UTF-8 on the other."""
        upload(gbk.ftp, f"/old/{NAME}", ONE)
        assert reply(gbk.ftp, f'COMB "/{NAME}" "/old/{NAME}"') == COMBINED
        assert os.listdir(os.fsencode(gbk.account.home)) == [NAME.encode()]
        assert os.listdir(os.fsencode(gbk.of("/old/x").parent)) == []

    @pytest.mark.parametrize("tree", ["", "/old"])
    def test_a_range(self, gbk: Mounted, tree: str) -> None:
        """The file is found, copied and replaced under its name on disk."""
        encoding = "gbk" if tree == "/old" else "utf-8"
        upload(gbk.ftp, f"{tree}/{NAME}", ONE)
        assert gbk.ranged(f"{tree}/{NAME}", 5, 9, b"range").startswith("226")
        folder = os.fsencode(gbk.of(f"{tree}/x").parent)
        assert [name for name in os.listdir(folder) if not name.startswith(b".")] == [NAME.encode(encoding)]
        assert download(gbk.ftp, f"{tree}/{NAME}") == ONE[:5] + b"range" + ONE[10:]


class TestModes:
    """Ranges deflated, and in clear under TLS."""

    @pytest.fixture
    def deflated(self, user: Mounted) -> Mounted:
        """A session in MODE Z, with a file."""
        upload(user.ftp, "file", ONE)
        assert [code(user.ftp, line) for line in ("TYPE I", "MODE Z")] == [200, 200]
        return user

    @pytest.mark.parametrize("size", [10, 80_000])
    def test_mode_z_up(self, deflated: Mounted, size: int) -> None:
        """The length that counts is that of the file, not that of the stream."""
        new = bytes(size)
        answer = deflated.ranged("file", 7, size + 6, zlib.compress(new))
        assert answer.startswith("226")
        assert deflated.of("/file").read_bytes() == ONE[:7] + new + ONE[size + 7 :]

    @pytest.mark.parametrize("size", [0, 79_999, 80_001, 20_000_000])
    def test_mode_z_of_another_length(self, deflated: Mounted, size: int) -> None:
        """554, also for what becomes a flood when it is inflated; the file is as it was."""
        answer = deflated.ranged("file", 7, 80_006, zlib.compress(bytes(size)))
        assert answer.startswith("554"), answer
        assert deflated.of("/file").read_bytes() == ONE

    def test_mode_z_down(self, deflated: Mounted) -> None:
        """The range of the file, deflated."""
        connection, _ = begin(deflated.ftp, "RETR file", after="RANG 1000 90000")
        assert zlib.decompress(read_all(connection)) == ONE[1000:90_001]
        assert next_code(deflated.ftp) == 226

    def test_in_clear_under_tls(self, user: Mounted) -> None:
        """PROT C, where it is allowed: sendfile keeps to the range, and uploads into it."""
        if isinstance(user.ftp, ftplib.FTP_TLS):
            assert code(user.ftp, "PROT C") == 200
            user.ftp.is_protected = False  # type: ignore[attr-defined]
        upload(user.ftp, "file", ONE)
        assert user.ranged("file", 10, 69_999, TWO[:69_990]).startswith("226")
        expected = ONE[:10] + TWO[:69_990] + ONE[70_000:]
        for first, last in ((0, 9), (5, 80_000), (99_999, 200_000), (100_000, 100_001)):
            connection, _ = begin(user.ftp, "RETR file", after=f"RANG {first} {last}")
            assert read_all(connection) == expected[first : last + 1]
            assert next_code(user.ftp) == 226
        assert code(user.ftp, "DELE file") == 250
        for name, data in (("one", ONE), ("two", TWO)):
            connection, _ = begin(user.ftp, f"STOR {name}")
            connection.sendall(data)
            finish(connection)
            assert next_code(user.ftp) == 226
        assert reply(user.ftp, "COMB all one two") == COMBINED
        connection, _ = begin(user.ftp, "RETR all")
        assert read_all(connection) == ONE + TWO
        assert next_code(user.ftp) == 226
