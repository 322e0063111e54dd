"""Behind HAProxy: transfers by every client, and the daemon knows them by their own addresses."""

from __future__ import annotations

import ftplib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ftpsd.config.model import Config
from ftpsd.demo.authority import Demonstration
from tests.e2e.client import (
    EXPLICIT,
    IMPLICIT,
    IPV4,
    TIMEOUT,
    ImplicitFTP_TLS,
    ReusedFTP_TLS,
    Way,
    content,
    download,
    next_code,
    read_all,
    reply,
    tls_context,
    upload,
)
from tests.e2e.daemon import Account, Daemon
from tests.e2e.haproxy import DAEMON, VERSIONS, HAProxy, ProxiedDaemon, documented
from tests.tools import require_tool

CLIENT, OTHER = "127.0.0.7", "127.0.0.8"
SIZE = 300_000


@pytest.fixture(scope="module", params=VERSIONS)
def proxied(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration
) -> Iterator[Daemon]:
    """A daemon behind HAProxy, by each version of the protocol."""
    daemon = ProxiedDaemon(tmp_path_factory.mktemp("proxied"), tls_files, {"limits": {"connections_per_address": 3}})
    try:
        daemon.start()
        proxy = HAProxy(daemon, request.param)
        try:
            yield daemon
        finally:
            proxy.close()
        daemon.stop()
    finally:
        daemon.kill()


@pytest.fixture
def account(proxied: Daemon) -> Account:
    """A user that no other test uses."""
    return proxied.account()


class FromHere(ImplicitFTP_TLS):
    """Implicit TLS from an address of our choice."""

    def connect(
        self, host: str = "", port: int = 0, timeout: float = -999, source_address: tuple[str, int] | None = None
    ) -> str:
        """Connect, start TLS, read the greeting."""
        self.host, self.source_address = host, source_address
        connection = socket.create_connection((host, port), TIMEOUT, source_address)
        self.af = connection.family
        self.sock = self.context.wrap_socket(connection, server_hostname=host)
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()
        return self.welcome


def client(daemon: Daemon, way: Way, source: str = CLIENT) -> ReusedFTP_TLS:
    """Return a client that has connected through the proxy from *source*."""
    kind, port = (FromHere, daemon.ports.implicit) if way == IMPLICIT else (ReusedFTP_TLS, daemon.ports.explicit)
    ftp = kind(context=tls_context(daemon), timeout=TIMEOUT)
    ftp.connect(IPV4, port, source_address=(source, 0))
    if way == EXPLICIT:
        ftp.auth()
    return ftp


def logged_in(daemon: Daemon, way: Way, account: Account) -> ReusedFTP_TLS:
    """Return a client that has logged in through the proxy."""
    ftp = client(daemon, way)
    ftp.sendcmd(f"USER {account.name}")
    ftp.sendcmd(f"PASS {account.password}")
    ftp.prot_p()
    return ftp


def test_the_documented_configuration_is_one() -> None:
    """The YAML beside the HAProxy example is accepted."""
    found = Config.model_validate(yaml.safe_load(documented("yaml")))
    assert all(listener.proxy_protocol == found.passive.proxy_protocol is not None for listener in found.listeners)


@pytest.mark.parametrize("way", [EXPLICIT, IMPLICIT], ids=str)
def test_transfers_go_through_the_proxy(proxied: Daemon, account: Account, way: Way) -> None:
    """PASV and EPSV, up and down, and the audit log has the client's own address, never the proxy's."""
    with logged_in(proxied, way, account) as ftp:
        assert reply(ftp, "PASV").startswith("227 Entering Passive Mode (127,0,0,1,")
        upload(ftp, "file", content(SIZE))
        assert download(ftp, "file") == content(SIZE)
        ftp.af = socket.AF_INET6  # makes ftplib ask with EPSV
        assert download(ftp, "file") == content(SIZE)
    proxied.wait_for_event("logged-in", user=account.name)
    peers = {event["peer"] for event in proxied.audit(f'"{account.name}"') if event.get("user") == account.name}
    assert peers == {CLIENT}


@pytest.mark.parametrize("way", [EXPLICIT, IMPLICIT], ids=str)
def test_active_mode_goes_past_the_proxy(proxied: Daemon, account: Account, way: Way) -> None:
    """PORT names the client's own address, and the daemon connects to it directly."""
    with logged_in(proxied, way, account) as ftp:
        ftp.set_pasv(False)
        upload(ftp, "file", content(SIZE))
        assert download(ftp, "file") == content(SIZE)
        assert reply(ftp, "PORT 127,0,0,9,200,200").startswith("504")


@pytest.mark.parametrize("data", [(), ("--disable-epsv",)], ids=["EPSV", "PASV"])
@pytest.mark.parametrize("way", [EXPLICIT, IMPLICIT], ids=str)
def test_curl(proxied: Daemon, account: Account, tmp_path: Path, way: Way, data: tuple[str, ...]) -> None:
    """Up and down."""
    scheme, port = ("ftps", proxied.ports.implicit) if way == IMPLICIT else ("ftp", proxied.ports.explicit)
    source, got = tmp_path / "source", tmp_path / "got"
    source.write_bytes(content(SIZE))
    command = [require_tool("curl"), "-sS", "--max-time", "60", "--ssl-reqd", "--cacert", str(proxied.tls.authority)]
    command += ["--user", f"{account.name}:{account.password}", "--interface", CLIENT, *data]
    url = f"{scheme}://{IPV4}:{port}/file"
    subprocess.run([*command, "-T", str(source), url], check=True, timeout=70)
    subprocess.run([*command, "-o", str(got), url], check=True, timeout=70)
    assert got.read_bytes() == content(SIZE)
    assert proxied.wait_for_event("file-sent", user=account.name)["peer"] == CLIENT


@pytest.mark.parametrize("way", [EXPLICIT, IMPLICIT], ids=str)
def test_lftp(proxied: Daemon, account: Account, tmp_path: Path, way: Way) -> None:
    """A mirror up and a mirror down."""
    scheme, port = ("ftps", proxied.ports.implicit) if way == IMPLICIT else ("ftp", proxied.ports.explicit)
    (tmp_path / "up").mkdir()
    for number in range(5):
        (tmp_path / "up" / f"file{number}").write_bytes(content(number * 20_000))
    script = (
        f"set net:socket-bind-ipv4 {CLIENT}; set net:max-retries 1; set net:timeout 20; set ftp:ssl-force true; "
        f"set ftp:ssl-protect-data true; set ssl:ca-file {proxied.tls.authority}; set cmd:fail-exit true; "
        f"open -u {account.name},{account.password} {scheme}://{IPV4}:{port}; "
        f"mirror -R {tmp_path}/up there; mirror there {tmp_path}/down; bye"
    )
    subprocess.run([require_tool("lftp"), "--norc", "-c", script], check=True, timeout=120)
    for number in range(5):
        assert (tmp_path / "down" / f"file{number}").read_bytes() == content(number * 20_000)
    assert proxied.wait_for_event("file-stored", user=account.name)["peer"] == CLIENT


def test_connections_are_counted_by_client(proxied: Daemon) -> None:
    """One client at its limit does not keep the others behind the same proxy out."""
    kept = [client(proxied, EXPLICIT, "127.0.0.70") for _ in range(3)]
    with pytest.raises(ftplib.error_temp, match="Too many connections from your address"):
        client(proxied, EXPLICIT, "127.0.0.70")
    with client(proxied, EXPLICIT, OTHER) as other:
        assert other.welcome is not None
        assert other.welcome.startswith("220")
    for ftp in kept:
        ftp.close()


def test_the_networks_of_a_user_hold_the_client(proxied: Daemon, account: Account) -> None:
    """Not the proxy."""
    users = proxied.users
    users[account.name]["networks"] = [CLIENT]
    proxied.write_users(users)
    proxied.reload()
    logged_in(proxied, EXPLICIT, account).quit()
    with client(proxied, EXPLICIT, OTHER) as ftp:
        ftp.sendcmd(f"USER {account.name}")
        assert reply(ftp, f"PASS {account.password}").startswith("530")


def test_a_stranger_behind_the_same_proxy_takes_no_data_connection(proxied: Daemon, account: Account) -> None:
    """Both come from the proxy's address; the headers tell them apart."""
    (account.home / "file").write_bytes(content(SIZE))
    with logged_in(proxied, EXPLICIT, account) as ftp:
        where = (IPV4, int(ftp.sendcmd("EPSV").split("|")[3]))
        with socket.create_connection(where, TIMEOUT, (OTHER, 0)) as stranger:
            assert stranger.recv(1) == b""
        mine = socket.create_connection(where, TIMEOUT, (CLIENT, 0))
        assert reply(ftp, "RETR file").startswith("150")
        assert read_all(ftp.secured(mine)) == content(SIZE)
        assert next_code(ftp) == 226


def test_data_connections_may_come_past_the_proxy(proxied: Daemon, account: Account) -> None:
    """A client that reaches the daemon itself on the passive port is known by its own address."""
    (account.home / "file").write_bytes(content(SIZE))
    with logged_in(proxied, EXPLICIT, account) as ftp:
        port = int(ftp.sendcmd("EPSV").split("|")[3])
        mine = socket.create_connection((DAEMON, port), TIMEOUT, (CLIENT, 0))
        assert reply(ftp, "RETR file").startswith("150")
        assert read_all(ftp.secured(mine)) == content(SIZE)
        assert next_code(ftp) == 226
