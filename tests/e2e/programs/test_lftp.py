"""lftp: put, get, go on, and whole trees."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.client import Way
from tests.e2e.daemon import Account, Daemon
from tests.e2e.programs.files import LARGE, MIB, digest, digests, make_file, make_tree
from tests.tools import require_tool

SIZE = 3_000_000
# Small files in 24 folders for four sessions; clients/test_many_sessions.py has more of all three.
FILES = 1000 if LARGE > 64 * MIB else 100
FOLDERS = 20 if LARGE > 64 * MIB else 8

Lftp = Callable[..., str]


@pytest.fixture
def lftp(daemon: Daemon, way: Way, account: Account, tmp_path: Path) -> Lftp:
    """Runs lftp with some commands, in the test's folder; fails with what it said when one of them fails."""
    program = require_tool("lftp")
    url = (
        f"ftps://localhost:{daemon.ports.implicit}"
        if way.mode == "implicit"
        else f"ftp://localhost:{daemon.ports.explicit}"
    )
    settings = [
        "set cmd:fail-exit yes",
        "set net:max-retries 1",
        "set net:timeout 60",
        f"set ssl:ca-file {daemon.tls.authority}",
        f"set ftp:ssl-force {'yes' if way.is_secure else 'no'}",
        f"set ftp:ssl-allow {'yes' if way.is_secure else 'no'}",
        "set ftp:ssl-protect-data yes",
    ]
    # Nothing of the person who runs the tests: no ~/.lftprc, no known bookmarks.
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}

    def run(*commands: str) -> str:
        script = ";".join([*settings, f"open -u {account.name},{account.password} {url}", *commands])
        done = subprocess.run(
            [program, "--norc", "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("passive", ["yes", "no"], ids=["passive", "active"])
@pytest.mark.parametrize("size", [0, 1, 65536, SIZE])
def test_a_file_goes_up_and_down(lftp: Lftp, home: Path, tmp_path: Path, size: int, passive: str) -> None:
    """put and get, the server listening or the client."""
    source = make_file(tmp_path / "source", size)
    lftp(f"set ftp:passive-mode {passive}", "put source -o file", "get file -o got")
    assert digest(home / "file") == digest(tmp_path / "got") == digest(source)


def test_a_download_goes_on(lftp: Lftp, home: Path, tmp_path: Path) -> None:
    """reget, by REST."""
    whole = make_file(home / "file", SIZE)
    (tmp_path / "got").write_bytes(whole.read_bytes()[:1_000_000])
    lftp("reget file -o got")
    assert digest(tmp_path / "got") == digest(whole)


def test_an_upload_goes_on(lftp: Lftp, home: Path, tmp_path: Path) -> None:
    """reput, by SIZE and REST or APPE."""
    source = make_file(tmp_path / "source", SIZE)
    (home / "file").write_bytes(source.read_bytes()[:1_000_000])
    lftp("reput source -o file")
    assert digest(home / "file") == digest(source)


def test_a_file_comes_down_in_segments(lftp: Lftp, home: Path, tmp_path: Path) -> None:
    """pget opens several sessions, each with its REST, and aborts what it does not need."""
    make_file(home / "file", 8_000_000)
    lftp("pget -n 4 file -o got")
    assert digest(tmp_path / "got") == digest(home / "file")


def test_files_are_moved_and_removed(lftp: Lftp, home: Path, tmp_path: Path) -> None:
    """mkdir -p, mv, rm -r."""
    make_file(tmp_path / "source", 1000)
    lftp("mkdir -p a/b", "put source -o a/b/file", "mv a/b/file a/other", "rm -r a/b")
    assert sorted(digests(home)) == ["a/other"]


def test_links_are_made(lftp: Lftp, home: Path) -> None:
    """ln -s sends SITE SYMLINK: relative targets count from the link, names with spaces need quotes of their own."""
    (home / "folder").mkdir()
    for name in ("a file", "folder/inner"):
        (home / name).write_bytes(b"data")
    lftp("ln -s folder link", "ln -s inner folder/near", "quote SITE SYMLINK /folder /other")
    lftp("cd folder", "ln -s '\"../a file\"' '\"a link\"'")
    links = {"link": "folder", "folder/near": "inner", "other": "folder", "folder/a link": "../a file"}
    assert {name: os.readlink(home / name) for name in links} == links
    lftp(*(f"rm '{name}'" for name in links))
    assert sorted(digests(home)) == ["a file", "folder/inner"]


def test_times_survive(lftp: Lftp, home: Path, tmp_path: Path) -> None:
    """lftp sets the time of what it puts (MFMT) and takes that of what it gets (MDTM, MLSD)."""
    source = make_file(tmp_path / "source", 1000)
    os.utime(source, (1_600_000_000, 1_600_000_000))
    lftp("put source -o file", "get file -o got")
    assert [int(path.stat().st_mtime) for path in (home / "file", tmp_path / "got")] == [1_600_000_000] * 2


def test_listings_are_understood(lftp: Lftp, home: Path) -> None:
    """ls, nlist, cls with names that are not plain."""
    (home / "two words").touch()
    (home / "übung").mkdir()
    assert sorted(lftp("cls -1").split("\n")) == ["", "two words", "übung/"]
    assert sorted(lftp("nlist").split("\n")) == ["", "two words", "übung"]
    assert "two words" in lftp("ls")


def test_a_tree_goes_up_and_down(lftp: Lftp, home: Path, tmp_path: Path) -> None:
    """mirror -R and mirror, several sessions at once: every checksum is the same, by MLSD and by LIST."""
    tree = make_tree(tmp_path / "tree", FILES, FOLDERS)
    assert len(digests(tree)) == FILES
    lftp("set ftp:use-mlsd yes", "mirror -R --parallel=4 tree up")
    assert digests(home / "up") == digests(tree)
    for use_mlsd in ("yes", "no"):
        listed = f"set ftp:use-mlsd {use_mlsd}"
        lftp(listed, "mirror --parallel=4 up down")
        assert digests(tmp_path / "down") == digests(tree)
        # A second run finds nothing to do, whichever way the files go.
        assert lftp(listed, "mirror --verbose=1 up down").count("Transferring") == 0
        assert lftp(listed, "mirror -R --verbose=1 tree up").count("Transferring") == 0
        # By LIST, too, what is missing is found on either side, in each folder.
        forget_some(tmp_path / "down")
    forget_some(home / "up")
    lftp("set ftp:use-mlsd no", "mirror -R --parallel=4 tree up")
    assert digests(home / "up") == digests(tree)
    shutil.rmtree(home / "up")


def forget_some(folder: Path) -> None:
    """Remove one file in seven."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file())[::7]:
        path.unlink()


def test_a_large_file_goes_up_and_down(lftp: Lftp, home: Path, tmp_path: Path) -> None:
    """64 MiB, or 1 GiB with FTPSD_TESTS_LARGE=1."""
    source = make_file(tmp_path / "source", LARGE)
    lftp("put source -o file", "get file -o got")
    assert digest(home / "file") == digest(tmp_path / "got") == digest(source)
    for path in (home / "file", tmp_path / "got", source):
        path.unlink()


@pytest.mark.parametrize("count", [10, 1500, 5000])
def test_a_mirror_by_stat_deletes_nothing(lftp: Lftp, home: Path, tmp_path: Path, count: int) -> None:
    """With use-stat-for-list lftp takes what STAT says for all there is, and `mirror --delete` deletes the rest."""
    for folder in (home / "tree", tmp_path / "copy"):
        folder.mkdir()
        for number in range(count):
            (folder / f"file-{number}").write_bytes(b"1")
        (folder / "sub").mkdir()
    (tmp_path / "copy" / "not on the server").write_bytes(b"1")
    (home / "tree" / "new").write_bytes(b"new")
    log = tmp_path / "log"
    said = ["set ftp:use-stat-for-list yes", "set ftp:use-mlsd no", f"debug -o {log} 9"]
    lftp(*said, "mirror --delete --only-missing tree copy")
    assert "---> STAT" in log.read_text()
    assert "---> LIST" not in log.read_text()
    expected = {f"file-{number}" for number in range(count)} | {"sub", "new"}
    assert set(os.listdir(tmp_path / "copy")) == expected
