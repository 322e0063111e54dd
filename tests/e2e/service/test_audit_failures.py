"""The audit log of what failed: TLS handshakes told apart, and transfers whose client or server went away."""

from __future__ import annotations

import signal
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.client import (
    CLEAR,
    EXPLICIT,
    IPV4,
    TIMEOUT,
    ReusedFTP_TLS,
    Way,
    begin,
    content,
    log_in,
    reply,
    tls_context,
)
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually

UPLOAD = 300_000


@pytest.fixture
def own(tls_daemon: Daemon) -> Daemon:
    """The daemon as it is by default; its log holds failures of other tests too."""
    return tls_daemon


def distrusting(daemon: Daemon) -> ssl.SSLContext:
    return ssl.create_default_context()


def too_old(daemon: Daemon) -> ssl.SSLContext:
    context = tls_context(daemon)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def without_a_common_cipher(daemon: Daemon) -> ssl.SSLContext:
    context = tls_context(daemon, ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("AES128-SHA")
    return context


def a_browser(daemon: Daemon) -> ssl.SSLContext:
    context = tls_context(daemon)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("mode", ["explicit", "implicit"])
@pytest.mark.parametrize(
    ("make", "reason", "alert"),
    [
        (distrusting, "alert-unknown-ca", "received: unknown ca"),
        (too_old, "unsupported-protocol", "sent: protocol version"),
        (without_a_common_cipher, "no-shared-cipher", "sent: handshake failure"),
        (a_browser, "no-application-protocol", "sent: no application protocol"),
    ],
)
def test_tls_failures_are_told_apart(
    own: Daemon, mode: str, make: Callable[[Daemon], ssl.SSLContext], reason: str, alert: str
) -> None:
    """By OpenSSL's reason, and the alert that ended the handshake."""
    port = own.ports.implicit if mode == "implicit" else own.ports.explicit
    with socket.create_connection((IPV4, port), TIMEOUT) as plain:
        if mode == "explicit":
            plain.recv(1000)
            plain.sendall(b"AUTH TLS\r\n")
            plain.recv(1000)
        with pytest.raises(OSError):
            make(own).wrap_socket(plain, server_hostname=IPV4).recv(1)
    failed = own.wait_for_event("tls-failed", channel="control", alert=alert, listener=f"{mode}:{port}")
    # What OpenSSL calls an alert that came has another beginning in each of its versions.
    assert failed["reason"].endswith(reason)
    assert failed["detail"].replace(" ", "-").replace("/", "-") == failed["reason"]


@pytest.mark.parametrize("line", [b"USER alice\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_clear_ftp_on_the_implicit_port_is_named(own: Daemon, line: bytes) -> None:
    """A client without TLS, or without implicit TLS."""
    with socket.create_connection((IPV4, own.ports.implicit), TIMEOUT) as plain:
        plain.sendall(line)
        while plain.recv(1000):
            pass
    assert "in clear" in own.wait_for_event("tls-failed", reason="clear-ftp")["detail"]


def test_a_client_that_waits_on_the_implicit_port_is_named(start_daemon: StartDaemon) -> None:
    """Most clients in clear say nothing before the greeting."""
    daemon = start_daemon({"limits": {"handshake_timeout": "1s"}})
    with socket.create_connection((IPV4, daemon.ports.implicit), TIMEOUT) as plain:
        try:
            assert plain.recv(1000) == b""
        except ConnectionError:
            pass
    failed = daemon.wait_for_event("tls-failed")
    assert (failed["reason"], "greeting in clear" in failed["detail"]) == ("no-hello", True)


def test_tls_on_the_explicit_port_is_named(own: Daemon) -> None:
    """A client that is set to implicit TLS, on the other port."""
    with socket.create_connection((IPV4, own.ports.explicit), TIMEOUT) as plain, pytest.raises(OSError):
        tls_context(own).wrap_socket(plain, server_hostname=IPV4)
    assert own.wait_for_event("tls-failed", reason="tls-on-a-clear-port")["channel"] == "control"


def test_failures_on_the_data_connection_are_told_too(own: Daemon) -> None:
    """On the channel "data", with the reason of the refusal beside it."""
    account = own.account()
    ftp = log_in(own, EXPLICIT, account)
    assert isinstance(ftp, ReusedFTP_TLS)
    connection, port = ftp.makepasv()
    assert reply(ftp, "STOR file").startswith("150")
    with socket.create_connection((connection, port), TIMEOUT) as plain, pytest.raises(OSError):
        distrusting(own).wrap_socket(plain, server_hostname=IPV4)
    assert ftp.getmultiline().startswith("425")
    failed = own.wait_for_event("tls-failed", channel="data", user=account.name)
    assert failed["alert"] == "received: unknown ca"
    refused = own.wait_for_event("data-connection-refused", user=account.name)
    assert (refused["reason"], "unknown ca" in refused["detail"]) == ("no-tls", True)
    ftp.close()


def names(daemon: Daemon, session: str) -> list[str]:
    return [event["event"] for event in daemon.audit(session) if event["event"] in ("file-stored", "session-closed")]


def uploading(daemon: Daemon, way: Way) -> tuple[Any, socket.socket]:
    """Return a session and its data connection, with an upload under way."""
    ftp = log_in(daemon, way, daemon.account())
    data, _ = begin(ftp, "STOR file")
    data.sendall(content(UPLOAD))
    eventually(lambda: f"Transferring: {UPLOAD} bytes" in reply(ftp, "STAT"), "the bytes have arrived")
    return ftp, data


@pytest.mark.parametrize("way", [CLEAR, EXPLICIT], ids=str)
def test_an_upload_whose_client_died(start_daemon: StartDaemon, way: Way) -> None:
    """It is logged as such, before the end of its session."""
    daemon = start_daemon({"tls": {"require": "none"}})
    ftp, data = uploading(daemon, way)
    ftp.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ftp.close()
    closed = daemon.wait_for_event("session-closed")
    stored = daemon.wait_for_event("file-stored")
    assert (stored["result"], stored["reason"]) == ("aborted", "the control connection was lost")
    assert names(daemon, closed["session"]) == ["file-stored", "session-closed"]
    data.close()


@pytest.mark.parametrize("way", [CLEAR, EXPLICIT], ids=str)
def test_an_upload_that_the_drain_cut_off(start_daemon: StartDaemon, way: Way) -> None:
    """The client did nothing wrong, and the log says so."""
    daemon = start_daemon({"tls": {"require": "none"}, "drain_timeout": "1s"})
    ftp, data = uploading(daemon, way)
    daemon.signal(signal.SIGTERM)
    assert daemon.ended() == 0
    stored = daemon.wait_for_event("file-stored")
    assert (stored["result"], stored["reason"]) == ("aborted", "the server was stopped and cut it off")
    closed = daemon.wait_for_event("session-closed")
    assert closed["reason"] == "stopping"
    assert names(daemon, closed["session"]) == ["file-stored", "session-closed"]
    ftp.close()
    data.close()
