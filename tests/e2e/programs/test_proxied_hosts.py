"""Virtual hosts behind HAProxy: what a client asks for, and the address it comes from, arrive together."""

from __future__ import annotations

import ftplib
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import cycle
from typing import Any

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT, IMPLICIT, IPV4, SECURE_WAYS, Way, content, download, reply, upload
from tests.e2e.daemon import PASSWORD, Daemon
from tests.e2e.haproxy import DAEMON, VERSIONS, HAProxy, ProxiedDaemon
from tests.e2e.hosted import ALSO, MAIN, OTHER, HostedDaemon

CLIENT, CROWD, GUESSER = "127.0.0.7", "127.0.0.70", "127.0.0.71"
SIZE, MOST = 300_000, 8
LIMITS = {"limits": {"connections_per_address": MOST}}


@pytest.fixture(scope="module", params=VERSIONS)
def hosted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration
) -> Iterator[HostedDaemon]:
    """A daemon with several hosts behind HAProxy, by each version of the protocol."""
    folder = tmp_path_factory.mktemp("proxied-hosts")
    with ExitStack() as stack:

        def start(changes: Mapping[str, Any]) -> Daemon:
            daemon = ProxiedDaemon(folder / "daemon", tls_files, {**changes, **LIMITS})
            stack.callback(daemon.kill)
            daemon.start()
            return daemon

        hosted = HostedDaemon(folder, start)
        stack.callback(HAProxy(hosted.daemon, request.param).close)
        yield hosted
        hosted.daemon.stop()
        assert "Traceback" not in hosted.daemon.stderr


def log_in(ftp: ftplib.FTP_TLS, user: str = "carol") -> str:
    """Log in and return the reply."""
    ftp.sendcmd(f"USER {user}")
    return reply(ftp, f"PASS {PASSWORD}")


def add_user(hosted: HostedDaemon, host: str, name: str, **fields: object) -> None:
    """Give *host* one more user, like carol but for *fields*."""
    users = json.loads(hosted.users(host).read_text())
    users["users"][name] = {**users["users"]["carol"], **fields}
    hosted.users(host).write_text(json.dumps(users))
    hosted.daemon.reload()


@pytest.mark.parametrize("name", [OTHER, MAIN, ALSO])
@pytest.mark.parametrize("way", SECURE_WAYS, ids=str)
def test_sni_chooses_the_host(hosted: HostedDaemon, way: Way, name: str) -> None:
    """Certificate, banner, users and transfers are the host's; the audit log has host and client, not the proxy."""
    account = hosted.daemon.account()
    with hosted.connect(way, name, CLIENT) as ftp:
        assert isinstance(ftp.sock, ssl.SSLSocket)
        shown = ftp.sock.getpeercert()
        assert shown is not None
        assert ("DNS", name) in shown["subjectAltName"]
        is_host = name in hosted.homes
        if way.mode == "implicit":  # the other way the greeting comes before the name
            assert ftp.welcome == (f"220 This is {name}." if is_host else "220 FTPS server ready.")
        user, home = ("carol", hosted.homes[name]) if is_host else (account.name, account.home)
        assert log_in(ftp, user).startswith("230")
        ftp.prot_p()
        file = f"{way}-{name}"
        upload(ftp, file, content(SIZE))
        assert (home / file).read_bytes() == content(SIZE)
        assert download(ftp, file) == content(SIZE)
    for event in ("file-stored", "file-sent"):
        told = hosted.daemon.wait_for_event(event, path=f"/{file}")
        assert (told["peer"], told["user"], told.get("host")) == (CLIENT, user, name if is_host else None)


@pytest.mark.parametrize("way", [EXPLICIT, IMPLICIT], ids=str)
def test_host_chooses_the_host(hosted: HostedDaemon, way: Way) -> None:
    """
    HOST by name, and by the address that the client has reached, which is the proxy's; the daemon's own is unknown.
    """
    with hosted.connect(way, IPV4, CLIENT) as ftp:
        assert reply(ftp, f"HOST {MAIN}") == f"220 This is {MAIN}."
        assert reply(ftp, f"HOST {IPV4}") == "220 FTPS server ready."
        assert reply(ftp, f"HOST {DAEMON}").startswith("504")
        assert reply(ftp, f"HOST {OTHER}").startswith("504")  # it has another certificate
        assert reply(ftp, f"HOST {MAIN}").startswith("220")
        assert log_in(ftp).startswith("230")
        ftp.prot_p()
        upload(ftp, f"{way}-host", b"data")
    assert (hosted.homes[MAIN] / f"{way}-host").read_bytes() == b"data"
    told = hosted.daemon.wait_for_event("file-stored", path=f"/{way}-host")
    assert (told["peer"], told["host"]) == (CLIENT, MAIN)


def test_sessions_are_counted_by_host_and_user(hosted: HostedDaemon) -> None:
    """Users of two hosts are two, though they share a name; the second session on a host is one too many."""
    for name in (OTHER, MAIN):
        add_user(hosted, name, "erin", sessions=1)
    first, second, again = (hosted.connect(EXPLICIT, name, CLIENT) for name in (OTHER, MAIN, OTHER))
    assert [log_in(ftp, "erin")[:3] for ftp in (first, second, again)] == ["230", "230", "421"]
    for ftp in (first, second, again):
        ftp.close()


def test_connections_are_counted_by_client(hosted: HostedDaemon) -> None:
    """Over all hosts; another client of the same proxy is served meanwhile."""
    kept = [hosted.connect(IMPLICIT, name, CROWD) for _, name in zip(range(MOST), cycle((OTHER, MAIN, ALSO)))]
    with pytest.raises(ftplib.error_temp, match="Too many connections from your address"):
        hosted.connect(EXPLICIT, OTHER, CROWD)
    hosted.connect(EXPLICIT, OTHER, CLIENT).close()
    for ftp in kept:
        ftp.close()


def test_refused_logins_are_told_with_host_and_client(hosted: HostedDaemon) -> None:
    """A client that guesses at two hosts is seen doing so, and the session of each ends by itself."""
    for name in (OTHER, MAIN):
        with hosted.connect(EXPLICIT, name, GUESSER) as ftp:
            answers = []
            for _ in range(3):
                ftp.sendcmd("USER carol")
                answers.append(reply(ftp, "PASS wrong")[:3])
            assert answers == ["530", "530", "530"]
        assert hosted.daemon.wait_for_event("login-refused", peer=GUESSER, host=name, name="carol")
    with hosted.connect(EXPLICIT, OTHER, CLIENT) as ftp:
        assert log_in(ftp).startswith("230")


def test_the_networks_of_a_hosts_user_hold_the_client(hosted: HostedDaemon) -> None:
    """Not the proxy."""
    add_user(hosted, OTHER, "dave", networks=[CLIENT])
    for source, code in ((CLIENT, "230"), ("127.0.0.8", "530")):
        with hosted.connect(EXPLICIT, OTHER, source) as ftp:
            assert log_in(ftp, "dave").startswith(code)
