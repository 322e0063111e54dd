"""Data connections under TLS: protected, and bound to their own control connection."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from tests.e2e.client import (
    EXPLICIT,
    EXPLICIT_1_2,
    IPV4,
    SECURE_WAYS,
    TIMEOUT,
    ControlConnection,
    Way,
    control,
    tls_context,
)
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon

VERSIONS = pytest.mark.parametrize("way", [EXPLICIT, EXPLICIT_1_2], ids=str)


def data_connection(where: tuple[str, int], context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSocket:
    """Connect to a passive port and start TLS, resuming *session* if there is one."""
    plain = socket.create_connection(where, TIMEOUT)
    return context.wrap_socket(plain, server_hostname=IPV4, session=session)


class Guest:
    """A logged-in control connection with the context its data connections must use."""

    def __init__(self, daemon: Daemon, way: Way, account: Account) -> None:
        self.connection = control(daemon, way)
        self.connection.log_in(account)
        assert isinstance(self.connection.sock, ssl.SSLSocket)
        self.context = self.connection.sock.context
        self.session = self.connection.sock.session

    def retrieve(self, name: str, context: ssl.SSLContext, session: ssl.SSLSession | None) -> tuple[list[str], bytes]:
        """Return the codes of the replies to RETR *name*, and what arrived."""
        where = self.connection.passive()
        self.connection.send(f"RETR {name}")
        received = b""
        try:
            with data_connection(where, context, session) as data:
                while piece := data.recv(65536):
                    received += piece
        except (ssl.SSLError, ConnectionError):
            pass  # the server may cut a connection it refuses
        codes = [self.connection.reply()[:3]]
        if codes == ["150"]:
            codes.append(self.connection.reply()[:3])
        return codes, received


@pytest.fixture
def secret(account: Account) -> Path:
    """A file worth stealing."""
    (account.home / "secret").write_bytes(b"secret")
    return account.home / "secret"


@pytest.fixture(params=SECURE_WAYS, ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """In turn every way with TLS."""
    chosen: Way = request.param
    return chosen


def test_a_data_connection_that_resumes_the_session_is_served(
    daemon: Daemon, way: Way, account: Account, secret: Path
) -> None:
    """The control group."""
    guest = Guest(daemon, way, account)
    assert guest.retrieve("secret", guest.context, guest.session) == (["150", "226"], b"secret")


def test_a_session_may_be_resumed_more_than_once(daemon: Daemon, way: Way, account: Account, secret: Path) -> None:
    """Clients reuse the same ticket of the control connection for every data connection."""
    guest = Guest(daemon, way, account)
    for _ in range(5):
        assert guest.retrieve("secret", guest.context, guest.session) == (["150", "226"], b"secret")


def test_a_ticket_of_a_data_connection_is_good_too(daemon: Daemon, way: Way, account: Account, secret: Path) -> None:
    """PHP and Go clients take the newest ticket, whichever connection of the session it came from."""
    guest = Guest(daemon, way, account)
    session = guest.session
    for _ in range(3):
        where = guest.connection.passive()
        guest.connection.send("RETR secret")
        with data_connection(where, guest.context, session) as data:
            assert data.recv(100) == b"secret"
            assert data.session_reused
            session = data.session
        assert [guest.connection.reply()[:3] for _ in range(2)] == ["150", "226"]


def test_a_data_connection_with_a_full_handshake_is_refused(
    daemon: Daemon, way: Way, account: Account, secret: Path
) -> None:
    """522, and not a byte of the file; the session lives on."""
    guest = Guest(daemon, way, account)
    assert guest.retrieve("secret", tls_context(daemon, way.version), None) == (["150", "522"], b"")
    assert guest.connection.ask("NOOP").startswith("200")
    assert guest.retrieve("secret", guest.context, guest.session) == (["150", "226"], b"secret")


def test_an_upload_over_a_full_handshake_is_not_stored(daemon: Daemon, way: Way, account: Account) -> None:
    """Nothing that a stranger sends becomes a file."""
    guest = Guest(daemon, way, account)
    where = guest.connection.passive()
    guest.connection.send("STOR file")
    try:
        with data_connection(where, tls_context(daemon, way.version), None) as data:
            data.sendall(b"forged")
            data.unwrap()
    except (ssl.SSLError, OSError):
        pass  # cut off by the server
    assert [guest.connection.reply()[:3] for _ in range(2)] == ["150", "522"]
    assert list(account.home.iterdir()) == []


def test_a_data_connection_in_clear_is_refused(daemon: Daemon, way: Way, account: Account) -> None:
    """After PROT P a connection without TLS uploads nothing: 425."""
    guest = Guest(daemon, way, account)
    where = guest.connection.passive()
    guest.connection.send("STOR file")
    with socket.create_connection(where, TIMEOUT) as data:
        data.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert [guest.connection.reply()[:3] for _ in range(2)] == ["150", "425"]
    assert list(account.home.iterdir()) == []


def test_a_data_connection_closed_without_a_byte_is_no_empty_upload(daemon: Daemon, way: Way, account: Account) -> None:
    """lftp 4.7 did that for empty files; anybody could do it for any file: 425, nothing stored."""
    (account.home / "file").write_bytes(b"old")
    guest = Guest(daemon, way, account)
    where = guest.connection.passive()
    guest.connection.send("STOR file")
    socket.create_connection(where, TIMEOUT).close()
    assert [guest.connection.reply()[:3] for _ in range(2)] == ["150", "425"]
    assert (account.home / "file").read_bytes() == b"old"


def test_prot_c_is_refused(daemon: Daemon, way: Way, account: Account) -> None:
    """534, and PROT P stays in force."""
    guest = Guest(daemon, way, account)
    assert guest.connection.ask("PROT C").startswith("534")
    guest.connection.passive()
    assert guest.connection.ask("NOOP").startswith("200")


@VERSIONS
def test_a_transfer_before_prot_p_is_refused(daemon: Daemon, way: Way, account: Account, secret: Path) -> None:
    """521 for every command that would use the data connection; implicit TLS protects it from the start."""
    connection = control(daemon, way)
    for line in (f"USER {account.name}", f"PASS {account.password}", "EPSV"):
        connection.ask(line)
    assert [connection.ask(line)[:3] for line in ("RETR secret", "STOR x", "LIST", "MLSD")] == ["521"] * 4


@pytest.mark.parametrize(
    ("line", "expected"), [("PROT S", "536"), ("PROT E", "536"), ("PROT X", "504"), ("PBSZ x", "501")]
)
def test_other_levels_are_refused(daemon: Daemon, way: Way, line: str, expected: str) -> None:
    """TLS knows P and C only."""
    connection = control(daemon, way)
    assert connection.ask(line)[:3] == expected
    connection.close()


def test_alpn_on_data_connections(daemon: Daemon, way: Way, account: Account, secret: Path) -> None:
    """`ftp` or `ftp-data` are fine there."""
    for protocol in ("ftp", "ftp-data"):
        guest = Guest(daemon, way, account)
        guest.context.set_alpn_protocols([protocol])
        assert guest.retrieve("secret", guest.context, guest.session) == (["150", "226"], b"secret")


class TestOffered:
    """Where session reuse is offered and not required."""

    @VERSIONS
    def test_server_wide(self, start_daemon: StartDaemon, way: Way) -> None:
        """`tls.data_session_reuse: offered` serves clients that cannot resume, and those that can."""
        daemon = start_daemon({"tls": {"data_session_reuse": "offered"}})
        account = daemon.account()
        (account.home / "secret").write_bytes(b"secret")
        guest = Guest(daemon, way, account)
        for context, session in ((tls_context(daemon, way.version), None), (guest.context, guest.session)):
            assert guest.retrieve("secret", context, session) == (["150", "226"], b"secret")

    @VERSIONS
    def test_for_one_user(self, start_daemon: StartDaemon, way: Way) -> None:
        """`data_session_reuse: offered` of a user is for that user only."""
        daemon = start_daemon()
        old, new = daemon.account(), daemon.account()
        users = daemon.users
        users[old.name]["data_session_reuse"] = "offered"
        daemon.write_users(users)
        daemon.reload()
        codes = {}
        for account in (old, new):
            (account.home / "secret").write_bytes(b"secret")
            guest = Guest(daemon, way, account)
            codes[account], _ = guest.retrieve("secret", tls_context(daemon, way.version), None)
        assert codes == {old: ["150", "226"], new: ["150", "522"]}


def test_require_control_allows_prot_c(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """`tls.require: control` encrypts passwords and leaves data to the client."""
    daemon = start_daemon({"tls": {"require": "control"}})
    account = daemon.account()
    (account.home / "file").write_bytes(b"public")
    connection: ControlConnection = control(daemon, EXPLICIT)
    connection.log_in(account)
    assert connection.ask("PROT C").startswith("200")
    where = connection.passive()
    connection.send("RETR file")
    with socket.create_connection(where, TIMEOUT) as data:
        assert data.recv(100) == b"public"
    assert [connection.reply()[:3] for _ in range(2)] == ["150", "226"]
