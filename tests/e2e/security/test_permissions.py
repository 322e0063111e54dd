"""
Permissions, verb by verb: what a user may not see can be neither changed, read nor listed, and not even be guessed at.

The table below names every command that takes a path. A path that is denied and cannot be listed must be answered like
one that is not there, to the letter, or names could be probed.
"""

from __future__ import annotations

import ftplib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ftpsd.commands import TABLE
from ftpsd.demo.authority import Demonstration
from tests.e2e.client import CLEAR, EXPLICIT, Sessions, Way, code, download, listing, reply
from tests.e2e.daemon import Account, Daemon

STAMP = "20210203040506"

RULES = [
    {"path": "/secret/**", "allow": []},
    {"path": "/mixed/hidden*", "allow": []},
    {"path": "/mixed/**", "allow": ["list", "read"]},
    {"path": "/shown/**", "allow": ["list"]},
    {"path": "/open/**", "allow": "all"},
    {"path": "/", "allow": ["list"]},
]
# Something that is there and that the user may not list, and a name of nothing under the same rules.
PAIRS = [
    ("/secret/file", "/secret/none"),
    ("/secret/folder", "/secret/none"),
    ("/secret/folder/file", "/secret/none/file"),
    ("/secret/file/below", "/secret/none/below"),
    ("/secret/link", "/secret/none"),
    ("/secret", "/secrets"),
    ("/mixed/hidden.txt", "/mixed/hidden-none"),
    ("/unruled", "/unruled-none"),
    ("/unruled/file", "/unruled-none/file"),
    ("open/../secret/file", "open/../secret/none"),
]

RANGED = [("TYPE I", "EPSV", "RANG 0 2", "STOR {}"), ("TYPE I", "EPSV", "RANG 3 5", "STOR {}")]
# The lines said before the command in question, and that command; {} is the path.
LINES: dict[str, list[tuple[str, ...]]] = {
    "RETR": [("EPSV", "RETR {}"), ("EPSV", "REST 3", "RETR {}"), ("TYPE I", "EPSV", "RANG 3 5", "RETR {}")],
    "STOR": [("EPSV", "STOR {}"), ("EPSV", "REST 3", "STOR {}"), *RANGED],
    "APPE": [("EPSV", "APPE {}")],
    "STOU": [("EPSV", "STOU {}")],
    "LIST": [("EPSV", "LIST {}"), ("EPSV", "LIST -la {}"), ("EPSV", "LIST {}/"), ("EPSV", "LIST {}/*")],
    "NLST": [("EPSV", "NLST {}"), ("EPSV", "NLST {}/*")],
    "MLSD": [("EPSV", "MLSD {}")],
    "MLST": [("MLST {}",)],
    "STAT": [("STAT {}",), ("STAT {}/*",)],
    "CWD": [("CWD {}",)],
    "XCWD": [("XCWD {}",)],
    "MKD": [("MKD {}",), ("MKD {}/new",)],
    "XMKD": [("XMKD {}",)],
    "RMD": [("RMD {}",)],
    "XRMD": [("XRMD {}",)],
    "DELE": [("DELE {}",)],
    "RNFR": [("RNFR {}",), ("RNFR {}", "RNTO /open/stolen")],
    "RNTO": [("RNFR /open/file", "RNTO {}"), ("RNFR /open/folder", "RNTO {}"), ("RNFR /open/file", "RNTO {}/new")],
    "SIZE": [("SIZE {}",), ("TYPE A", "SIZE {}")],
    "MDTM": [("MDTM {}",), (f"MDTM {STAMP} {{}}",)],
    "MFMT": [(f"MFMT {STAMP} {{}}",)],
    "SMNT": [("SMNT {}",)],
    "MFF": [(f"MFF modify={STAMP}; {{}}",), ("MFF UNIX.mode=0777; {}",), (f"MFF modify={STAMP};UNIX.mode=0777; {{}}",)],
    "MFCT": [(f"MFCT {STAMP} {{}}",)],
    "HASH": [("HASH {}",), ("RANG 0 1", "HASH {}")],
    "XCRC": [("XCRC {}",)],
    "XMD5": [("XMD5 {}",)],
    "XSHA": [("XSHA {}",)],
    "XSHA1": [("XSHA1 {}",)],
    "XSHA256": [("XSHA256 {}",), ('XSHA256 "{}" 0 2',)],
    "XSHA512": [("XSHA512 {}",)],
    "AVBL": [("AVBL {}",)],
    "PRET": [("PRET RETR {}",), ("PRET STOR {}",), ("PRET APPE {}",), ("PRET MLSD {}",), ("PRET LIST {}",)],
    "COMB": [("COMB {} /open/file",), ("COMB /open/stolen {}",), ("COMB /open/stolen /open/file {}",)],
    "SITE CHMOD": [("SITE CHMOD 777 {}",)],
    "SITE UTIME": [(f"SITE UTIME {STAMP} {{}}",), (f"SITE UTIME {{}} {STAMP} {STAMP} {STAMP} UTC",)],
    "SITE CPFR": [("SITE CPFR {}",), ("SITE CPFR {}", "SITE CPTO /open/stolen")],
    "SITE CPTO": [("SITE CPFR /open/file", "SITE CPTO {}"), ("SITE CPFR /open/file", "SITE CPTO {}/new")],
    "SITE SYMLINK": [
        ('SITE SYMLINK "{}" /open/stolen',),
        ('SITE SYMLINK "{}" /shown/stolen',),
        ('SITE SYMLINK /open/file "{}"',),
        ('SITE SYMLINK /open/folder "{}/new"',),
    ],
    "SITE QUOTA": [("SITE QUOTA {}",)],
}


@dataclass(frozen=True)
class Guarded:
    """A daemon whose user has the rules above, and a picture of the home as it must stay."""

    daemon: Daemon
    account: Account
    before: dict[str, tuple[object, ...]]


def picture(home: Path) -> dict[str, tuple[object, ...]]:
    """Return what there is in *home*, with everything a client could change."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(home):
        for name in folders + files:
            path = Path(folder) / name
            status = path.lstat()
            data = path.read_bytes() if path.is_file() else None
            # A directory's time changes when a partial comes and goes in it, which is nobody's secret.
            modified = status.st_mtime_ns if path.is_file() else None
            found[str(path.relative_to(home))] = (status.st_mode, status.st_ino, modified, data)
    return found


def fill(home: Path) -> None:
    """Put files where the rules are about them."""
    for folder in ("secret/folder/inner", "mixed/hidden-folder", "shown/folder", "open/folder", "unruled"):
        (home / folder).mkdir(parents=True)
    for file in ("secret/file", "secret/folder/file", "mixed/hidden.txt", "mixed/plain.txt", "shown/file"):
        (home / file).write_bytes(b"confidential")
    for file in ("open/file", "unruled/file"):
        (home / file).write_bytes(b"confidential")
    (home / "secret/link").symlink_to("file")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Guarded]:
    """A daemon of these tests."""
    settings = {"tls": {"require": "none"}, "limits": {"sessions_per_user": 100}}
    daemon = Daemon(tmp_path_factory.mktemp("guarded"), tls_files, settings, users=1)
    users = daemon.users
    users["u000"]["rules"] = RULES
    daemon.write_users(users)
    account = daemon.account()
    fill(account.home)
    try:
        daemon.start()
        yield Guarded(daemon, account, picture(account.home))
        daemon.stop()
    finally:
        daemon.kill()


@pytest.fixture(scope="module", params=[CLEAR, EXPLICIT], ids=str)
def shared(request: pytest.FixtureRequest, house: Guarded) -> Iterator[ftplib.FTP]:
    """A session of the user that the tests of the table share."""
    way: Way = request.param
    sessions = Sessions(house.daemon, way)
    yield sessions.log_in(house.account)
    sessions.close()


@pytest.fixture
def ftp(house: Guarded) -> Iterator[ftplib.FTP]:
    """A session of the user."""
    sessions = Sessions(house.daemon, CLEAR)
    yield sessions.log_in(house.account)
    sessions.close()


def said(ftp: ftplib.FTP, lines: tuple[str, ...], path: str) -> list[str]:
    """Say *lines* about *path* and return the replies, but that of EPSV, without the path."""
    answers = [reply(ftp, line.format(path)).replace(path, "{}") for line in lines]
    return [answer for answer in answers if not answer.startswith("229")]


def test_the_table_names_every_command_with_a_path() -> None:
    """A command that is added must be added here."""
    takes_path = {command.verb: command for command in TABLE if "path" in command.syntax}
    expected = {name for verb, command in takes_path.items() for name in (verb, *command.aliases)}
    assert set(LINES) == expected


@pytest.mark.parametrize("verb", LINES)
def test_what_is_denied_is_as_if_it_were_not_there(house: Guarded, shared: ftplib.FTP, verb: str) -> None:
    """The replies about a file that may not be seen are those about no file, they refuse, and nothing has changed."""
    wrong = [
        (lines, there, complaint)
        for lines in LINES[verb]
        for there, missing in PAIRS
        if (complaint := _difference(house, shared, lines, there, missing))
    ]
    assert wrong == []


def _difference(house: Guarded, ftp: ftplib.FTP, lines: tuple[str, ...], there: str, missing: str) -> str:
    """Return what tells *there* from *missing*, or was done to *there*; "" when all is well."""
    answers = said(ftp, lines, there)
    about_nothing = said(ftp, lines, missing)
    after = [code(ftp, line) for line in ("CWD /", "TYPE I", "RANG 1 0")]
    if answers != about_nothing:
        return f"{answers}, and about what is not there {about_nothing}"
    # PRET does nothing, and where it can tell nothing it leaves the refusal to the transfer.
    if answers[-1][0] != "5" and not lines[-1].startswith("PRET "):
        return f"not refused: {answers}"
    if (now := picture(house.account.home)) != house.before:
        return f"changed: {sorted(now.items() ^ house.before.items())}"
    return "" if after == [250, 200, 350] else f"the session is not as before: {after}"


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (("EPSV", "RETR {}"), "550 Permission denied."),
        (("EPSV", "STOR {}"), "550 Permission denied."),
        (("EPSV", "APPE {}"), "550 Permission denied."),
        (("EPSV", "STOU {}"), "550 Permission denied."),
        (("DELE {}",), "550 Permission denied."),
        (("RMD {}",), "550 Permission denied."),
        (("MKD {}/new",), "550 Permission denied."),
        (("RNFR {}", "RNTO /open/stolen"), "550 Permission denied."),
        (("RNFR /open/file", "RNTO {}"), "550 Permission denied."),
        ((f"MFMT {STAMP} {{}}",), "550 Permission denied."),
        ((f"MDTM {STAMP} {{}}",), "550 Permission denied."),
        (("MFF UNIX.mode=0777; {}",), "550 Permission denied."),
        ((f"MFF modify={STAMP};UNIX.mode=0777; {{}}",), "550 Permission denied."),
        (("SITE CHMOD 777 {}",), "550 Permission denied."),
        ((f"SITE UTIME {STAMP} {{}}",), "550 Permission denied."),
        (("SITE CPFR /open/file", "SITE CPTO {}"), "550 Permission denied."),
        (("SITE CPFR {}", "SITE CPTO /open/stolen"), "550 Permission denied."),
        (("SITE SYMLINK {} /open/stolen",), "550 Permission denied."),
        (("SITE SYMLINK /open/file {}",), "550 Permission denied."),
        (("HASH {}",), "550 Permission denied."),
        (("XSHA256 {}",), "550 Permission denied."),
        (("PRET RETR {}",), "550 Permission denied."),
        (("PRET STOR {}",), "550 Permission denied."),
    ],
)
def test_what_is_only_listed_is_denied(house: Guarded, ftp: ftplib.FTP, lines: tuple[str, ...], answer: str) -> None:
    """A user who may only list is told so, and nothing has changed."""
    assert said(ftp, lines, "/shown/file")[-1] == answer
    assert picture(house.account.home) == house.before


def test_listings_show_what_may_be_listed(ftp: ftplib.FTP) -> None:
    """Every form of listing leaves out the same; what is left is what there is for this user."""
    assert sorted(listing(ftp, "NLST /")) == ["/mixed", "/open", "/shown"]
    assert listing(ftp, "NLST /mixed") == ["/mixed/plain.txt"]
    assert listing(ftp, "NLST /mixed/h*") == []
    assert [line.split(" ")[-1] for line in listing(ftp, "LIST -la /mixed")] == ["plain.txt"]
    assert [line.split(" ")[-1] for line in listing(ftp, "MLSD /mixed")] == ["plain.txt"]
    assert [line.split(" ")[-1] for line in reply(ftp, "STAT /mixed").split("\n")[1:-1]] == ["plain.txt"]


def test_listings_count_nothing_that_is_hidden(house: Guarded, ftp: ftplib.FTP) -> None:
    """The number of links, by which `ls` shows how many directories are in one, does not count hidden ones."""
    links = {line.split()[-1]: line.split()[1] for line in listing(ftp, "LIST /")}
    assert (house.account.home / "mixed").stat().st_nlink > 2
    assert (links["mixed"], links["shown"]) == ("1", str((house.account.home / "shown").stat().st_nlink))


def test_what_is_allowed_works(ftp: ftplib.FTP) -> None:
    """Beside all that is denied, the user can work."""
    assert download(ftp, "/mixed/plain.txt") == b"confidential"
    lines = ("MKD /open/new", "RMD /open/new", "CWD /open", "SIZE file")
    assert [code(ftp, line) for line in lines] == [257, 250, 250, 213]
