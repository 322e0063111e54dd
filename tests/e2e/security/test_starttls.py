"""TLS on the control connection: what goes before it, which versions and protocols, and what is left behind."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest

from tests.e2e.client import EXPLICIT, IMPLICIT, IPV4, ControlConnection, control, tls_context
from tests.e2e.daemon import Daemon


@pytest.fixture
def plain(tls_daemon: Daemon) -> Iterator[ControlConnection]:
    """A connection to the explicit listener that has read the greeting."""
    connection = ControlConnection(IPV4, tls_daemon.ports.explicit)
    assert connection.reply().startswith("220")
    yield connection
    connection.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_commands_pipelined_behind_auth_are_never_executed(
    tls_daemon: Daemon, plain: ControlConnection, version: ssl.TLSVersion
) -> None:
    """Lines that a man in the middle adds in clear are dropped when TLS starts (CVE-2011-0411 and its kin)."""
    account = tls_daemon.account()
    plain.send("AUTH TLS", f"USER {account.name}", "XYZZY", "NOOP")
    assert plain.reply().startswith("234")
    plain.start_tls(tls_context(tls_daemon, version))
    assert plain.ask(f"PASS {account.password}").startswith("503")
    assert plain.ask("SYST").startswith("215")


def test_half_a_line_before_tls_is_dropped_too(tls_daemon: Daemon, plain: ControlConnection) -> None:
    """It does not become the beginning of the first line inside TLS."""
    plain.sock.sendall(b"AUTH TLS\r\nUSER some")
    assert plain.reply().startswith("234")
    plain.start_tls(tls_context(tls_daemon))
    assert plain.ask("NOOP").startswith("200")


def test_login_in_clear_is_refused(tls_daemon: Daemon, plain: ControlConnection) -> None:
    """USER and PASS say that AUTH TLS comes first, and the connection stays for it."""
    account = tls_daemon.account()
    assert plain.ask(f"USER {account.name}") == "530 Use AUTH TLS first."
    assert plain.ask(f"PASS {account.password}") == "530 Use AUTH TLS first."
    assert plain.ask("AUTH TLS").startswith("234")
    plain.start_tls(tls_context(tls_daemon))
    plain.log_in(account)


def test_pbsz_and_prot_need_tls(plain: ControlConnection) -> None:
    """503 in clear (RFC 4217, 9)."""
    assert [plain.ask(line)[:3] for line in ("PBSZ 0", "PROT P")] == ["503", "503"]


@pytest.mark.parametrize("name", ["TLS", "SSL", "TLS-C", "TLS-P", "tls"])
def test_old_names_of_the_mechanism_are_known(tls_daemon: Daemon, plain: ControlConnection, name: str) -> None:
    """Older Windows and AS/400 clients send them."""
    assert plain.ask(f"AUTH {name}").startswith("234")
    plain.start_tls(tls_context(tls_daemon))
    assert plain.ask("NOOP").startswith("200")


def test_tls_is_not_started_twice(tls_daemon: Daemon) -> None:
    """AUTH inside TLS is refused."""
    connection = control(tls_daemon, EXPLICIT)
    assert connection.ask("AUTH TLS").startswith("503")
    connection.close()


def test_the_control_connection_does_not_return_to_clear(tls_daemon: Daemon) -> None:
    """CCC is refused."""
    connection = control(tls_daemon, EXPLICIT)
    connection.log_in(tls_daemon.account())
    assert connection.ask("CCC").startswith("533")
    connection.close()


@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(tls_daemon: Daemon, version: ssl.TLSVersion, implicit: bool) -> None:
    """Nothing below TLS 1.2 is spoken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version = context.maximum_version = version
    ports = tls_daemon.ports
    connection = ControlConnection(IPV4, ports.implicit if implicit else ports.explicit)
    if not implicit:
        connection.reply()
        assert connection.ask("AUTH TLS").startswith("234")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connection.start_tls(context)
    connection.close()


def test_the_minimum_version_can_be_raised(start_daemon: object) -> None:
    """`minimum_version: "1.3"` refuses TLS 1.2."""
    assert callable(start_daemon)
    daemon = start_daemon({"tls": {"minimum_version": "1.3"}})
    control(daemon, IMPLICIT).close()
    connection = ControlConnection(IPV4, daemon.ports.implicit)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connection.start_tls(tls_context(daemon, ssl.TLSVersion.TLSv1_2))
    connection.close()


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["ftp"], "ftp"), (["http/1.1", "ftp"], "ftp"), (["x-filezilla-ftp", "ftp"], "ftp"), (None, None)],
)
def test_alpn_ftp_is_chosen(
    tls_daemon: Daemon, plain: ControlConnection, offered: list[str] | None, chosen: str | None
) -> None:
    """A client that offers it gets it; a client that offers nothing is welcome too."""
    context = tls_context(tls_daemon)
    if offered:
        context.set_alpn_protocols(offered)
    plain.ask("AUTH TLS")
    assert plain.start_tls(context).selected_alpn_protocol() == chosen
    assert plain.ask("NOOP").startswith("200")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("offered", [["http/1.1"], ["h2", "http/1.1"], ["imap"]])
def test_alpn_without_ftp_is_refused(tls_daemon: Daemon, offered: list[str], version: ssl.TLSVersion) -> None:
    """A browser or mail client lured here learns nothing (ALPACA)."""
    context = tls_context(tls_daemon, version)
    context.set_alpn_protocols(offered)
    connection = ControlConnection(IPV4, tls_daemon.ports.implicit)
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        connection.start_tls(context)
    connection.close()


def test_a_resumed_control_connection_is_nobody(tls_daemon: Daemon) -> None:
    """A control connection may resume the TLS session of an earlier one; that says nothing about who it is."""
    context = tls_context(tls_daemon, ssl.TLSVersion.TLSv1_2)
    first = ControlConnection(IPV4, tls_daemon.ports.implicit)
    session = first.start_tls(context).session
    first.reply()
    second = ControlConnection(IPV4, tls_daemon.ports.implicit)
    assert second.start_tls(context, session).session_reused
    second.reply()
    assert second.ask("PWD").startswith("530")
    for connection in (first, second):
        connection.close()


def test_tls_on_the_explicit_port_gets_no_further(tls_daemon: Daemon, plain: ControlConnection) -> None:
    """A ClientHello where a command belongs is no FTP, and is not answered by TLS."""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        plain.start_tls(tls_context(tls_daemon))
