"""PASV, EPSV, PORT and EPRT: to the letter, and to nobody's host but the client's own."""

from __future__ import annotations

import re

import pytest

from ftpsd.audit.events import DataConnectionRefused, PassiveExhausted
from ftpsd.data.ports import WAIT_FOR_PORT
from tests.sessions import ControlClient, clear_server

IPV6_PEER, IPV6_HOST = "2001:db8::7", "2001:db8::1"


def over_ipv6(**arguments: object) -> ControlClient:
    """Return a client that came over IPv6."""
    client = clear_server(**arguments).connect(peer=IPV6_PEER, host=IPV6_HOST)
    client.log_in()
    return client


# --- passive


def test_the_text_of_227() -> None:
    """NAT helpers and old clients match it to the letter."""
    client = clear_server(ports=range(3000, 3001)).logged_in()
    assert client.say("PASV") == "227 Entering Passive Mode (203,0,113,1,11,184)"


def test_the_text_of_229() -> None:
    """No address and no full stop (BT Internet)."""
    client = clear_server(ports=range(3000, 3001)).logged_in()
    assert client.say("EPSV") == "229 Entering Extended Passive Mode (|||3000|)"


def test_the_announced_address() -> None:
    """passive.public_address stands in 227, by client."""
    client = clear_server(public_address=lambda client, local: "192.0.2.9").logged_in()
    assert client.say("PASV").startswith("227 Entering Passive Mode (192,0,2,9,")


def test_every_port_is_of_the_range() -> None:
    """Ten PASVs, ten ports of the range."""
    client = clear_server(ports=range(3000, 3004)).logged_in()
    assert {client.agree() for _ in range(10)} <= set(range(3000, 3004))


def test_one_reservation_for_each_session() -> None:
    """A new PASV gives the old port back."""
    client = clear_server().logged_in()
    client.agree()
    client.agree()
    assert client.server.ports.claimed == 1


def test_pasv_over_ipv6() -> None:
    """522: 227 has no room for such an address."""
    assert over_ipv6().say("PASV").startswith("522 ")


def test_epsv_over_ipv6() -> None:
    """229."""
    assert over_ipv6().say("EPSV").startswith("229 ")


@pytest.mark.parametrize(("argument", "code"), [("1", "229"), ("2", "522"), ("3", "522"), ("x", "501"), ("1 ", "229")])
def test_the_protocol_of_epsv(argument: str, code: str) -> None:
    """The one of the control connection, or 522 that names it (RFC 2428, 3)."""
    reply = clear_server().logged_in().say(f"EPSV {argument}")
    assert reply[:3] == code
    assert code != "522" or reply.endswith("(1)")


@pytest.mark.parametrize(("argument", "code"), [("1", "522"), ("2", "229")])
def test_the_protocol_of_epsv_over_ipv6(argument: str, code: str) -> None:
    """There it is 2."""
    assert over_ipv6().say(f"EPSV {argument}")[:3] == code


@pytest.mark.parametrize("line", ["PASV", "PORT 198,51,100,7,100,0", "EPRT |1|198.51.100.7|25600|"])
def test_epsv_all(line: str) -> None:
    """After EPSV ALL only EPSV (RFC 2428, 4), in any case."""
    client = clear_server().logged_in()
    assert client.say("EPSV all").startswith("200 ")
    assert client.say(line).startswith("503 ")
    assert client.say("EPSV").startswith("229 ")


def test_a_full_range_makes_pasv_wait() -> None:
    """No reply until a port is free; then it is served."""
    server = clear_server(ports=range(3000, 3001))
    first, second = server.logged_in(), server.logged_in()
    first.agree()
    assert second.say("EPSV") == ""
    first.hang_up()
    assert second.replies().startswith("229 ")


def test_a_full_range_is_425() -> None:
    """After some seconds the reply says so, and a metric counts it."""
    server = clear_server(ports=range(3000, 3001))
    first, second = server.logged_in(), server.logged_in()
    first.agree()
    second.send("EPSV")
    server.reactor.advance(WAIT_FOR_PORT)
    assert second.replies() == "425 All passive ports are in use for your address, try again later."
    assert len(server.published(PassiveExhausted)) == 1


def test_a_full_range_is_not_full_for_others() -> None:
    """A port is lent once to each address."""
    server = clear_server(ports=range(3000, 3001))
    server.logged_in().agree()
    other = server.connect(peer="198.51.100.8")
    other.log_in()
    assert other.say("EPSV").startswith("229 ")


# --- active


def test_port() -> None:
    """200 for the client's own address."""
    client = clear_server().logged_in()
    assert client.say("PORT 198,51,100,7,100,0") == "200 PORT accepted."
    assert client.session.dtp.has_port


def test_eprt() -> None:
    """With any delimiter, and as the socket of a dual-stack client spells an IPv4 address."""
    client = clear_server().logged_in()
    assert client.say("EPRT |1|198.51.100.7|25600|") == "200 EPRT accepted."
    assert client.say("EPRT !1!198.51.100.7!25600!") == "200 EPRT accepted."
    assert client.say("EPRT |2|::ffff:198.51.100.7|25600|") == "200 EPRT accepted."


def test_eprt_of_another_network_protocol() -> None:
    """522 and what can be used instead (RFC 2428, 2): data go where the control connection comes from."""
    client = clear_server().logged_in()
    assert client.say("EPRT |2|::1|25600|") == "522 Network protocol not supported, use (1)"
    assert not client.session.dtp.has_port


def test_eprt_of_ipv4_over_ipv6() -> None:
    """The same, the other way round."""
    assert over_ipv6().say("EPRT |1|198.51.100.7|25600|") == "522 Network protocol not supported, use (2)"


@pytest.mark.parametrize("written", ["2001:db8::7", "2001:DB8:0:0:0:0:0:7"])
def test_eprt_over_ipv6(written: str) -> None:
    """However the client writes its address."""
    assert over_ipv6().say(f"EPRT |2|{written}|25600|") == "200 EPRT accepted."


@pytest.mark.parametrize(
    "line",
    [
        "PORT 198,51,100,8,100,0",
        "PORT 127,0,0,1,100,0",
        "PORT 198,51,100,7,0,22",
        "PORT 198,51,100,7,3,255",
        "EPRT |1|198.51.100.8|25600|",
        "EPRT |1|198.51.100.7|1023|",
    ],
)
def test_bounces_are_refused(line: str) -> None:
    """Another host, or a port below 1024: the server is nobody's scanner."""
    client = clear_server().logged_in()
    assert client.say(line).startswith("504 ")
    assert not client.session.dtp.has_port
    assert [event.reason for event in client.server.published(DataConnectionRefused)] == ["foreign-target"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("PORT 1,2,3", "501"),
        ("PORT 198,51,100,7,256,0", "501"),
        ("PORT 198,51,100,7,0,0", "501"),
        ("EPRT |1|198.51.100.7|99999|", "501"),
        ("EPRT 198.51.100.7", "501"),
        ("EPRT |3|198.51.100.7|25600|", "522"),
        ("EPRT |1|example.org|25600|", "501"),
    ],
)
def test_addresses_that_are_none(line: str, code: str) -> None:
    """501, or 522 for another protocol."""
    assert clear_server().logged_in().say(line)[:3] == code


@pytest.mark.parametrize("line", ["PORT 198,51,100,7,100,0", "EPRT |1|198.51.100.7|25600|"])
def test_active_mode_may_be_off(line: str) -> None:
    """502 with a hint."""
    assert clear_server(active={"enabled": False}).logged_in().say(line).startswith("502 ")


@pytest.mark.parametrize(
    "line",
    [
        *("PORT", "PORT 1,2,3", "PORT 198,51,100,8,100,0", "PORT 198,51,100,7,0,22", "EPSV 2", "EPSV x", "EPRT"),
        *("EPRT |1|198.51.100.8|25600|", "EPRT |2|::1|25600|", "EPRT |3|198.51.100.7|25600|"),
    ],
)
@pytest.mark.parametrize("earlier", ["EPSV", "PORT 198,51,100,7,100,0"])
def test_a_refused_port_takes_the_earlier_one_away(earlier: str, line: str) -> None:
    """The client means another port now: data must not go to the earlier one."""
    client = clear_server().logged_in()
    client.say(earlier)
    assert client.say(line)[0] == "5"
    assert client.say("LIST") == "425 Use PASV or PORT first."
    assert client.server.ports.claimed == 0


def test_replies_match_what_parsers_expect() -> None:
    """One opening parenthesis, digits, commas: Netscape's and ftplib's pattern."""
    client = clear_server().logged_in()
    assert re.fullmatch(r"227 [^,(]*\((\d{1,3},){5}\d{1,3}\)", client.say("PASV"))
