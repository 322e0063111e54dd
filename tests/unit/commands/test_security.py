"""AUTH, PBSZ, PROT and CCC: what RFC 4217 says, and what old clients send."""

from __future__ import annotations

import pytest

from tests.sessions import ControlClient, Server, clear_server


def secure(require: str = "control-and-data") -> ControlClient:
    """Return a client under TLS."""
    client = Server(tls={"require": require}).connect()
    client.start_tls()
    return client


@pytest.mark.parametrize("mechanism", ["TLS", "tls", "SSL", "TLS-C", "TLS-P"])
def test_mechanisms(mechanism: str) -> None:
    """The names of the RFC and of its drafts, which Windows and AS/400 clients still send."""
    assert Server().connect().say(f"AUTH {mechanism}") == "234 Start the TLS handshake."


@pytest.mark.parametrize("mechanism", ["GSSAPI", "KERBEROS_V4", "TLSX"])
def test_unknown_mechanisms(mechanism: str) -> None:
    """504, and the client tries the next."""
    assert Server().connect().say(f"AUTH {mechanism}").startswith("504 ")


def test_auth_twice() -> None:
    """503 under TLS."""
    assert secure().say("AUTH TLS").startswith("503 ")


def test_auth_on_the_implicit_port() -> None:
    """TLS is there already."""
    assert Server().connect(implicit=True).say("AUTH TLS").startswith("503 ")


def test_auth_without_a_certificate() -> None:
    """431 where the server has none."""
    assert clear_server(certificate=False).connect().say("AUTH TLS").startswith("431 ")


@pytest.mark.parametrize("line", ["PBSZ 0", "PROT P"])
def test_nothing_is_protected_before_auth(line: str) -> None:
    """503: PBSZ and PROT belong behind AUTH (RFC 4217, 8)."""
    assert Server().connect().say(line).startswith("503 ")


@pytest.mark.parametrize("size", ["0", "1", "1048576"])
def test_the_buffer_size_is_0(size: str) -> None:
    """TLS has buffers of its own (RFC 4217, 9)."""
    assert secure().say(f"PBSZ {size}") == "200 PBSZ=0"


@pytest.mark.parametrize("size", ["x", "-1", "1.5", "4294967296", "9" * 4000])
def test_the_buffer_size_is_a_number(size: str) -> None:
    """501 for another, and for one that does not fit in 32 bits (RFC 2228, 3)."""
    assert secure().say(f"PBSZ {size}").startswith("501 ")


@pytest.mark.parametrize("level", ["P", "p"])
def test_protection(level: str) -> None:
    """PROT P behind PBSZ (RFC 2228, 3)."""
    client = Server().connect(implicit=True)
    assert client.say(f"PROT {level}").startswith("503 ")
    assert not client.session.dtp.is_protected
    client.say("PBSZ 0")
    assert client.say(f"PROT {level}").startswith("200 ")
    assert client.session.dtp.is_protected


def test_clear_data_where_the_policy_forbids_it() -> None:
    """534, and the protection stays what it was."""
    client = secure()
    client.say("PROT P")
    assert client.say("PROT C").startswith("534 ")
    assert client.session.dtp.is_protected


@pytest.mark.parametrize("require", ["control", "none"])
def test_clear_data_where_the_policy_allows_it(require: str) -> None:
    """200."""
    client = secure(require)
    client.say("PROT P")
    assert client.say("PROT C").startswith("200 ")
    assert not client.session.dtp.is_protected


@pytest.mark.parametrize("level", ["S", "E"])
def test_levels_that_tls_does_not_have(level: str) -> None:
    """536 (RFC 4217, 9)."""
    assert secure().say(f"PROT {level}").startswith("536 ")


def test_unknown_levels() -> None:
    """504."""
    assert secure().say("PROT X").startswith("504 ")


def test_auth_takes_protection_back() -> None:
    """After AUTH the level is C again: lftp sends PROT always."""
    client = Server().connect()
    client.start_tls()
    assert not client.session.dtp.is_protected


def test_auth_tls_p_protects() -> None:
    """The draft's TLS-P is AUTH TLS and PROT P in one."""
    client = Server().connect()
    client.say("AUTH TLS-P")
    client.shake_hands()
    client.log_in()
    assert client.session.dtp.is_protected


def test_ccc() -> None:
    """533: commands and names stay encrypted."""
    client = secure()
    assert client.say("CCC").startswith("533 ")
    assert client.say("NOOP") == "200 OK."


def test_user_in_clear_where_the_policy_forbids_it() -> None:
    """530 and the connection stays: lftp and curl retry with AUTH."""
    client = Server().connect()
    assert client.say("USER alice") == "530 Use AUTH TLS first."
    assert not client.is_closed
    client.start_tls()
    client.log_in()
