"""Bans of a running server: who is refused, before what, and who is not; clients here have an address each."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import IPV4, ControlConnection, tls_context
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.e2e.haproxy import DAEMON, PROXY, ProxiedDaemon
from tests.e2e.polling import eventually
from tests.tools import require_tool

DEFAULTS: dict[str, list[str]] = {"exempt": []}
BANNED = 'ftpsd_connection_rejects_total{reason="banned"}'
RATE = 'ftpsd_connection_rejects_total{reason="rate"}'
HASHES = 'ftpsd_auth_attempts_total{method="password",result="refused"}'
HANDSHAKES = "ftpsd_tls_handshakes_total"
SENTENCE = "421 Too many failures from your address, try again later."
FAILURES = 10
# A user of every daemon: their hashes are cheap, and those for unknown names are not.
CHEAP = "u000"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Daemon]:
    """A daemon whose penalties are those of the defaults, in clear where a client likes."""
    own = Daemon(
        tmp_path_factory.mktemp("banning"), tls_files, {"penalties": DEFAULTS, "tls": {"require": "none"}}, users=20
    )
    try:
        own.start()
        yield own
        own.stop()
    finally:
        own.kill()


def arrive(daemon: Daemon, source: str, *, implicit: bool = False) -> ControlConnection:
    """Connect from *source*."""
    return ControlConnection(IPV4, daemon.ports.implicit if implicit else daemon.ports.explicit, source)


def guess(daemon: Daemon, source: str, *names: str, times: int = FAILURES) -> list[str]:
    """Send so many wrong passwords for *names* from *source*, each on a connection of its own; return the replies."""
    replies = []
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(arrive(daemon, source))) for _ in range(times)]
        for connection, name in zip(connections, cycle(names or (CHEAP,)), strict=False):
            connection.reply()
            connection.send(f"USER {name}", "PASS wrong")
        for connection in connections:
            connection.reply()
            replies.append(connection.reply())
    return replies


class closing:
    """The end of a connection at the end of a block."""

    def __init__(self, connection: ControlConnection) -> None:
        self.connection = connection

    def __enter__(self) -> ControlConnection:
        return self.connection

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def count(daemon: Daemon, name: str) -> float:
    """Return the sum of all samples of a metric."""
    return sum(value for key, value in daemon.metrics().items() if key.startswith(name))


def is_refused(daemon: Daemon, source: str) -> bool:
    """Return whether a connection from *source* is refused for a ban."""
    with closing(arrive(daemon, source)) as connection:
        return connection.reply() == SENTENCE


def test_a_guesser_is_refused_before_handshake_and_hash(daemon: Daemon) -> None:
    """421 in clear, a plain end where TLS begins at once; log, metrics and page tell; others are served."""
    source, account = "127.0.1.1", daemon.account()
    with closing(arrive(daemon, source)) as waiting:
        waiting.reply()
        replies = guess(daemon, source)
        # The last of them has banned all: those whose reply was still to come read why they end.
        assert {reply[:3] for reply in replies} <= {"530", "421"}
        assert waiting.reply() == SENTENCE
    event = daemon.wait_for_event("banned", client=source)
    assert (event["reason"], event["seconds"], event["peer"]) == ("wrong-password", 900.0, source)
    before = {name: count(daemon, name) for name in (HASHES, HANDSHAKES, BANNED)}
    for _ in range(20):
        with closing(arrive(daemon, source)) as connection:
            connection.send("AUTH TLS", f"USER {account.name}", f"PASS {account.password}")
            assert connection.reply() == SENTENCE
            assert connection.rest() == b""
        with closing(arrive(daemon, source, implicit=True)) as connection:
            assert connection.rest() == b""
    eventually(lambda: count(daemon, BANNED) == before[BANNED] + 40, "all refused")
    after = {name: count(daemon, name) for name in (HASHES, HANDSHAKES, BANNED)}
    assert {name: after[name] - before[name] for name in after} == {HASHES: 0, HANDSHAKES: 0, BANNED: 40}
    eventually(lambda: daemon.metrics()["ftpsd_bans"] == 1, "one ban in the metrics")
    assert re.search(r"<dt>bans</dt><dd[^>]*>1</dd>", daemon.get("/")[1])
    with closing(arrive(daemon, "127.0.1.2")) as connection:
        connection.reply()
        connection.log_in(account)


def test_a_flood_makes_no_hash_for_a_banned_client(daemon: Daemon) -> None:
    """Of sixty logins that are sent at once ten are looked at, and one that has begun; an honest client logs in."""
    source, account = "127.0.5.1", daemon.account()
    with ExitStack() as stack:
        flood = [stack.enter_context(closing(arrive(daemon, source))) for _ in range(60)]
        for number, connection in enumerate(flood):
            connection.send(f"USER {CHEAP}", f"PASS wrong {number}")
        for connection in flood:
            rest_of(connection)
        with closing(arrive(daemon, "127.0.5.2")) as connection:
            connection.reply()
            connection.log_in(account)
    daemon.wait_for_event("banned", client=source)
    # What was told before is in the log with it.
    daemon.wait_for_event("logged-in", peer="127.0.5.2")
    refused = [event for event in daemon.audit('"login-refused"') if event["peer"] == source]
    hashed = sum(event["reason"] == "wrong password" for event in refused)
    assert FAILURES <= hashed <= FAILURES + 1, hashed


def test_sessions_that_are_logged_in_go_on(daemon: Daemon) -> None:
    """An office with a guesser in it, too bold for its address: who is in works on, who is not is told."""
    source, account = "127.0.2.1", daemon.account()
    with closing(arrive(daemon, source)) as inside, closing(arrive(daemon, source)) as outside:
        inside.reply()
        outside.reply()
        inside.log_in(account)
        # Of each name three failures count here, and fifty ban.
        for _ in range(3):
            guess(daemon, source, *daemon.users, times=20)
        assert outside.reply() == SENTENCE
        assert is_refused(daemon, source)
        assert inside.ask("PWD").startswith("257")


def test_one_colleagues_wrong_passwords_do_not_ban_the_office(daemon: Daemon) -> None:
    """After ten of them that name is refused without a hash, and everybody else logs in."""
    source, colleague, other = "127.0.3.1", daemon.account(), daemon.account()
    with closing(arrive(daemon, source)) as connection:
        connection.reply()
        connection.log_in(other)
    guess(daemon, source, colleague.name)
    assert daemon.wait_for_event("banned", client=source)["name"] == colleague.name
    before = count(daemon, HASHES)
    for account, code in ((colleague, "421"), (other, "230")):
        with closing(arrive(daemon, source)) as connection:
            connection.reply()
            connection.ask(f"USER {account.name}")
            assert connection.ask(f"PASS {account.password}").startswith(code)
    assert daemon.wait_for_event("login-refused", peer=source, reason="banned")["name"] == colleague.name
    eventually(lambda: count(daemon, HASHES) - before == 1, "that event, without a hash")
    # The same name from elsewhere is another matter.
    with closing(arrive(daemon, "127.0.3.2")) as connection:
        connection.reply()
        connection.log_in(colleague)


def test_health_checks_are_nobodys_offence(daemon: Daemon) -> None:
    """Connections that say nothing, ended by FIN or RST, on either port, and handshakes without a word behind them."""
    source = "127.0.4.1"
    context = tls_context(daemon)
    for number in range(300):
        for implicit in (False, True):
            with closing(arrive(daemon, source, implicit=implicit)) as connection:
                if number % 2:
                    linger = struct.pack("ii", 1, 0)
                    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        if number < 20:
            with closing(arrive(daemon, source, implicit=True)) as connection:
                connection.start_tls(context, name="localhost")
    with closing(arrive(daemon, source)) as connection:
        assert connection.reply().startswith("220")
    assert count(daemon, RATE) == 0


def shake_hands_badly(connection: ControlConnection, _: Account) -> None:
    """Begin TLS with words that are no hello."""
    connection.ask("AUTH TLS")
    connection.sock.sendall(b"no hello at all, but a few words\r\n" * 10)


# Deeds of clients, by the offence that they are; and weights with which each is enough for a ban.
DEEDS: dict[str, Callable[[ControlConnection, Account], None]] = {
    "wrong-password": lambda each, account: each.send(f"USER {account.name}", "PASS wrong"),
    "login-timeout": lambda each, _: None,
    "not-ftp": lambda each, _: each.send("GET / HTTP/1.0"),
    "too-many-commands": lambda each, _: each.send(*["NOOP"] * 101),
    "handshake-failed": shake_hands_badly,
    "no-login": lambda each, _: each.send("FEAT", "QUIT"),
}
WEIGHTS = dict.fromkeys((reason.replace("-", "_") for reason in DEEDS), 10)


def test_every_offence_leads_to_a_ban_with_its_reason(start_daemon: StartDaemon) -> None:
    """As the server sees it, with weights that one deed is enough for."""
    daemon = start_daemon(
        {
            "penalties": {**DEFAULTS, "weights": WEIGHTS},
            "tls": {"require": "none"},
            "limits": {"login_timeout": "1s", "failed_logins": 1},
        }
    )
    account = daemon.account()
    for number, (reason, deed) in enumerate(DEEDS.items()):
        source = f"127.0.{100 + number}.1"
        with closing(arrive(daemon, source)) as connection:
            connection.reply()
            deed(connection, account)
            rest_of(connection)
        assert daemon.wait_for_event("banned", client=source)["reason"] == reason
        eventually(lambda source=source: is_refused(daemon, source), f"refused for {reason}")  # type: ignore[misc]


def rest_of(connection: ControlConnection) -> bytes:
    """Return what comes until the server ends the connection."""
    try:
        return connection.rest()
    except ConnectionError:
        return b""


@pytest.mark.parametrize("processes", [1, 2])
def test_a_ban_holds_in_every_process_and_over_a_restart(start_daemon: StartDaemon, processes: int) -> None:
    """Failures add up whoever serves them; the end of the server is not the end of the ban."""
    settings = {"processes": processes, "penalties": DEFAULTS, "tls": {"require": "none"}}
    daemon = start_daemon(settings)
    source = "127.0.1.9"
    with ExitStack() as stack:
        waiting = [stack.enter_context(closing(arrive(daemon, source))) for _ in range(8)]
        for connection in waiting:
            assert connection.reply().startswith("220")
        guess(daemon, source)
        for connection in waiting:
            assert connection.reply() == SENTENCE
    for _ in range(20):
        assert is_refused(daemon, source)
    eventually(lambda: daemon.metrics()["ftpsd_bans"] == 1, "one ban in the metrics")
    assert re.search(r"<dt>bans</dt><dd[^>]*>1</dd>", daemon.get("/")[1])
    daemon.stop()
    daemon.start()
    # No process serves before the bans are known.
    for _ in range(10):
        assert is_refused(daemon, source)
    eventually(lambda: daemon.metrics()["ftpsd_bans"] == 1, "the ban out of the state file")
    with closing(arrive(daemon, "127.0.1.10")) as connection:
        assert connection.reply().startswith("220")


def test_a_ban_ends(start_daemon: StartDaemon) -> None:
    """By itself, and the log says when."""
    daemon = start_daemon({"penalties": {**DEFAULTS, "ban": "1s"}, "tls": {"require": "none"}})
    guess(daemon, "127.0.1.1")
    daemon.wait_for_event("banned")
    assert daemon.wait_for_event("unbanned", client="127.0.1.1")["reason"] == "over"
    assert not is_refused(daemon, "127.0.1.1")


def test_behind_a_proxy_the_client_is_banned_and_never_the_proxy(tmp_path: Path, tls_files: Demonstration) -> None:
    """The address in the header counts; the proxy's own checks go on, and it brings other clients."""
    daemon = ProxiedDaemon(tmp_path / "proxied", tls_files, {"tls": {"require": "none"}, "penalties": DEFAULTS})
    guesser, other = "198.51.100.7", "198.51.100.8"

    def brought(client: str) -> ControlConnection:
        connection = ControlConnection(DAEMON, daemon.ports.explicit, PROXY)
        connection.sock.sendall(f"PROXY TCP4 {client} 203.0.113.1 40000 21\r\n".encode() if client else LOCAL)
        return connection

    try:
        daemon.start()
        with ExitStack() as stack:
            for client in (*[""] * (2 * FAILURES), *[guesser] * FAILURES):
                connection = stack.enter_context(closing(brought(client)))
                assert connection.reply().startswith("220")
                connection.send(f"USER {CHEAP}", "PASS wrong")
            assert daemon.wait_for_event("banned")["client"] == guesser
        for client, greeting in ((guesser, "421"), (other, "220"), ("", "220")):
            with closing(brought(client)) as connection:
                assert connection.reply().startswith(greeting), client
        daemon.stop()
    finally:
        daemon.kill()


# A health check of the proxy's own, version 2.
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"


def test_a_client_that_comes_too_fast(start_daemon: StartDaemon) -> None:
    """421 before TLS, a plain end on implicit ports; the rates are those of the configuration, also after a reload."""
    limits = {"connection_rate": "6/1h", "handshake_rate": "3/1h"}
    daemon = start_daemon({"penalties": DEFAULTS, "tls": {"require": "none"}, "limits": limits})
    said = []
    for _ in range(8):
        with closing(arrive(daemon, "127.0.1.1")) as connection:
            said.append(connection.reply()[:3])
    assert said == ["220"] * 6 + ["421"] * 2
    answers = []
    for _ in range(5):
        with closing(arrive(daemon, "127.0.2.1")) as connection:
            connection.reply()
            answers.append(connection.ask("AUTH TLS")[:3])
    assert answers == ["234"] * 3 + ["421"] * 2
    with closing(arrive(daemon, "127.0.2.1", implicit=True)) as connection:
        assert connection.rest() == b""
    eventually(lambda: count(daemon, RATE) == 3, "what was refused at the door")
    with closing(arrive(daemon, "127.0.3.1")) as connection:
        assert connection.reply().startswith("220")


def test_busy_clients_are_not_too_fast(daemon_for_programs: Daemon, tmp_path: Path) -> None:
    """Rclone with 16 transfers, lftp's mirror with 10, and curl -Z with a connection for each of its files."""
    daemon = daemon_for_programs
    curl, lftp, rclone = (require_tool(name) for name in ("curl", "lftp", "rclone"))
    account = daemon.account()
    source = tmp_path / "files"
    source.mkdir()
    for number in range(200):
        (source / f"f{number:03}").write_bytes(b"x" * 100)
    place = f"ftp://{account.name}:{account.password}@localhost:{daemon.ports.explicit}"
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr

    secure = ["--cacert", str(daemon.tls.authority), "--ssl-reqd", "--silent", "--show-error"]
    sent = [each for number in range(200) for each in ("-T", str(source / f"f{number:03}"), f"{place}/curl/")]
    (account.home / "curl").mkdir()
    run(curl, *secure, "-Z", "--parallel-max", "40", "--parallel-immediate", *sent)
    settings = f"set ssl:ca-file {daemon.tls.authority}; set ftp:ssl-force yes; set ftp:ssl-protect-data yes"
    run(lftp, "--norc", "-c", f"{settings}; open {place}; mirror -R -P 10 {source} lftp")
    password = subprocess.run(
        [rclone, "obscure", account.password], env=environ, capture_output=True, text=True, check=True
    ).stdout.strip()
    remote = f":ftp,host=localhost,port={daemon.ports.explicit},user={account.name},pass={password}"
    remote += ",explicit_tls=true,no_check_certificate=true:rclone"
    run(rclone, "--config", "", "copy", "--transfers", "16", "--checkers", "16", str(source), remote)
    for folder in ("curl", "lftp", "rclone"):
        assert len(list((account.home / folder).iterdir())) == 200
    assert [name for name in daemon.metrics() if name.startswith("ftpsd_connection_rejects_total")] == []
    assert daemon.metrics()["ftpsd_bans"] == 0


@pytest.fixture
def daemon_for_programs(start_daemon: StartDaemon) -> Daemon:
    """A daemon with the limits and penalties of the defaults, but for the user's sessions."""
    own: Daemon = start_daemon({"penalties": DEFAULTS, "limits": {"connections_per_address": 50}})
    return own
