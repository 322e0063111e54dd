"""MODE Z, where the operator allows it: by hand, and as lftp does it."""

from __future__ import annotations

import ftplib
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.client import CLEAR, EXPLICIT, Sessions, Way, begin, code, content, finish, next_code, read_all, reply
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.tools import require_tool

TEXT = b"".join(b"line %d\n" % number for number in range(300_000))


@pytest.fixture(params=[CLEAR, EXPLICIT], ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """In clear and under TLS."""
    chosen: Way = request.param
    return chosen


@pytest.fixture
def daemon(start_daemon: StartDaemon, way: Way) -> Daemon:
    """A daemon that allows MODE Z."""
    return start_daemon({"mode_z": True, "tls": {"require": "control-and-data" if way.is_secure else "none"}})


@pytest.fixture
def deflated(daemon: Daemon, way: Way, account: Account) -> Iterator[ftplib.FTP]:
    """A session in MODE Z."""
    sessions = Sessions(daemon, way)
    ftp = sessions.log_in(account)
    for line in ("TYPE I", "OPTS MODE Z LEVEL 4", "MODE Z"):
        assert code(ftp, line) == 200
    yield ftp
    sessions.close()


def send(ftp: ftplib.FTP, name: str, data: bytes) -> int:
    """Upload a stream, properly ended; return the code."""
    connection, _ = begin(ftp, f"STOR {name}")
    connection.sendall(data)
    with suppress(OSError):  # what is refused is cut
        finish(connection)
    return next_code(ftp)


def test_both_ways(deflated: ftplib.FTP, home: Path) -> None:
    """A file comes up and goes down deflated, and a listing; MODE S ends it. A stream without its end is no file."""
    assert " MODE Z" in reply(deflated, "FEAT").split("\n")
    for name, data in (("text", TEXT), ("noise", content(3_000_000)), ("empty", b"")):
        assert send(deflated, name, zlib.compress(data)) == 226
        assert (home / name).read_bytes() == data
        connection, _ = begin(deflated, f"RETR {name}")
        assert zlib.decompress(read_all(connection)) == data
        assert next_code(deflated) == 226
    connection, _ = begin(deflated, "NLST")
    assert sorted(zlib.decompress(read_all(connection)).decode().split()) == ["empty", "noise", "text"]
    assert next_code(deflated) == 226

    assert send(deflated, "text", zlib.compress(b"new")[:-1]) == 426
    assert send(deflated, "other", b"") == 426
    assert (home / "text").read_bytes() == TEXT
    assert not (home / "other").exists()

    assert code(deflated, "MODE S") == 200
    connection, _ = begin(deflated, "RETR text")
    assert read_all(connection) == TEXT
    assert next_code(deflated) == 226


def test_lftp(daemon: Daemon, way: Way, account: Account, home: Path, tmp_path: Path) -> None:
    """lftp takes up the offer by itself."""
    (tmp_path / "text").write_bytes(TEXT)
    (tmp_path / "empty").write_bytes(b"")
    settings = f"set cmd:fail-exit yes; set net:max-retries 1; set ssl:ca-file {daemon.tls.authority}; "
    settings += f"set ftp:ssl-allow {'yes' if way.is_secure else 'no'}; set ftp:ssl-protect-data yes; debug 4; "
    commands = "put text; put empty; get text -o text.2; get empty -o empty.2; cls; ls"
    login = f"open -u {account.name},{account.password} ftp://localhost:{daemon.ports.explicit}; "
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [require_tool("lftp"), "--norc", "-c", settings + login + commands],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MODE is Z" in done.stdout + done.stderr
    assert (home / "text").read_bytes() == (tmp_path / "text.2").read_bytes() == TEXT
    assert (home / "empty").read_bytes() == (tmp_path / "empty.2").read_bytes() == b""
