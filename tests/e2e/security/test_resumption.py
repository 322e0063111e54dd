"""Whose TLS session a data connection resumes: a live one of the same user, address and host, or it is refused."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.at_once import all_at_once
from tests.e2e.client import EXPLICIT_1_2, IPV4, SECURE_WAYS, TIMEOUT, ControlConnection, Way, tls_context
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon, password_hash
from tests.e2e.hosted import MAIN, HostedDaemon
from tests.e2e.polling import eventually

ELSEWHERE = "127.0.0.2"
SECRET = b"secret"
SERVED, REFUSED = (["150", "226"], SECRET), (["150", "522"], b"")


class Client:
    """A client with one TLS cache for all of its connections to *daemon*, as rclone has."""

    def __init__(self, daemon: Daemon, way: Way, version: ssl.TLSVersion | None = None) -> None:
        self.daemon = daemon
        self.context = tls_context(daemon, version or way.version)
        self._way = way
        self._stack = ExitStack()

    def connect(self, account: Account | None = None, source: str = IPV4, name: str = IPV4) -> ControlConnection:
        """Open a control connection from *source* to the host *name* and log in, as nobody without *account*."""
        ports = self.daemon.ports
        connection = ControlConnection(IPV4, ports.implicit if self._way.mode == "implicit" else ports.explicit, source)
        self._stack.callback(connection.close)
        if self._way.mode == "explicit":
            assert connection.reply().startswith("220")
            assert connection.ask("AUTH TLS").startswith("234")
        connection.start_tls(self.context, name=name)
        if self._way.mode == "implicit":
            assert connection.reply().startswith("220")
        else:
            assert connection.ask("NOOP")[:3] in ("200", "530")
        if account is not None:
            connection.log_in(account)
        return connection

    def like(self) -> Client:
        """Return a client of the same kind with a cache of its own."""
        return Client(self.daemon, self._way)

    def session(self, connection: ControlConnection) -> ssl.SSLSession:
        """Return the TLS session of a control connection."""
        assert isinstance(connection.sock, ssl.SSLSocket)
        assert connection.sock.session is not None
        return connection.sock.session

    def close(self) -> None:
        self._stack.close()


Clients = list[tuple[Client, Account]]


def retrieve(
    control: ControlConnection, context: ssl.SSLContext, session: ssl.SSLSession | None, source: str = IPV4
) -> tuple[tuple[list[str], bytes], ssl.SSLSession | None]:
    """Return the codes of the replies to RETR and what arrived, and the TLS session of the data connection."""
    where = control.passive()
    control.send("RETR secret")
    received, made = b"", None
    try:
        plain = socket.create_connection(where, TIMEOUT, (source, 0))
        with context.wrap_socket(plain, server_hostname=IPV4, session=session) as data:
            while piece := data.recv(65536):
                received += piece
            made = data.session
    except (ssl.SSLError, ConnectionError):
        pass  # the server may cut a connection it refuses
    return ([control.reply()[:3], control.reply()[:3]], received), made


def is_refused(control: ControlConnection, client: Client, session: ssl.SSLSession) -> bool:
    """Tell whether a data connection that resumes *session* is refused; the server may not know yet that it ended."""
    done, _ = retrieve(control, client.context, session)
    assert done in (SERVED, REFUSED)
    return done == REFUSED


def have_ended(daemon: Daemon, account: Account, count: int) -> bool:
    """Tell whether *count* sessions of the user have ended."""
    closed = [event for event in daemon.audit('"session-closed"') if event.get("user") == account.name]
    return len(closed) >= count


@pytest.fixture(params=SECURE_WAYS, ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """In turn every way with TLS."""
    chosen: Way = request.param
    return chosen


@pytest.fixture
def client(daemon: Daemon, way: Way) -> Iterator[Client]:
    client = Client(daemon, way)
    yield client
    client.close()


def victim(daemon: Daemon) -> Account:
    """Return a user with something worth stealing."""
    account = daemon.account()
    (account.home / "secret").write_bytes(SECRET)
    return account


@pytest.fixture
def alice(daemon: Daemon) -> Account:
    """A user with something worth stealing."""
    return victim(daemon)


@pytest.fixture
def clients(tls_daemon: Daemon) -> Iterator[Clients]:
    """A client for every way with TLS, each with a user of its own: what is refused waits at the same time."""
    before = len(tls_daemon.stderr)
    made = [(Client(tls_daemon, way), victim(tls_daemon)) for way in SECURE_WAYS]
    yield made
    for client, _ in made:
        client.close()
    assert "Traceback" not in tls_daemon.stderr[before:]


ONLY_1_2 = pytest.mark.parametrize("way", [way for way in SECURE_WAYS if way.version is EXPLICIT_1_2.version], ids=str)


@ONLY_1_2
def test_another_live_session_of_the_user_is_served(client: Client, alice: Account) -> None:
    """The newest ticket of the cache, whichever control connection it came from; the audit log says whose."""
    first, second = client.connect(alice), client.connect(alice)
    done, _ = retrieve(first, client.context, client.session(second))
    assert done == SERVED
    event = client.daemon.wait_for_event("data-session-shared", user=alice.name)
    assert event["resumed_session"] != event["session"]


def test_another_users_live_session_is_refused(clients: Clients) -> None:
    """From the same address: NAT, or another account of the machine."""
    all_at_once(is_another_users_refused, clients)


def is_another_users_refused(client: Client, alice: Account) -> None:
    """Resume the session of another user, and then the own one."""
    victim, mallory = client.connect(alice), client.connect(client.daemon.account())
    assert retrieve(victim, client.context, client.session(mallory))[0] == REFUSED
    assert retrieve(victim, client.context, client.session(victim))[0] == SERVED


def test_the_same_users_session_after_its_logout_is_refused(clients: Clients) -> None:
    """REIN, QUIT and a lost connection all end what the TLS session is good for."""
    all_at_once(is_refused_after_logouts, clients)


def is_refused_after_logouts(client: Client, alice: Account) -> None:
    """End three sessions in three ways."""
    victims, sessions = [], []
    for end in ("REIN", "QUIT", ""):
        victims.append(client.connect(alice))
        other = client.connect(alice)
        sessions.append(client.session(other))
        if end:
            assert other.ask(end)[0] == "2"
        if end != "REIN":
            other.close()
            count = ("QUIT", "").index(end) + 1
            eventually(partial(have_ended, client.daemon, alice, count), "the session has ended")
        else:
            # Nobody is waited for who has gone or is somebody else by now.
            other.log_in(client.daemon.account())
    all_at_once(partial(is_not_served, client), list(zip(victims, sessions, strict=True)))


def is_not_served(client: Client, control: ControlConnection, session: ssl.SSLSession) -> None:
    """Resume *session* for a data connection of *control*."""
    assert retrieve(control, client.context, session)[0] == REFUSED


def test_what_was_resumed_before_its_end_stays_good(clients: Clients) -> None:
    """
    curl -Z closes an idle control connection, and the others go on to resume its TLS session.

    It counts for those that have done so before, until they log out, and for nobody else. Each client once with tickets
    and once with session ids.
    """
    of_1_2 = [
        (client, account) for client, account in clients if client.context.maximum_version is ssl.TLSVersion.TLSv1_2
    ]
    assert len(of_1_2) == 2
    with_ids = [(client.like(), victim(client.daemon)) for client, _ in of_1_2]
    try:
        all_at_once(stays_good, [*((*each, True) for each in of_1_2), *((*each, False) for each in with_ids)])
    finally:
        for client, _ in with_ids:
            client.close()


def stays_good(client: Client, alice: Account, tickets: bool) -> None:
    """Resume a session before and after its end."""
    if not tickets:
        client.context.options |= ssl.OP_NO_TICKET
    used, unused, newest = client.connect(alice), client.connect(alice), client.connect(alice)
    session = client.session(newest)
    assert retrieve(used, client.context, session)[0] == SERVED
    assert newest.ask("QUIT")[0] == "2"
    newest.close()
    eventually(partial(have_ended, client.daemon, alice, 1), "the session has ended")
    assert retrieve(used, client.context, session)[0] == SERVED
    assert retrieve(unused, client.context, session)[0] == REFUSED
    assert used.ask("REIN")[:3] == "220"
    used.log_in(alice)
    assert retrieve(used, client.context, session)[0] == REFUSED
    assert retrieve(used, client.context, client.session(used))[0] == SERVED


@ONLY_1_2
@pytest.mark.parametrize("tickets", [True, False], ids=["tickets", "session ids"])
def test_what_ends_badly_takes_no_session_away(client: Client, alice: Account, tickets: bool) -> None:
    """A transfer that is aborted, an upload that is cut off, another control connection that goes without a word."""
    if not tickets:
        client.context.options |= ssl.OP_NO_TICKET
    (alice.home / "large").write_bytes(bytes(20_000_000))
    control, other = client.connect(alice), client.connect(alice)
    session = client.session(other)
    for command, end in (("RETR large", "ABOR"), ("RETR large", ""), ("STOR cut", "")):
        where = control.passive()
        control.send(command)
        plain = socket.create_connection(where, TIMEOUT)
        with client.context.wrap_socket(plain, server_hostname=IPV4, session=session) as data:
            assert data.session_reused
            assert control.reply()[:3] == "150"
            if command == "STOR cut":
                data.sendall(b"half of it")
            else:
                data.recv(1)
            if end:
                assert control.ask(end)[:3] == "426"
                assert control.reply()[:3] == "226"
        if not end:
            assert control.reply()[:3] == "426"
        assert retrieve(control, client.context, session)[0] == SERVED
    other.close()
    eventually(partial(have_ended, client.daemon, alice, 1), "the session has ended")
    assert retrieve(control, client.context, session)[0] == SERVED


def test_the_same_users_session_from_another_address_is_refused(clients: Clients) -> None:
    """A ticket that was stolen from a client elsewhere."""
    all_at_once(is_refused_elsewhere, clients)


def is_refused_elsewhere(client: Client, alice: Account) -> None:
    """Resume a session that has come from another address."""
    victim, elsewhere = client.connect(alice), client.connect(alice, ELSEWHERE)
    assert retrieve(victim, client.context, client.session(elsewhere))[0] == REFUSED


def test_a_session_that_has_not_logged_in_is_refused(clients: Clients) -> None:
    """It is waited for, and was somebody else's."""
    all_at_once(is_refused_before_its_login, clients)


def is_refused_before_its_login(client: Client, alice: Account) -> None:
    """Resume a session whose user logs in behind that, and is another one."""
    victim, nobody = client.connect(alice), client.connect()
    session = client.session(nobody)
    where = victim.passive()
    victim.send("RETR secret")
    with client.context.wrap_socket(socket.create_connection(where), server_hostname=IPV4, session=session) as data:
        nobody.log_in(client.daemon.account())
        try:
            assert data.recv(100) == b""
        except ssl.SSLError:
            pass
    assert [victim.reply()[:3], victim.reply()[:3]] == REFUSED[0]


@ONLY_1_2
def test_a_session_about_to_log_in_is_served(client: Client, alice: Account) -> None:
    """curl -Z resumes its newest control connection, logged in or not."""
    first, newest = client.connect(alice), client.connect()
    session = client.session(newest)
    where = first.passive()
    first.send("RETR secret")
    with client.context.wrap_socket(socket.create_connection(where), server_hostname=IPV4, session=session) as data:
        newest.log_in(alice)
        assert data.recv(100) == SECRET
    assert [first.reply()[:3], first.reply()[:3]] == SERVED[0]


def test_what_a_refused_connection_began_is_refused_again(clients: Clients) -> None:
    """A stranger's full handshake on the data port leaves them a TLS session, which must not count the next time."""
    all_at_once(is_refused_again, clients)


def is_refused_again(client: Client, alice: Account) -> None:
    """Come three times, twice with what the time before has left."""
    victim = client.connect(alice)
    stranger = tls_context(client.daemon, client.context.maximum_version)
    refused, session = retrieve(victim, stranger, None)
    assert refused == REFUSED
    for _ in range(2):
        refused, session = retrieve(victim, stranger, session)
        assert refused == REFUSED
    assert retrieve(victim, client.context, client.session(victim))[0] == SERVED


@ONLY_1_2
def test_a_resumed_control_connection_has_its_own_user(client: Client, daemon: Daemon, alice: Account) -> None:
    """Two control connections with one master secret, and two users: each data connection is its own session's."""
    first = client.connect(alice)
    session = client.session(first)
    bob = daemon.account()
    (bob.home / "secret").write_bytes(b"bob's")
    second = ControlConnection(IPV4, daemon.ports.implicit)
    assert second.start_tls(client.context, session).session_reused
    second.reply()
    second.log_in(bob)
    assert retrieve(second, client.context, session)[0] == (["150", "226"], b"bob's")
    assert retrieve(first, client.context, session)[0] == SERVED
    first.close()
    again = client.connect(alice)
    eventually(partial(is_refused, again, client, session), "the session is forgotten")
    second.close()


def test_a_session_of_another_host_is_refused(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Two hosts with a user of the same name, behind one certificate."""
    hosted = HostedDaemon(tmp_path, start_daemon)
    daemon = hosted.daemon
    (hosted.homes[MAIN] / "secret").write_bytes(SECRET)
    home = tmp_path / "carol"
    home.mkdir()
    daemon.write_users({**daemon.users, "carol": {"password": password_hash(), "home": str(home)}})
    daemon.reload()
    all_at_once(is_refused_at_another_host, [(Client(daemon, way), Account("carol", home)) for way in SECURE_WAYS])


def is_refused_at_another_host(client: Client, carol: Account) -> None:
    """Resume the session of the user of that name at another host, and then the own one."""
    here, there = client.connect(carol, name=MAIN), client.connect(carol)
    assert retrieve(here, client.context, client.session(there))[0] == REFUSED
    assert retrieve(here, client.context, client.session(here))[0] == SERVED
    client.close()
