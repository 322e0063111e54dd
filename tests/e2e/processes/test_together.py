"""Two processes together with what stands before and beside them: proxies, virtual hosts."""

from __future__ import annotations

import ftplib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import SECURE_WAYS, ControlConnection, content, download, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import PASSWORD, Daemon, password_hash
from tests.e2e.haproxy import ProxiedDaemon
from tests.e2e.hosted import OTHER, HostedDaemon, NamedFTP
from tests.e2e.polling import eventually
from tests.e2e.processes.conftest import TWO
from tests.e2e.processes.pair import both_serve, server_of
from tests.e2e.security.test_proxy import CLIENT, FORGER, HEADER, REJECTED, all_that_comes, arrive

MOST = 8
# Bytes.
QUOTA = 100_000
ELSEWHERE = HEADER.replace(CLIENT.encode(), b"198.51.100.8")


@pytest.fixture
def proxied(tmp_path: Path, tls_files: Demonstration) -> Iterator[Daemon]:
    """Two processes behind a proxy, which is this test."""
    settings = {**TWO, "tls": {"require": "none"}, "limits": {"connections_per_address": MOST}}
    daemon = ProxiedDaemon(tmp_path / "proxied", tls_files, settings)
    try:
        daemon.start()
        yield daemon
        daemon.stop()
        assert "Traceback" not in daemon.stderr
    finally:
        daemon.kill()


def test_both_read_the_headers_of_a_proxy(proxied: Daemon) -> None:
    """The client of the header is who is counted, over both processes; the proxy's own address is nobody's."""
    both_serve(proxied)
    account, ports = proxied.account(), proxied.ports.passive
    found: list[ControlConnection] = []
    servers: set[bool] = set()
    for _ in range(MOST):
        connection = arrive(proxied, HEADER)
        assert connection.reply().startswith("220")
        connection.log_in(account)
        servers.add(connection.passive()[1] >= ports[0] + len(ports) // 2)
        found.append(connection)
    assert servers == {False, True}
    refused = arrive(proxied, HEADER)
    assert refused.reply().startswith("421")
    other = arrive(proxied, ELSEWHERE)
    assert other.reply().startswith("220")
    logged_in = 'ftpsd_sessions{state="idle"}'
    # A scrape may show the numbers of the last second.
    eventually(lambda: proxied.metrics()[logged_in] == MOST, "all are counted")
    for connection in (*found, refused, other):
        connection.close()


def test_neither_believes_a_stranger(proxied: Daemon) -> None:
    """As many as reach both of them: each is closed without a word, and counted once."""
    both_serve(proxied)
    for _ in range(MOST):
        assert all_that_comes(arrive(proxied, HEADER, FORGER)) == b""
    eventually(lambda: proxied.metrics().get(REJECTED) == MOST, "each is counted")


def in_each(hosted: HostedDaemon, name: str, user: str = "carol") -> list[NamedFTP]:
    """Return a session of *user* at host *name* in each process, whichever modes and versions those have."""
    found: dict[int, NamedFTP] = {}
    for turn in range(100):
        ftp = hosted.connect(SECURE_WAYS[turn % len(SECURE_WAYS)], name)
        ftp.login(user, PASSWORD, secure=False)
        ftp.prot_p()
        number = server_of(hosted.daemon, ftp)
        if number in found:
            ftp.close()
        found.setdefault(number, ftp)
        if len(found) == 2:
            return [found[0], found[1]]
    raise AssertionError("one process got all of 100 sessions")


@pytest.fixture
def hosted(tmp_path: Path, start_daemon: StartDaemon) -> HostedDaemon:
    """Two processes with virtual hosts."""
    return HostedDaemon(tmp_path, lambda changes: start_daemon({**TWO, **changes}))


def write_user(hosted: HostedDaemon, host: str, user: str, **more: object) -> None:
    """Make *user* the only one of *host*, and reload."""
    entry = {"password": password_hash(), "home": str(hosted.homes[host]), **more}
    hosted.users(host).write_text(json.dumps({"users": {user: entry}}))
    hosted.daemon.reload()


def test_both_serve_every_host(hosted: HostedDaemon) -> None:
    """Certificate and users of each name, in each process, before a reload and after it."""
    for user in ("carol", "erin"):
        for host, home in hosted.homes.items():
            write_user(hosted, host, user)
            for server, ftp in enumerate(in_each(hosted, host, user)):
                file, data = f"{user}-{server}", f"{host} {user} {server}".encode()
                upload(ftp, file, data)
                assert (home / file).read_bytes() == data == download(ftp, file)
                ftp.quit()


def test_a_quota_of_a_host_holds_in_both(hosted: HostedDaemon) -> None:
    """A file that a session in one process has stored leaves that much less room to one in the other."""
    write_user(hosted, OTHER, "carol", quota={"bytes": QUOTA})
    one, other = in_each(hosted, OTHER)
    upload(one, "file", content(QUOTA - 100))
    with pytest.raises(ftplib.error_perm, match="552"):
        upload(other, "second", content(101))
    other.delete("file")
    upload(one, "third", content(QUOTA - 100))
    for ftp in (one, other):
        ftp.close()
