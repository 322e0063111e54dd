"""HOST and SNI: which host a session is on, and that nothing leads from one to another."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trustme

from ftpsd.audit.events import LoggedIn
from ftpsd.config.users import UserRecord
from ftpsd.control.state.hosts import Named
from tests.fakes import MemoryStorage
from tests.hosts import add_host, add_names, named_client, pair_for
from tests.sessions import HOST, USER, ControlClient, Server, clear_server, user_record

OWN = "own.example.test"
SHARED = "shared.example.test"
ALSO = "also.example.test"


class Several(Server):
    """A server with a host of its own certificate and one without, and one more name of the default host."""

    own: MemoryStorage
    shared: MemoryStorage


def several(user: UserRecord | None = None, sessions_per_user: int = 10) -> Several:
    server = Several(tls={"require": "none"}, limits={"sessions_per_user": sessions_per_user})
    server.own = add_host(server, OWN, "*.own.example.test", certificate=pair_for(OWN), user=user, banner="Own.")
    server.shared = add_host(server, SHARED, user=user, banner="Shared.")
    add_names(server, Named(server.runtime.hosts.default, pair_for(ALSO)), ALSO)
    return server


def secure(name: str | None, server: Server | None = None) -> ControlClient:
    """Return a client under TLS that asked for *name*."""
    client = (server or several()).connect()
    client.start_tls(named_client(name))
    return client


def is_on(client: ControlClient) -> str:
    """Return the host that the session is on, and prove it by who can log in."""
    name = client.session.host.name
    client.log_in("carol" if name else USER)
    return name


def test_host_is_offered() -> None:
    """Where there is a choice."""
    assert "\n HOST\n" in several().connect().say("FEAT")


@pytest.mark.parametrize("name", [OWN, "OWN.Example.Test.", "any.own.example.test"])
def test_a_host_in_clear(name: str) -> None:
    """220 with its banner, before USER; its users are the only ones."""
    client = several().connect()
    assert client.say(f"HOST {name}") == "220 Own."
    assert is_on(client) == OWN


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", HOST, ALSO])
def test_the_default_host_by_name(name: str) -> None:
    """By the names in its certificate, the address the client has reached, and its further names."""
    client = several().connect()
    client.say(f"HOST {OWN}")
    assert client.say(f"HOST {name}") == "220 FTPS server ready."
    assert is_on(client) == ""


@pytest.mark.parametrize("name", ["elsewhere.example.test", "192.0.2.77", "[2001:db8::7]", "a.b.own.example.test"])
def test_an_unknown_host(name: str) -> None:
    """504, and the session stays where it was (RFC 7151, 3.2)."""
    client = several().connect()
    client.say(f"HOST {OWN}")
    assert client.say(f"HOST {name}").startswith("504 ")
    assert is_on(client) == OWN


def test_what_is_no_host() -> None:
    """501 for what is neither name nor address, and for nothing."""
    client = several().connect()
    assert client.say("HOST ftp.example.com:21").startswith("501 ")
    assert client.say("HOST").startswith("501 ")


def test_host_after_the_login() -> None:
    """503 (RFC 7151, 3.2.1)."""
    client = several().connect()
    client.log_in()
    assert client.say(f"HOST {SHARED}").startswith("503 ")
    assert client.session.host.name == ""


def test_host_between_user_and_pass() -> None:
    """The name belonged to the other host: it has to be sent again."""
    client = several().connect()
    client.say("USER carol")
    client.say(f"HOST {OWN}")
    assert client.say("PASS open sesame").startswith("503 ")


def test_users_of_one_host_do_not_exist_on_another() -> None:
    """In either direction, with the text of a wrong password."""
    for host, name in (("localhost", "carol"), (OWN, USER), (SHARED, USER)):
        client = several().connect()
        client.say(f"HOST {host}")
        client.say(f"USER {name}")
        client.send("PASS open sesame")
        client.server.reactor.advance(2)
        assert client.replies() == "530 Login incorrect."


def test_files_of_one_host_are_not_on_another() -> None:
    """Each has its own storage."""
    server = several()
    server.own.put("/file", b"own")
    client = server.connect()
    client.say(f"HOST {OWN}")
    client.log_in("carol")
    assert client.say("SIZE file") == "213 3"
    other = server.connect()
    other.say(f"HOST {SHARED}")
    other.log_in("carol")
    assert other.say("SIZE file").startswith("550 ")


def test_rein_goes_back() -> None:
    """To the host of the beginning (RFC 7151, 3.3)."""
    client = several().connect()
    client.say(f"HOST {OWN}")
    client.log_in("carol")
    assert client.say("REIN").startswith("220 ")
    assert is_on(client) == ""


@pytest.mark.parametrize(("name", "host"), [(OWN, OWN), (SHARED, SHARED), (ALSO, ""), ("localhost", ""), (None, "")])
def test_sni_chooses_the_host(name: str | None, host: str) -> None:
    """The name in the TLS hello is enough; RFC 7151 comes on top."""
    client = several().connect()
    # The default host's certificate, which one of them shares, does not hold its name.
    client.start_tls(named_client(name, is_strict=name != SHARED))
    assert is_on(client) == host


@pytest.mark.parametrize(("name", "banner"), [(OWN, "Own."), ("localhost", "FTPS server ready.")])
def test_the_greeting_of_implicit_tls(name: str, banner: str) -> None:
    """It comes behind the handshake, which has told the host."""
    assert several().connect(implicit=True, tls=named_client(name)).greeting == f"220 {banner}"


@pytest.mark.parametrize(
    ("sni", "host"), [(OWN, "localhost"), (OWN, SHARED), (ALSO, SHARED), (ALSO, OWN), ("localhost", OWN), (None, OWN)]
)
def test_a_session_does_not_move_to_another_certificate(sni: str | None, host: str) -> None:
    """504: the client trusts what it has seen for one host only."""
    client = secure(sni)
    before = client.session.host
    assert client.say(f"HOST {host}").startswith("504 ")
    assert client.session.host is before


@pytest.mark.parametrize(("sni", "host"), [(None, SHARED), (None, "localhost"), (OWN, OWN), (ALSO, "localhost")])
def test_a_session_moves_where_its_certificate_is_shown(sni: str | None, host: str) -> None:
    """Also to another name of the host it is on."""
    assert secure(sni).say(f"HOST {host}").startswith("220 ")


@pytest.mark.parametrize("sni", ["localhost", "elsewhere.example.test"])
def test_host_does_not_contradict_sni(sni: str) -> None:
    """504, though the certificate is the same: the client has said where it goes (RFC 7151, 3.2.2)."""
    client = several().connect()
    client.start_tls(named_client(sni, is_strict=False))
    assert client.say(f"HOST {SHARED}").startswith("504 ")
    assert client.say("HOST localhost").startswith("220 ")
    assert is_on(client) == ""


def test_rein_goes_back_to_the_host_of_the_handshake() -> None:
    """Under TLS the session began there."""
    client = secure(None)
    assert client.say(f"HOST {SHARED}").startswith("220 ")
    client.say("REIN")
    assert is_on(client) == ""
    client = secure(OWN)
    client.say("REIN")
    assert is_on(client) == OWN


def test_host_in_clear_chooses_the_certificate() -> None:
    """For a client that sends no name with its hello (RFC 7151, 3.4)."""
    client = several().connect()
    client.say(f"HOST {OWN}")
    client.start_tls(named_client(None))
    assert client.tls is not None
    shown = client.tls.tls.getpeercert()
    assert shown is not None
    assert shown["subjectAltName"] == (("DNS", OWN),)
    assert is_on(client) == OWN


def test_host_in_clear_does_not_outdo_the_hello() -> None:
    """An attacker on the line could have sent it."""
    client = several().connect()
    client.say(f"HOST {OWN}")
    client.start_tls(named_client(ALSO))
    assert is_on(client) == ""


def test_host_in_clear_is_forgotten_where_the_certificate_does_not_show_it() -> None:
    """A host without a certificate of its own has to be named under TLS."""
    client = several().connect()
    client.say(f"HOST {SHARED}")
    client.start_tls(named_client(None))
    assert is_on(client) == ""


def test_limits_count_the_users_of_each_host() -> None:
    """Two users of one name on two hosts are two."""
    server = several(user_record(), sessions_per_user=1)
    sessions = []
    for name in ("localhost", OWN, SHARED):
        client = server.connect()
        client.say(f"HOST {name}")
        client.log_in()
        sessions.append(client)
    client = server.connect()
    client.say(f"HOST {OWN}")
    client.say(f"USER {USER}")
    assert client.say("PASS open sesame").startswith("421 ")
    sessions[1].hang_up()
    client = server.connect()
    client.say(f"HOST {OWN}")
    client.log_in()


def test_the_audit_log_knows_the_host() -> None:
    """Each event says on which host it happened; the default one is silent."""
    server = several()
    client = secure(OWN, server)
    client.log_in("carol")
    secure("localhost", server).log_in()
    assert [event.who.host for event in server.published(LoggedIn)] == [OWN, ""]


def test_without_certificates() -> None:
    """Virtual hosts work on a server in clear."""
    server = clear_server(certificate=False)
    add_host(server, SHARED)
    client = server.connect()
    assert client.say(f"HOST {SHARED}").startswith("220 ")
    assert is_on(client) == SHARED


def test_hosts_with_two_kinds_of_keys() -> None:
    """
    HOST leads where the client was shown one of that host's certificates, whichever of several it was.

    Where the session's host has a certificate that the other has not, the client may have been shown that one.
    """
    first, second = pair_for(SHARED, OWN), pair_for(SHARED, OWN, kind=trustme.KeyType.RSA)
    both = first.beside([second])
    for here, there, code in ((both, both, "220"), (first, both, "220"), (both, first, "504"), (second, first, "504")):
        server = Server()
        add_host(server, OWN, certificate=replace(there))
        server.runtime.hosts.default = replace(server.runtime.hosts.default, certificate=here)
        assert secure(None, server).say(f"HOST {OWN}")[:3] == code
