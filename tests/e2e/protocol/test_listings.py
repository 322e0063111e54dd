"""Listings: LIST, NLST, MLSD, MLST, STAT with a path."""

from __future__ import annotations

import ftplib
import os
import re
from pathlib import Path

import pytest

from tests.e2e.client import code, listing, reply

# 2021-02-03 04:05:06 UTC
SECONDS, STAMP = 1612325106, "20210203040506"


@pytest.fixture
def tree(home: Path) -> Path:
    """A file, a directory with a file, and a link to the file."""
    (home / "file.txt").write_bytes(b"12345")
    os.utime(home / "file.txt", (SECONDS, SECONDS))
    (home / "folder").mkdir()
    (home / "folder" / "inner.csv").write_bytes(b"")
    return home


def names(lines: list[str]) -> set[str]:
    return {line.split(maxsplit=8)[8] for line in lines}


@pytest.mark.parametrize("command", ["LIST", "NLST", "MLSD"])
def test_an_empty_directory_is_an_empty_listing(ftp: ftplib.FTP, command: str) -> None:
    """150 and 226 with nothing between them, not an error."""
    assert listing(ftp, command) == []


def test_list_looks_like_ls(ftp: ftplib.FTP, tree: Path) -> None:
    """Clients parse permissions, links, owner, group, size, date and name."""
    lines = {line.split(maxsplit=8)[8]: line for line in listing(ftp, "LIST")}
    assert re.fullmatch(r"-rw\S+ +\d+ \S+ +\S+ +5 Feb +3 +2021 file\.txt", lines["file.txt"])
    assert re.fullmatch(r"drwx\S+ +\d+ \S+ +\S+ +\d+ \w{3} +\d+ +\S+ folder", lines["folder"])


@pytest.mark.parametrize("flags", ["-a", "-la", "-al", "-l", "-F", "-R", "-1", "-a -l", "-la "])
def test_options_of_ls_are_swallowed(ftp: ftplib.FTP, tree: Path, flags: str) -> None:
    """WinSCP and others send them; they are no names."""
    assert names(listing(ftp, f"LIST {flags}")) >= {"file.txt", "folder"}


def test_options_may_stand_before_a_path(ftp: ftplib.FTP, tree: Path) -> None:
    """ "-la folder" lists the folder."""
    assert names(listing(ftp, "LIST -la folder")) >= {"inner.csv"}


def test_a_file_called_like_an_option_is_listed(ftp: ftplib.FTP, tree: Path) -> None:
    """Only what is no file's name is an option."""
    (tree / "-la").write_bytes(b"")
    assert listing(ftp, "NLST -la") == ["-la"]


def test_nlst_sends_names_only(ftp: ftplib.FTP, tree: Path) -> None:
    """One a line."""
    assert sorted(listing(ftp, "NLST")) == ["file.txt", "folder"]


def test_nlst_of_a_directory_sends_what_is_in_it(ftp: ftplib.FTP, tree: Path) -> None:
    """Names that RETR takes, seen from the argument (RFC 1123, 4.1.2.7)."""
    assert listing(ftp, "NLST folder") == ["folder/inner.csv"]


def test_wild_cards_match(ftp: ftplib.FTP, tree: Path) -> None:
    """`NLST *.txt` and `LIST folder/*.csv` send what matches."""
    assert listing(ftp, "NLST *.txt") == ["file.txt"]
    assert len(listing(ftp, "LIST folder/*.csv")) == 1
    assert listing(ftp, "NLST *.nothing") == []


def test_a_file_is_listed_alone(ftp: ftplib.FTP, tree: Path) -> None:
    """LIST and NLST of a file are about that file."""
    assert listing(ftp, "NLST file.txt") == ["file.txt"]
    assert names(listing(ftp, "LIST file.txt")) == {"file.txt"}


@pytest.mark.parametrize("command", ["LIST missing", "NLST missing", "MLSD missing"])
def test_what_is_missing_is_not_listed(ftp: ftplib.FTP, command: str) -> None:
    """550 before any data connection is used."""
    ftp.sendcmd("EPSV")
    assert reply(ftp, command) == "550 No such file or directory."


def test_mlsd_tells_facts(ftp: ftplib.FTP, tree: Path) -> None:
    """Type, size and time of every entry, for programs; no "." and ".." that mirrors would follow."""
    found = dict(ftp.mlsd())
    assert set(found) - {"", "/"} == {"file.txt", "folder"}
    assert {key: found["file.txt"][key] for key in ("type", "size", "modify")} == {
        "type": "file",
        "size": "5",
        "modify": STAMP,
    }
    assert found["folder"]["type"] == "dir"


def test_mlsd_sends_the_facts_asked_for(ftp: ftplib.FTP, tree: Path) -> None:
    """OPTS MLST chooses, and FEAT shows the choice."""
    assert code(ftp, "OPTS MLST size;type;") == 200
    assert sorted(line.lower() for line in listing(ftp, "MLSD folder")) == ["type=file;size=0; inner.csv"]
    assert re.search(r"^ MLST .*[Tt]ype\*;", reply(ftp, "FEAT"), re.MULTILINE)


def test_mlsd_is_for_directories(ftp: ftplib.FTP, tree: Path) -> None:
    """501 for a file (RFC 3659, 7.2.1)."""
    ftp.sendcmd("EPSV")
    assert code(ftp, "MLSD file.txt") == 501


def test_mlst_describes_one_file(ftp: ftplib.FTP, tree: Path) -> None:
    """250-, one space and the facts and the path, 250: anything else broke rclone."""
    first, middle, last = reply(ftp, "MLST file.txt").split("\n")
    assert first.startswith("250-")
    assert re.fullmatch(r" (\S+=\S*;)+ /file\.txt", middle)
    assert last.startswith("250 ")


def test_mlst_without_a_path_is_about_the_working_directory(ftp: ftplib.FTP, tree: Path) -> None:
    """A directory, at its path."""
    ftp.cwd("folder")
    assert re.search(r"type=(c?dir);.* /folder$", reply(ftp, "MLST").split("\n")[1], re.IGNORECASE)


@pytest.mark.parametrize("count", [0, 20, 3000])
def test_listings_are_sorted(ftp: ftplib.FTP, home: Path, count: int) -> None:
    """By the codes of the letters, as vsftpd, ProFTPD, Pure-FTPd and pyftpdlib have it."""
    expected = sorted([f"{number * 7919 % 10_007}" for number in range(count)] + ["B", "a", "é", "Z.txt", "a b"])
    for name in sorted(expected, key=lambda name: name[::-1]):
        (home / name).touch()
    assert listing(ftp, "NLST") == expected
    assert [line.partition("; ")[2] for line in listing(ftp, "MLSD")] == expected
    wanted = [name.rpartition(" ")[2] for name in expected]
    assert [line.rpartition(" ")[2] for line in listing(ftp, "LIST")] == wanted
    assert [line.rpartition(" ")[2] for line in reply(ftp, "STAT /").split("\n")[1:-1]] == wanted


def test_stat_lists_over_the_control_connection(ftp: ftplib.FTP, tree: Path) -> None:
    """STAT with a path needs no data connection, and no line looks like the end."""
    lines = reply(ftp, "STAT folder").split("\n")
    assert "inner.csv" in lines[1]
    assert lines[0].startswith("212-")
    assert lines[-1].startswith("212 ")
    assert reply(ftp, "STAT folder/inner.csv").startswith("213-")


def test_stat_lists_all_of_a_large_directory(ftp: ftplib.FTP, home: Path) -> None:
    """More than one part, and the next command is answered behind it."""
    names = [f"file-{number:05}" for number in range(5000)]
    for name in names:
        (home / name).touch()
    lines = reply(ftp, "STAT").split("\n")
    assert lines[0].startswith("211-")
    lines = reply(ftp, "STAT /").split("\n")
    assert sorted(line.rpartition(" ")[2] for line in lines[1:-1]) == names
    assert lines[-1] == "212 End."
    assert code(ftp, "NOOP") == 200


def test_stat_tells_the_state_of_the_session(ftp: ftplib.FTP) -> None:
    """Without an argument it is about the session."""
    assert reply(ftp, "STAT").startswith("211-")


def test_a_file_that_looks_like_a_reply_does_not_end_stat(ftp: ftplib.FTP, home: Path) -> None:
    """A name at the start of a line could be taken for the end of a multi-line reply."""
    (home / "212 End.").write_bytes(b"")
    assert len(reply(ftp, "STAT *End.").split("\n")) == 3
    assert code(ftp, "NOOP") == 200


def test_a_large_directory_is_listed_whole(ftp: ftplib.FTP, home: Path) -> None:
    """3,000 entries, more than one piece."""
    for number in range(3000):
        (home / f"file-{number:05}-with-a-longer-name").touch()
    assert len(set(listing(ftp, "NLST"))) == 3000
    assert len({name for name, _ in ftp.mlsd()} - {"", "/"}) == 3000


def test_an_unfinished_upload_is_not_listed(ftp: ftplib.FTP, home: Path) -> None:
    """The hidden files in which uploads grow are nobody's business."""
    (home / "visible").touch()
    ftp.sendcmd("TYPE I")
    connection = ftp.transfercmd("STOR file")
    connection.sendall(b"x" * 1000)
    ftp.putcmd("ABOR")
    assert {int(ftp.getmultiline()[:3]), int(ftp.getmultiline()[:3])} == {426, 226}
    connection.close()
    assert listing(ftp, "NLST") == ["visible"]
    assert len(listing(ftp, "LIST -a")) == 1
