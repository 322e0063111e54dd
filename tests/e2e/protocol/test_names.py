"""Names of files: everything a file system allows, but nothing that breaks a reply or a listing."""

from __future__ import annotations

import ftplib
from pathlib import Path

from tests.e2e.client import code, content, download, listing, upload

NAMES = [
    "two words",
    "Müller & Söhne — Räschnung.pdf",
    "日本語のファイル",
    "emoji 🎉",
    'with "quotes"',
    "it's",
    "100%",
    "%41",
    "-l",
    "--help",
    "a;b|c$(d)`e`",
    "back\\slash",
    "*",
    "[x]?",
    ".hidden",
    " leading space",
    "trailing space ",
    "~",
    "226 Transfer complete.",
    "x" * 255,
    "ü" * 127,
    "e\u0301 is not é",
]


CONTROLS = ["tab\there", "bell\a", "escape\x1b[31m", "delete\x7f", "cr\rhere", "csi\x9b31m", "nel\x85", "pad\x80"]


def test_names_survive_a_round_trip(ftp: ftplib.FTP, home: Path) -> None:
    """Stored, listed, read, renamed and deleted under the very name that was given."""
    wrong: list[tuple[str, object]] = []
    for name in NAMES:
        try:
            upload(ftp, name, content(10))
            stored = [path.name for path in home.iterdir()]
            listed = [found for found, _ in ftp.mlsd() if found not in ("", "/")]
            found = (stored, listing(ftp, "NLST"), listed, download(ftp, name))
            ftp.rename(name, "other")
            ftp.rename("other", name)
            ftp.delete(name)
        except ftplib.Error as error:
            wrong.append((name, error))
            continue
        if found != ([name], [name], [name], content(10)):
            wrong.append((name, found))
        if left := list(home.iterdir()):
            wrong.append((name, left))
    assert wrong == []


def test_directories_may_be_called_so_too(ftp: ftplib.FTP) -> None:
    """MKD and PWD quote it so that ftplib reads it back."""
    wrong: list[tuple[str, object]] = []
    for name in NAMES:
        try:
            made = ftp.mkd(name)
            ftp.cwd(name)
            entered = ftp.pwd()
        except ftplib.Error as error:
            wrong.append((name, error))
            continue
        if (made, entered) != (f"/{name}", f"/{name}"):
            wrong.append((name, (made, entered)))
        ftp.cwd("/")
    assert wrong == []


def test_control_characters_are_refused(ftp: ftplib.FTP, home: Path) -> None:
    """A new name cannot hold what would forge a line of a listing, a reply or a log."""
    assert ftp.sock is not None
    codes = {}
    for name in CONTROLS:
        ftp.sock.sendall(f"MKD {name}\r\n".encode())
        codes[name] = int(ftp.getmultiline()[:3])
    assert codes == dict.fromkeys(CONTROLS, 550)
    assert list(home.iterdir()) == []


def test_a_name_that_breaks_lines_is_not_listed(ftp: ftplib.FTP, home: Path) -> None:
    """A name that another program has put there cannot forge a line of a listing."""
    (home / "one\r\nfake").touch()
    (home / "csi\x9b2J").touch()
    (home / "two").touch()
    assert listing(ftp, "NLST") == ["two"]


def test_a_name_that_is_not_utf_8_is_reached(ftp: ftplib.FTP, home: Path) -> None:
    """Old files have names in other encodings: they are listed and read byte for byte."""
    (home / "caf\udce9").write_bytes(b"content")
    ftp.encoding = "latin-1"
    raw: list[str] = []
    ftp.retrlines("NLST", raw.append)
    assert raw == ["caf\xe9"]
    assert ftp.sock is not None
    ftp.voidcmd("TYPE I")
    ftp.sock.sendall(b"SIZE caf\xe9\r\n")
    assert ftp.getmultiline() == "213 7"


def test_a_name_that_is_too_long_is_refused(ftp: ftplib.FTP) -> None:
    """More than the file system takes: an error for this command, not for the session."""
    assert code(ftp, "MKD " + "x" * 256) in (550, 553)
    assert code(ftp, "NOOP") == 200


def test_the_longest_path_works(ftp: ftplib.FTP, home: Path) -> None:
    """Paths up to the 4 KiB of PATH_MAX are taken in one command."""
    names = ["d" * 250] * 15
    for name in names:
        ftp.mkd(name)
        ftp.cwd(name)
    assert code(ftp, "CWD /" + "/".join(names)) == 250
    assert ftp.pwd() == "/" + "/".join(names)
