"""The server-PI under TLS: what arrived in clear is never run inside it."""

from __future__ import annotations

import pytest

from ftpsd.audit.events import CommandDone, SessionClosed, TLSEstablished, TLSFailed
from ftpsd.control.pi import FAREWELL
from ftpsd.control.state.limits import MOST_REFUSED_OF_CLIENT
from tests.dataclient import new_client
from tests.sessions import Server, clear_server
from tests.workers import QueueingWorkers


def test_auth_starts_tls() -> None:
    """After 234 and the handshake commands and replies are under TLS."""
    client = Server().connect()
    client.start_tls()
    assert client.say("NOOP") == "200 OK."
    assert client.session.is_secure


def test_tls_is_published() -> None:
    """The audit log learns what was agreed."""
    server = Server()
    server.connect().start_tls()
    (established,) = server.published(TLSEstablished)
    assert (established.channel, established.version, established.resumed) == ("control", "TLSv1.3", False)


def test_implicit_tls_comes_before_the_greeting() -> None:
    """A connection to the implicit port is under TLS from its first byte."""
    client = Server().connect(implicit=True)
    assert client.greeting == "220 FTPS server ready."
    assert client.session.is_secure


def test_plaintext_behind_auth_is_dropped() -> None:
    """In one segment with AUTH: it may be a stranger's on the way (CVE-2011-0411 and its kind)."""
    client = Server().connect()
    client.send("AUTH TLS", "HELP", "USER mallory")
    assert client.replies() == "234 Start the TLS handshake."
    client.shake_hands()
    assert client.say("NOOP") == "200 OK."
    assert {event.command for event in client.server.published(CommandDone)} == {"AUTH", "NOOP"}


def test_half_a_line_behind_auth_is_dropped() -> None:
    """The beginning of a command sent in clear does not become the beginning of one in TLS."""
    client = Server().connect()
    client.send_bytes(b"AUTH TLS\r\nUSER mallory\xff")
    client.replies()
    client.shake_hands()
    assert client.say("NOOP") == "200 OK."


def test_plaintext_behind_a_slow_command_is_dropped() -> None:
    """Queued in clear, before AUTH was run: it dies there as well."""
    files = QueueingWorkers()
    server = clear_server(files=files)
    server.memory.put("/file", b"data")
    client = server.logged_in()
    client.send("SIZE file", "AUTH TLS", "DELE file")
    files.release()
    assert client.replies() == "213 4\n234 Start the TLS handshake."
    client.shake_hands()
    assert client.say("NOOP") == "200 OK."
    assert server.memory.get("/file") == b"data"


def test_auth_forgets_the_login() -> None:
    """A user who logged in in clear is nobody under TLS (RFC 4217, 4.1)."""
    client = clear_server().logged_in()
    client.start_tls()
    assert client.say("PWD").startswith("530 ")


def test_auth_forgets_the_data_port() -> None:
    """A port agreed in clear may be known to a stranger."""
    client = clear_server().logged_in()
    client.agree()
    client.start_tls()
    assert client.server.ports.claimed == 0


def test_commands_under_tls_may_be_pipelined() -> None:
    """Only what came in clear is dropped."""
    client = Server().connect()
    client.start_tls()
    client.send("NOOP", "NOOP")
    assert client.replies() == "200 OK.\n200 OK."


def test_the_handshake_has_its_time() -> None:
    """A client that says nothing after AUTH is cut off."""
    client = Server(limits={"handshake_timeout": 30}).connect()
    client.say("AUTH TLS")
    client.server.reactor.advance(30)
    assert client.is_cut


def test_a_handshake_that_is_over_has_no_timer() -> None:
    """The session goes on."""
    client = Server(limits={"handshake_timeout": 30}).connect()
    client.start_tls()
    client.server.reactor.advance(30)
    assert client.say("NOOP") == "200 OK."


def test_a_handshake_that_fails_is_published() -> None:
    """Clear text where the handshake belongs."""
    client = Server().connect()
    client.say("AUTH TLS")
    client.send("USER alice")
    client.hang_up()
    (failed,) = client.server.published(TLSFailed)
    assert (failed.channel, failed.reason) == ("control", "clear-text")
    # In the words of OpenSSL 3.x, which differ by version.
    assert failed.detail in ("wrong version number", "packet length too long")


def test_tls_on_a_port_that_begins_in_clear_is_published() -> None:
    """Named as what it is, and closed; not taken for a command."""
    client = Server().connect()
    client.send_bytes(new_client().take(b""))
    assert client.replies().startswith("421 TLS begins with AUTH TLS")
    assert [event.reason for event in client.server.published(TLSFailed)] == ["tls-on-a-clear-port"]
    assert client.server.published(CommandDone) == []
    assert client.is_closed


@pytest.mark.parametrize("is_shaken", [False, True])
def test_a_connection_lost_under_tls_gives_everything_back(is_shaken: bool) -> None:
    """In the handshake or after it."""
    server = Server()
    client = server.connect()
    if is_shaken:
        client.start_tls()
        client.log_in()
    else:
        client.say("AUTH TLS")
    client.hang_up()
    assert (server.counts.total, server.counts.logged_in, server.realm.open) == (0, 0, 0)
    assert server.reactor.getDelayedCalls() == []


def test_quitting_says_close_notify() -> None:
    """GnuTLS clients call anything else "improperly terminated" (FileZilla, lftp)."""
    client = Server().connect()
    client.start_tls()
    assert client.say("QUIT") == "221 Goodbye."
    assert client.tls is not None
    assert client.tls.tls.read(1) == b""


def test_a_client_that_answers_no_close_notify_is_cut() -> None:
    """Our TLS waits for the client's close_notify, but not for ever."""
    client = Server().connect()
    client.start_tls()
    client.say("QUIT")
    client.server.reactor.advance(FAREWELL)
    assert client.is_cut


def test_an_idle_session_says_close_notify() -> None:
    """Also when it was the server who had enough."""
    client = Server(limits={"login_timeout": 10}).connect()
    client.start_tls()
    client.server.reactor.advance(10)
    assert client.replies() == "421 Login took too long."
    assert client.tls is not None
    assert client.tls.tls.read(1) == b""


def test_a_refused_implicit_connection_reads_why() -> None:
    """421 comes inside TLS, where the client looks for it."""
    server = Server(limits={"connections": 1})
    server.connect(implicit=True)
    assert server.connect(implicit=True).greeting.startswith("421 Too many connections")


def test_a_refused_connection_costs_no_context() -> None:
    """TLS begins when its client speaks; one too many of those that say nothing is closed at once."""
    server = Server(limits={"connections": 1})
    server.connect(implicit=True)
    silent = [server.connect_silently() for _ in range(MOST_REFUSED_OF_CLIENT + 1)]
    assert [client.session.tls for client in silent] == [None] * len(silent)
    assert [client.is_closed for client in silent] == [False] * MOST_REFUSED_OF_CLIENT + [True]
    assert [client.connection.take() for client in silent] == [b""] * len(silent)
    server.reactor.advance(FAREWELL)
    assert [client.is_cut for client in silent[:-1]] == [True] * MOST_REFUSED_OF_CLIENT
    for client in silent:
        client.hang_up()
    again = server.connect_silently()
    again.shake_hands()
    assert again.replies().startswith("421 Too many connections")


def test_a_client_that_does_not_read_is_not_answered_under_tls_either() -> None:
    """The producer follows the transport into TLS."""
    client = Server().connect()
    client.start_tls()
    client.connection.transport.producer.pauseProducing()
    assert client.say("NOOP") == ""
    client.connection.transport.producer.resumeProducing()
    assert client.replies() == "200 OK."


def test_the_reason_of_the_end_is_kept() -> None:
    """SessionClosed has the reason also when the client hangs up last."""
    client = Server().connect()
    client.start_tls()
    client.say("QUIT")
    client.hang_up()
    assert [event.reason for event in client.server.published(SessionClosed)] == ["quit"]
