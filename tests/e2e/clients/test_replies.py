"""Replies as particular clients parse them: how many, in which form, and what addresses and times they tell."""

from __future__ import annotations

import ftplib
import io
import os
import re
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.at_once import all_at_once
from tests.e2e.client import (
    EXPLICIT,
    EXPLICIT_1_2,
    IPV4,
    TIMEOUT,
    ControlConnection,
    Way,
    content,
    control,
    finish,
    listing,
    log_in,
    reply,
    tls_context,
)
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon

Spoil = Callable[[socket.socket, ControlConnection, Daemon, Way], None]


def in_a_new_session(plain: socket.socket, guest: ControlConnection, daemon: Daemon, way: Way) -> None:
    """Shake hands without resuming, as clients do that cannot."""
    try:
        with tls_context(daemon, way.version).wrap_socket(plain, server_hostname=IPV4) as data:
            data.recv(100)
    except OSError:
        pass  # cut off by the server


def in_clear(plain: socket.socket, guest: ControlConnection, daemon: Daemon, way: Way) -> None:
    """Send what is no ClientHello."""
    plain.sendall(b"hello\r\n")


def without_a_byte(plain: socket.socket, guest: ControlConnection, daemon: Daemon, way: Way) -> None:
    """Close at once."""
    plain.close()


def without_an_end(plain: socket.socket, guest: ControlConnection, daemon: Daemon, way: Way) -> None:
    """Break off behind some bytes: a FIN that no close_notify announced."""
    assert isinstance(guest.sock, ssl.SSLSocket)
    data = guest.sock.context.wrap_socket(plain, server_hostname=IPV4, session=guest.sock.session)
    data.sendall(content(1000))
    data.shutdown(socket.SHUT_RDWR)
    data.close()


@pytest.mark.parametrize("way", [EXPLICIT, EXPLICIT_1_2], ids=str)
def test_a_transfer_that_fails_has_one_final_reply(daemon: Daemon, way: Way) -> None:
    """
    lftp and FluentFTP take a second one for the reply to their next command, and reconnect ("stale data").

    The text says what is wrong: people look for it when their client cannot resume.
    """
    cases = [
        (in_a_new_session, "522 The data connection must resume the TLS session of the control connection."),
        (in_clear, "425 The TLS handshake on the data connection failed."),
        (without_a_byte, "425 The TLS handshake on the data connection failed."),
        (without_an_end, "426 Data connection ended without TLS close_notify, not stored."),
    ]
    all_at_once(fails_once, [(daemon, way, daemon.account(), *case) for case in cases])


def fails_once(daemon: Daemon, way: Way, account: Account, spoil: Spoil, expected: str) -> None:
    """Fail twice in one session, and see one reply each time."""
    guest = control(daemon, way)
    guest.log_in(account)
    for _ in range(2):
        with socket.create_connection(guest.passive(), TIMEOUT) as plain:
            assert guest.ask("STOR file").startswith("150")
            spoil(plain, guest, daemon, way)
            assert guest.reply() == expected
        assert guest.ask("PWD").startswith('257 "/"')
    guest.send("QUIT")
    assert guest.rest().startswith(b"221 ")
    guest.close()


@pytest.mark.parametrize("way", [EXPLICIT], ids=str)
@pytest.mark.parametrize(
    "line", ["FEAT", "HELP", "STAT", "STAT .", "STAT file", "MLST file", "MLST", "SITE HELP", "OPTS HASH", "CSID A=b;"]
)
def test_replies_stand_a_strict_parser(daemon: Daemon, way: Way, account: Account, line: str) -> None:
    """
    commons-net wants three digits and a space or hyphen; lftp and curl end a reply at the first line like its last.

    So no line in between begins with digits, and each ends with CRLF.
    """
    for name in ("file", "211 End", "213 End", "250 End"):
        (account.home / name).write_bytes(b"")
    guest = control(daemon, way)
    guest.log_in(account)
    guest.send(line, "QUIT")
    raw = guest.rest()
    assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")
    *lines, goodbye, nothing = raw.decode().split("\r\n")
    assert (goodbye[:4], nothing) == ("221 ", "")
    assert re.match(r"[1-5][0-9][0-9][ -]", lines[0])
    assert lines[-1].startswith(lines[0][:3] + " ")
    assert len(lines) == 1 or lines[0][3] == "-"
    assert [between for between in lines[1:-1] if not re.match(" [^ ]| {2,}[^ ]", between)] == []
    guest.close()


def test_what_clients_ask_before_auth(tls_daemon: Daemon) -> None:
    """WinSCP and FluentFTP send FEAT before AUTH, Explorer OPTS UTF8 before USER: 200, never 202 or 501 (pyftpsync)."""
    connection = ControlConnection(IPV4, tls_daemon.ports.explicit)
    assert connection.reply().startswith("220")
    assert "\n AUTH TLS\n" in connection.ask("FEAT")
    lines = ("OPTS UTF8", "OPTS UTF8 ON", "opts utf8 on", "OPTS UTF-8 ON", "CLNT WinSCP-release-6.3", "NOOP")
    assert [connection.ask(line)[:3] for line in lines] == ["200"] * len(lines)
    assert connection.ask("AUTH TLS").startswith("234")
    connection.start_tls(tls_context(tls_daemon))
    connection.log_in(tls_daemon.account())
    connection.close()


def test_times_are_utc_wherever_the_server_is(start_daemon: StartDaemon) -> None:
    """lftp and WinSCP take the times of LIST for UTC, and would fetch everything anew or nothing at all."""
    daemon = start_daemon(environ={"TZ": "Pacific/Kiritimati"})
    account = daemon.account()
    (account.home / "file").write_bytes(b"")
    yesterday = int(time.time()) - 24 * 3600
    os.utime(account.home / "file", (yesterday, yesterday))
    there = time.gmtime(yesterday)
    ftp = log_in(daemon, EXPLICIT, account)
    shown = f"{time.strftime('%b', there)} {there.tm_mday:2} {there.tm_hour:02}:{there.tm_min:02} file"
    assert listing(ftp, "LIST")[0].endswith(shown)
    stamp = time.strftime("%Y%m%d%H%M%S", there)
    assert reply(ftp, "MDTM file") == f"213 {stamp}"
    assert dict(ftp.mlsd())["file"]["modify"] == stamp
    assert reply(ftp, f"MFMT {stamp} file").startswith("213")
    assert int((account.home / "file").stat().st_mtime) == yesterday
    ftp.close()


@pytest.mark.parametrize(
    ("passive", "announced"),
    [
        ({"public_address": "203.0.113.9"}, "203,0,113,9"),
        (
            {
                "public_address": "203.0.113.9",
                "public_address_for": [{"networks": ["127.0.0.0/8"], "address": "198.51.100.7"}],
            },
            "198,51,100,7",
        ),
    ],
)
def test_the_announced_address_is_the_one_to_reach(
    start_daemon: StartDaemon, passive: dict[str, object], announced: str
) -> None:
    """EElFTPS and .NET connect to what 227 says; curl, lftp and ftplib mend a wrong address and so hide it."""
    daemon = start_daemon({"passive": passive})
    ftp = log_in(daemon, EXPLICIT, daemon.account())
    answer = reply(ftp, "PASV")
    assert answer.startswith(f"227 Entering Passive Mode ({announced},"), answer
    ftp.close()


def test_226_and_the_end_of_an_empty_upload(daemon: Daemon, account: Account, home: Path, ftp: ftplib.FTP) -> None:
    """WinSCP and lftp from 4.9 shake hands for an empty file too: that one is stored."""
    ftp.sendcmd("TYPE I")
    connection = ftp.transfercmd("STOR empty")
    finish(connection)
    assert ftp.voidresp().startswith("226")
    assert (home / "empty").read_bytes() == b""


@pytest.mark.parametrize("way", [EXPLICIT, EXPLICIT_1_2], ids=str)
def test_ftplib_reads_why_it_is_refused(daemon: Daemon, way: Way) -> None:
    """Python's own client, which cannot resume, ends each data connection with unwrap(): it must not fail there."""
    cases = [(0, True), (1000, True), (200_000, True), (1000, False)]
    all_at_once(is_refused, [(daemon, way, daemon.account(), *case) for case in cases])


def is_refused(daemon: Daemon, way: Way, account: Account, size: int, is_passive: bool) -> None:
    """Be refused an upload of *size* bytes, and a download."""
    (account.home / "file").write_bytes(content(1000))
    ftp = ftplib.FTP_TLS(context=tls_context(daemon, way.version), timeout=TIMEOUT)
    ftp.connect(IPV4, daemon.ports.explicit)
    ftp.login(account.name, account.password)
    ftp.prot_p()
    ftp.set_pasv(is_passive)
    with pytest.raises(ftplib.error_perm, match="522 The data connection must resume"):
        ftp.storbinary("STOR new", io.BytesIO(content(size)))
    with pytest.raises(ftplib.error_perm, match="522 The data connection must resume"):
        ftp.retrbinary("RETR file", lambda piece: None)
    ftp.quit()
    assert not (account.home / "new").exists()
