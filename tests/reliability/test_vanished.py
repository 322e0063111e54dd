"""Clients that vanish in the middle and come back with curl, lftp or ftplib; and what others see meanwhile."""

from __future__ import annotations

import ftplib
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsd.storage.uploads.unfinished import PARTIAL_NAME
from tests.e2e.client import EXPLICIT, Sessions, begin, code, content, download, listing, log_in, reply, upload
from tests.e2e.daemon import Account
from tests.e2e.polling import eventually
from tests.reliability.mortal import MortalDaemon, leftovers
from tests.reliability.test_kill_points import published
from tests.tools import require_tool

DATA = content(3_000_000)
ARRIVED = 1_234_567

GoOn = Callable[[MortalDaemon, Account, Path], None]


def reset(connection: socket.socket) -> None:
    """End *connection* as a machine does that has lost its power and its address: by RST, with no word of TLS."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.socket(fileno=connection.detach()).close()


def vanish(daemon: MortalDaemon, account: Account, verb: str = "STOR", data: bytes = DATA[:ARRIVED]) -> None:
    """Upload *data* to "file", and be gone; return when the server has noticed."""
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    connection, _ = begin(ftp, f"{verb} file")
    connection.sendall(data)
    eventually(lambda: f"Transferring: {len(data)} bytes" in reply(ftp, "STAT"), "the bytes have arrived")
    before = len(ends(daemon, account))
    reset(connection)
    assert ftp.sock is not None
    reset(ftp.sock)
    eventually(lambda: len(ends(daemon, account)) > before, "the server has noticed")


def ends(daemon: MortalDaemon, account: Account) -> list[str]:
    """Return how the uploads of *account* have ended."""
    return [
        event["result"]
        for event in daemon.audit('"file-stored"', f'"{account.name}"')
        if (event["event"], event.get("user")) == ("file-stored", account.name)
    ]


def by_curl(daemon: MortalDaemon, account: Account, source: Path) -> None:
    """curl -C - asks for the SIZE and sends the rest with APPE."""
    url = f"ftp://127.0.0.1:{daemon.ports.explicit}/file"
    options = ["--ssl-reqd", "--cacert", str(daemon.tls.authority), "--user", f"{account.name}:{account.password}"]
    subprocess.run([require_tool("curl"), "-sS", *options, "-C", "-", "-T", str(source), url], check=True, timeout=60)


def by_lftp(daemon: MortalDaemon, account: Account, source: Path) -> None:
    """lftp's reput asks for the SIZE and sends the rest with REST and STOR."""
    run_lftp(daemon, account, source.parent, f"reput {source.name} -o file")


def by_ftplib(daemon: MortalDaemon, account: Account, source: Path) -> None:
    """A script: SIZE, REST, STOR."""
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    length = ftp.size("file")
    assert length == ARRIVED
    assert upload(ftp, "file", source.read_bytes()[length:], rest=length).startswith("226")
    ftp.close()


def run_lftp(daemon: MortalDaemon, account: Account, folder: Path, command: str) -> None:
    """Run one *command* of lftp in *folder*."""
    script = ";".join(
        [
            "set cmd:fail-exit yes",
            "set net:max-retries 1",
            f"set ssl:ca-file {daemon.tls.authority}",
            "set ftp:ssl-force yes",
            "set ftp:ssl-protect-data yes",
            f"open -u {account.name},{account.password} ftp://localhost:{daemon.ports.explicit}",
            command,
        ]
    )
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    subprocess.run([require_tool("lftp"), "--norc", "-c", script], cwd=folder, env=environ, check=True, timeout=60)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The file that the client has."""
    file = tmp_path / "source"
    file.write_bytes(DATA)
    return file


@pytest.mark.parametrize("go_on", [by_curl, by_lftp, by_ftplib])
def test_an_upload_is_gone_on_with(
    mortal: MortalDaemon, account: Account, home: Path, source: Path, go_on: GoOn
) -> None:
    """Byte for byte the client's file, and not one byte sent twice."""
    vanish(mortal, account)
    assert published(home) == {}
    go_on(mortal, account, source)
    assert published(home) == {"file": DATA}
    assert leftovers(home, "file") == []
    event = mortal.wait_for_event("file-stored", user=account.name, result="complete")
    assert (event["bytes"], event["offset"]) == (len(DATA) - ARRIVED, ARRIVED)


@pytest.mark.parametrize("program", ["curl", "lftp"])
def test_a_download_is_gone_on_with(
    mortal: MortalDaemon, account: Account, home: Path, tmp_path: Path, program: str
) -> None:
    """curl -C - and lftp's reget complete what an earlier run has left."""
    (home / "file").write_bytes(DATA)
    (tmp_path / "got").write_bytes(DATA[:ARRIVED])
    if program == "lftp":
        run_lftp(mortal, account, tmp_path, "reget file -o got")
    else:
        options = ["--ssl-reqd", "--cacert", str(mortal.tls.authority), "--user", f"{account.name}:{account.password}"]
        url = f"ftp://127.0.0.1:{mortal.ports.explicit}/file"
        subprocess.run(
            [require_tool("curl"), "-sS", *options, "-C", "-", "-o", str(tmp_path / "got"), url], check=True, timeout=60
        )
    assert (tmp_path / "got").read_bytes() == DATA
    mortal.wait_for_event("session-closed", user=account.name)  # one that is about to end makes a stop wait


def test_one_that_comes_back_before_its_death_is_noticed(mortal: MortalDaemon, account: Account, home: Path) -> None:
    """The dead session still holds the upload; the living one goes on, and the dead one changes nothing."""
    dead, alive = log_in(mortal, EXPLICIT, account), log_in(mortal, EXPLICIT, account)
    for ftp in (dead, alive):
        ftp.sendcmd("TYPE I")
    connection, _ = begin(dead, "STOR file")
    connection.sendall(DATA[:ARRIVED])
    eventually(lambda: f"Transferring: {ARRIVED} bytes" in reply(dead, "STAT"), "the bytes have arrived")
    assert alive.size("file") == ARRIVED
    assert upload(alive, "file", DATA[ARRIVED:], rest=ARRIVED).startswith("226")
    reset(connection)
    assert int(dead.getmultiline()[:3]) == 426
    assert published(home) == {"file": DATA}
    dead.close()
    alive.close()


def test_a_plain_stor_starts_over(mortal: MortalDaemon, account: Account, home: Path) -> None:
    """Nothing of what had arrived is in the new file."""
    vanish(mortal, account)
    ftp = log_in(mortal, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    assert upload(ftp, "file", b"other").startswith("226")
    assert (published(home), leftovers(home, "file")) == ({"file": b"other"}, [])
    ftp.close()


def test_an_append_that_vanishes_changes_nothing(mortal: MortalDaemon, account: Account, home: Path) -> None:
    """The old file stays, and what comes next is made from it."""
    (home / "file").write_bytes(b"old")
    vanish(mortal, account, "APPE")
    assert (published(home), leftovers(home, "file")) == ({"file": b"old"}, [])
    ftp = log_in(mortal, EXPLICIT, account)
    ftp.sendcmd("TYPE I")
    assert upload(ftp, "file", b"+", verb="APPE").startswith("226")
    assert published(home) == {"file": b"old+"}
    ftp.close()


def test_another_user_neither_sees_nor_resumes_it(mortal: MortalDaemon, account: Account, home: Path) -> None:
    """Two users of one home: the other one's SIZE, REST, APPE and STOR know nothing of it, and do it no harm."""
    stranger = mortal.account()
    users = mortal.users
    users[stranger.name]["home"] = str(home)
    mortal.write_users(users)
    mortal.reload()
    vanish(mortal, account)
    ftp = log_in(mortal, EXPLICIT, stranger)
    ftp.sendcmd("TYPE I")
    assert [code(ftp, line) for line in ("SIZE file", "MDTM file", "DELE file", "RETR file")] == [550, 550, 550, 425]
    assert listing(ftp, "NLST") == []
    assert [code(ftp, line) for line in ("TYPE I", f"REST {ARRIVED}", "EPSV", "STOR file")] == [200, 350, 229, 554]
    upload(ftp, "file", b"mine", verb="APPE")
    assert published(home) == {"file": b"mine"}
    assert code(ftp, "DELE file") == 250
    by_ftplib(mortal, account, _written(home.parent / "source"))
    assert published(home) == {"file": DATA}
    ftp.close()


def _written(path: Path) -> Path:
    path.write_bytes(DATA)
    return path


@pytest.fixture
def partial(mortal: MortalDaemon, account: Account, home: Path) -> str:
    """The name of an unfinished upload."""
    vanish(mortal, account)
    (name,) = leftovers(home)
    assert PARTIAL_NAME.fullmatch(name)
    return name


def test_listings_do_not_show_it(sessions: Sessions, account: Account, partial: str) -> None:
    """Not by LIST, NLST, MLSD or STAT, with options, wild cards or its own name."""
    ftp = sessions.log_in(account)
    for verb in ("LIST", "NLST", "MLSD", "LIST -a", "LIST .f*", "NLST .*", "NLST *"):
        lines = listing(ftp, verb)
        assert [line for line in lines if ".ftpsd" in line] == []
    assert ".ftpsd" not in reply(ftp, "STAT /").lower()
    for verb in ("LIST", "NLST", "MLSD"):
        with pytest.raises(ftplib.error_perm):
            listing(ftp, f"{verb} {partial}")
    for verb in ("STAT", "MLST"):
        assert code(ftp, f"{verb} {partial}") == 550


def test_its_own_name_leads_nowhere(sessions: Sessions, account: Account, home: Path, partial: str) -> None:
    """No command reaches it, in either case of its letters, and its bytes stay as they are."""
    ftp = sessions.log_in(account)
    ftp.sendcmd("TYPE I")
    for name in (partial, partial.upper(), f"/{partial}", f"./{partial}"):
        for verb in ("SIZE", "MDTM", "DELE", "RNFR", "CWD", "RMD", "MFMT 20200101000000"):
            assert code(ftp, f"{verb} {name}") == 550, (verb, name)
        assert code(ftp, f"MKD {name}") == 550
        for verb in ("RETR", "STOR", "APPE"):
            ftp.sendcmd("EPSV")
            assert code(ftp, f"{verb} {name}") in (550, 553)
    assert upload(ftp, "other", b"x").startswith("226")
    ftp.sendcmd("RNFR other")
    assert code(ftp, f"RNTO {partial}") == 553
    assert (home / partial).read_bytes() == DATA[:ARRIVED]
    assert download(ftp, "other") == b"x"
