"""CCC: when it is allowed, and what a session is after it. Where TLS ends is in test_transport_clear.py."""

from __future__ import annotations

import pytest

from tests.dataclient import close_notify
from tests.sessions import ControlClient, Server

ALLOWED = {"require": "none", "allow_ccc": True}


def secure() -> ControlClient:
    """Return a client that is logged in under TLS, on a server that allows CCC."""
    client = Server(tls=ALLOWED).connect()
    client.start_tls()
    client.log_in()
    assert client.say("PROT P").startswith("200 ")
    return client


def clear(client: ControlClient, *, says_so: bool = True, behind: bytes = b"") -> None:
    """Send CCC and leave TLS, with close_notify where the client *says so* and the bytes *behind* it."""
    assert client.say("CCC").startswith("200 ")
    tls, client.tls = client.tls, None
    assert tls is not None
    client.connection.deliver((close_notify(tls) if says_so else b"") + behind)


def test_the_connection_goes_on_in_clear() -> None:
    """With the user logged in and commands answered."""
    client = secure()
    clear(client)
    assert client.say("PWD") == '257 "/" is the working directory.'
    assert not client.session.is_secure


def test_the_server_says_close_notify() -> None:
    """Behind its 200, so that the client knows that nothing was cut off."""
    client = secure()
    client.send("CCC")
    client.server.reactor.advance(0)
    data = client.connection.take()
    assert client.tls is not None
    assert client.tls.read(data).startswith(b"200 ")
    assert client.tls.tls.read(1) == b""


def test_commands_behind_close_notify() -> None:
    """In the same segment they are in clear, and are read."""
    client = secure()
    clear(client, behind=b"NOOP\r\n")
    assert client.replies() == "200 OK."


def test_a_client_that_leaves_close_notify_out() -> None:
    """Old clients begin in clear at once."""
    client = secure()
    clear(client, says_so=False, behind=b"NOOP\r\n")
    assert client.replies() == "200 OK."


def test_the_end_of_the_connection() -> None:
    """A client that goes instead leaves nothing behind."""
    client = secure()
    assert client.say("CCC").startswith("200 ")
    client.hang_up()
    assert client.session.is_gone
    assert client.server.counts.total == 0


def test_data_connections_stay_protected() -> None:
    """They resume the session that TLS had on the control connection; PROT cannot be changed any more."""
    client = secure()
    client.server.memory.put("/file", b"content")
    tls = client.tls
    assert tls is not None
    session = tls.tls.session
    clear(client)
    assert client.say("PROT C").startswith("503 ")
    port = client.agree()
    client.tls = tls
    data = client.connect_data(port)
    client.tls = None
    assert data.tls is not None
    assert session is not None
    assert data.tls.tls.session_reused
    client.send("RETR file")
    assert data.read_all() == b"content"
    assert "226 " in client.replies()


def test_tls_can_be_started_again() -> None:
    """With AUTH; the user is logged out as always."""
    client = secure()
    clear(client)
    client.start_tls()
    assert client.say("PWD").startswith("530 ")
    client.log_in()


def test_before_the_login() -> None:
    """503: the password is what CCC leaves encrypted."""
    client = Server(tls=ALLOWED).connect()
    client.start_tls()
    assert client.say("CCC").startswith("503 ")


def test_in_clear() -> None:
    """503, also the second time."""
    client = Server(tls=ALLOWED).connect()
    client.log_in()
    assert client.say("CCC").startswith("503 ")


@pytest.mark.parametrize("policy", [{"require": "none"}, {"require": "control", "allow_ccc": True}, {}])
def test_where_it_is_not_allowed(policy: dict[str, object]) -> None:
    """533, and the connection stays under TLS; a policy that asks for TLS goes before the permission."""
    client = Server(tls=policy).connect()
    client.start_tls()
    client.log_in()
    assert client.say("CCC").startswith("533 ")
    assert client.say("PWD").startswith("257 ")
