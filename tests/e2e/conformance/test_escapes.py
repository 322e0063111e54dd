"""Path escapes: by every verb that takes a path, by dots, links, and what other systems take for a separator."""

from __future__ import annotations

import ftplib
import os
from pathlib import Path

import pytest

from tests.e2e.client import CLEAR, EXPLICIT, Way, code, finish, next_code, read_all, reply
from tests.e2e.daemon import Account

WAYS = pytest.mark.parametrize("way", [CLEAR, EXPLICIT], ids=str)
SECRET = b"not for this user"
TAKING_A_PATH = (
    *(
        "CWD",
        "XCWD",
        "MKD",
        "RMD",
        "DELE",
        "RNFR",
        "RNTO",
        "SIZE",
        "MDTM",
        "MLST",
        "STAT",
        "HASH",
        "XCRC",
        "XMD5",
        "AVBL",
    ),
    *("MFMT 20240203040506", "MFF modify=20240203040506;", "MDTM 20240203040506", "SITE CHMOD 777", "SITE CPFR"),
    *("SITE UTIME 20240203040506", "PRET RETR", "PRET STOR", "COMB new", "SITE QUOTA"),
)
TRANSFERRING = ("RETR", "STOR", "APPE", "STOU", "LIST", "NLST", "MLSD")


@pytest.fixture
def secret(account: Account) -> Path:
    """A file beside the user's home, and links to it from within."""
    home = account.home
    folder = home.parent / f"{account.name}-secret"
    folder.mkdir()
    file = folder / "file"
    file.write_bytes(SECRET)
    file.chmod(0o600)
    (home / "to-file").symlink_to(file)
    (home / "to-folder").symlink_to(folder)
    (home / "to-above").symlink_to("..")
    (home / "to-root").symlink_to("/")
    (home / "to-link").symlink_to("to-folder")
    return file


def ways_out(secret: Path) -> list[str]:
    """Return what an attacker tries to reach it by."""
    folder = secret.parent.name
    return [
        str(secret),
        f"../{folder}/file",
        f"/../{folder}/file",
        f"x/../../{folder}/file",
        f"//..//{folder}//file",
        f"....//{folder}/file",
        f"..\\{folder}\\file",
        f"%2e%2e/{folder}/file",
        f"..%2f{folder}%2ffile",
        f"\N{TWO DOT LEADER}/{folder}/file",
        f"/proc/self/root{secret}",
        f"/proc/self/cwd/../{folder}/file",
        "to-file",
        "to-folder/file",
        "to-link/file",
        f"to-above/{folder}/file",
        f"to-root{secret}",
        "~/../file",
        "to-file/",
        "to-folder",
        "to-above",
        "to-root",
    ]


def unchanged(secret: Path) -> bool:
    """Whether nobody has written to it, or beside it."""
    status = secret.stat()
    is_same = (status.st_size, status.st_mode & 0o777) == (len(SECRET), 0o600)
    return is_same and secret.read_bytes() == SECRET and os.listdir(secret.parent) == ["file"]


@WAYS
@pytest.mark.parametrize("verb", TAKING_A_PATH)
def test_no_verb_leads_out(ftp: ftplib.FTP, secret: Path, verb: str, way: Way) -> None:
    """Nothing outside is read, changed or even told to be there."""
    before = secret.stat()
    for path in ways_out(secret):
        if verb == "RNTO":
            (Path(secret.parent.parent) / ftp_home(secret) / "mine").write_bytes(b"mine")
            reply(ftp, "RNFR mine")
        answer = reply(ftp, f"{verb} {path}")
        assert str(len(SECRET)) not in answer.split("\n")[0].split()[1:], (path, answer)
        assert code(ftp, "CWD /") == 250
    assert unchanged(secret)
    assert secret.stat().st_mtime_ns == before.st_mtime_ns


@WAYS
@pytest.mark.parametrize("verb", TRANSFERRING)
def test_no_transfer_leads_out(ftp: ftplib.FTP, secret: Path, verb: str, way: Way) -> None:
    """Bytes that arrive hold nothing of the secret, bytes that are sent do not reach it."""
    for path in ways_out(secret):
        ftp.sendcmd("EPSV")
        if reply(ftp, f"PRET {verb} {path}").startswith("2"):
            answer = _transferred(ftp, f"{verb} {path}", b"forged" if verb in ("STOR", "APPE", "STOU") else None)
            assert SECRET not in answer
            assert b" file" not in answer
    assert unchanged(secret)


def _transferred(ftp: ftplib.FTP, command: str, sent: bytes | None) -> bytes:
    """Return what a transfer brings, nothing when it is refused."""
    try:
        connection, _ = ftp.ntransfercmd(command)
    except ftplib.Error:
        return b""
    if sent is None:
        received = read_all(connection)
    else:
        connection.sendall(sent)
        finish(connection)
        received = b""
    assert next_code(ftp) in (226, 450, 451, 550, 553)
    return received


@WAYS
def test_no_link_leads_out(ftp: ftplib.FTP, secret: Path, way: Way) -> None:
    """A link to outside is not made, and none outside; what is answered does not depend on what there is."""
    mine = secret.parent.parent / ftp_home(secret) / "mine"
    mine.write_bytes(b"mine")
    for path in ways_out(secret):
        answers = {reply(ftp, f'SITE SYMLINK "{seen}" stolen') for seen in (path, path.replace("file", "none"))}
        assert answers == {"550 No such file or directory."}, path
        reply(ftp, f'SITE SYMLINK /mine "{path}"')
        reply(ftp, f'SITE SYMLINK /mine "{path}/new"')
    assert not (mine.parent / "stolen").is_symlink()
    assert unchanged(secret)
    assert sorted(os.listdir(mine.parent.parent / secret.parent.name)) == ["file"]


def ftp_home(secret: Path) -> str:
    """Return the name of the home that lies beside *secret*."""
    return secret.parent.name.removesuffix("-secret")


@WAYS
@pytest.mark.parametrize("verb", ["RETR", "STOR", "APPE", "SIZE", "HASH", "SITE CPFR", "PRET RETR"])
@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
def test_special_files_are_not_opened(ftp: ftplib.FTP, home: Path, verb: str, kind: str, way: Way) -> None:
    """550 at once: nobody is at the other end of a FIFO, and /dev/zero has none."""
    if kind == "fifo":
        os.mkfifo(home / "special")
    elif kind == "socket":
        os.mknod(home / "special", 0o140600)
    else:
        try:
            os.mknod(home / "special", 0o020666, os.makedev(1, 5))
        except PermissionError:
            (home / "special").symlink_to("/dev/zero")
    ftp.sendcmd("EPSV")
    assert code(ftp, f"{verb} special") == 550
    assert code(ftp, "NOOP") == 200
