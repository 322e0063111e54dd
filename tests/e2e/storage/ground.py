"""The state that tests of quotas look at: what is in a home, and what the server says of it."""

from __future__ import annotations

import ftplib
import os
import re
from pathlib import Path

from tests.e2e.client import begin, finish, reply
from tests.e2e.polling import eventually

NUMBERS = re.compile(r"(bytes|files|directories): ([0-9]+) of ")


def used(home: Path) -> tuple[int, int, int]:
    """Count the bytes, files and directories in *home*, hidden ones too; a link is an empty file."""
    sizes = []
    folders = 0
    for folder, inner, files in os.walk(home):
        found = [Path(folder) / name for name in inner + files]
        links = [path for path in found if path.is_symlink()]
        folders += sum(path.is_dir() for path in found if path not in links)
        sizes += [0 if path in links else path.lstat().st_size for path in found if path in links or path.is_file()]
    return sum(sizes), len(sizes), folders


def told(ftp: ftplib.FTP) -> tuple[int, int, int]:
    """Return the bytes, files and directories that SITE QUOTA tells."""
    found = dict(NUMBERS.findall(reply(ftp, "SITE QUOTA")))
    return int(found["bytes"]), int(found["files"]), int(found["directories"])


def store(ftp: ftplib.FTP, command: str, data: bytes, *, after: str | None = None) -> str:
    """Upload *data* as far as the server takes it, and return the final reply; the server may cut it short."""
    connection, _ = begin(ftp, command, after=after)
    try:
        connection.sendall(data)
        finish(connection)
    except OSError:  # the server has answered, and reads no more
        connection.close()
    return ftp.getmultiline()


def interrupted(ftp: ftplib.FTP, command: str, data: bytes) -> None:
    """Upload *data*, and end that by ABOR."""
    connection, _ = begin(ftp, command)
    connection.sendall(data)
    eventually(lambda: f"Transferring: {len(data)} bytes" in reply(ftp, "STAT"), "the bytes have arrived")
    ftp.putcmd("ABOR")
    assert [ftp.getmultiline()[:3] for _ in range(2)] == ["426", "226"]
    connection.close()


def published(home: Path) -> dict[str, int]:
    """Return the files of *home* that have names of their own, with their sizes."""
    return {path.name: path.stat().st_size for path in home.iterdir() if not path.name.startswith(".ftpsd-")}
