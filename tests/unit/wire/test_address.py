"""Addresses: PORT, EPRT, 227, 229."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.wire.address import (
    IPV4,
    IPV6,
    AddressError,
    HostPort,
    UnknownProtocol,
    client_of,
    extended_passive_text,
    parse_eprt,
    parse_port,
    passive_text,
)

PORTS = st.integers(1, 65535)


@given(st.ip_addresses(v=4), PORTS)
def test_port_reads_what_passive_writes(address: IPv4Address, port: int) -> None:
    """PORT and 227 spell an endpoint alike."""
    text = passive_text(str(address), port)
    assert parse_port(text[text.index("(") + 1 : -1]) == (str(address), port)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6), PORTS, st.characters(min_codepoint=33, max_codepoint=126))
def test_eprt_with_any_delimiter(address: IPv4Address | IPv6Address, port: int, delimiter: str) -> None:
    """EPRT is read with every delimiter that is not part of the address itself."""
    protocol = IPV4 if address.version == 4 else IPV6
    fields = (str(protocol), str(address), str(port))
    argument = delimiter.join(("", *fields, ""))
    if any(delimiter in field for field in fields):
        with pytest.raises(AddressError):
            parse_eprt(argument)
    else:
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        assert parse_eprt(argument) == (protocol, HostPort(str(mapped or address), port))


@given(st.text())
def test_any_text_is_an_address_or_an_address_error(text: str) -> None:
    """Nothing a client writes raises anything but AddressError."""
    for parse in (parse_port, parse_eprt):
        with pytest.raises(AddressError):
            parse("x" + text)


@given(st.text(st.sampled_from("|,.:%12 ٣")))
def test_near_misses_are_address_errors(text: str) -> None:
    """A text that resembles an address is read or refused, never a failure of ours."""
    for parse in (parse_port, parse_eprt):
        try:
            parse(text)
        except AddressError as error:
            assert str(error)  # noqa: PT017 - the point is that only this class is raised


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("|1|132.235.1.2|6275|", (IPV4, ("132.235.1.2", 6275))),
        ("|2|1080::8:800:200C:417A|5282|", (IPV6, ("1080::8:800:200c:417a", 5282))),
        (" |1|132.235.1.2|6275| ", (IPV4, ("132.235.1.2", 6275))),
    ],
)
def test_eprt_examples(argument: str, expected: tuple[int, tuple[str, int]]) -> None:
    """The examples of RFC 2428 are read; surrounding spaces do no harm."""
    assert parse_eprt(argument) == expected


def test_port_tolerates_surrounding_spaces() -> None:
    """Spaces around the argument of PORT are not part of it (FileZilla Server trims them too)."""
    assert parse_port(" 10,0,0,1,4,1 ") == ("10.0.0.1", 1025)


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "1,2,3,4,5",
        "1,2,3,4,5,6,7",
        "256,0,0,1,4,1",
        "1,2,3,4,0,0",
        "-1,2,3,4,5,6",
        "1,2,3,4,5,٣",
        "1,2,3,4,5,+6",
        "1, 2,3,4,5,6",
        "0001,2,3,4,5,6",
        "1,2,3,4,5,6\n",
    ],
)
def test_port_refuses(argument: str) -> None:
    """PORT is six numbers from 0 to 255 and a port that is not 0."""
    with pytest.raises(AddressError):
        parse_port(argument)


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "|",
        "|1|1.2.3.4|80",
        "1|1.2.3.4|80|",
        "|1|1.2.3.4|80|x",
        "|1|1.2.3.4|80||",
        "|1|1.2.3.4|0|",
        "|1|1.2.3.4|65536|",
        "|1|1.2.3.4|٣|",
        "|1|1.2.3.4|-1|",
        "|1|01.2.3.4|80|",
        "|1|::1|80|",
        "|2|1.2.3.4|80|",
        "|2|fe80::1%eth0|80|",
        "|1|localhost|80|",
        "||1.2.3.4|80|",
        "|x|1.2.3.4|80|",
        "é1é1.2.3.4é80é",
    ],
)
def test_eprt_refuses(argument: str) -> None:
    """EPRT is three fields, a numeric address of the family named and a port from 1 to 65535."""
    with pytest.raises(AddressError) as caught:
        parse_eprt(argument)
    assert not isinstance(caught.value, UnknownProtocol)


@pytest.mark.parametrize("protocol", ["0", "3", "99999"])
def test_unknown_protocol(protocol: str) -> None:
    """Another address family is told apart, for 522 names those we have."""
    with pytest.raises(UnknownProtocol, match=r"\(1,2\)"):
        parse_eprt(f"|{protocol}|x|80|")


def test_passive_text() -> None:
    """227 is this sentence to the letter: NAT helpers match it."""
    assert passive_text("192.0.2.10", 3007) == "Entering Passive Mode (192,0,2,10,11,191)"


def test_extended_passive_text() -> None:
    """229 ends with its bracket: a trailing period broke a client (vsftpd 3.0.3)."""
    assert extended_passive_text(3007) == "Entering Extended Passive Mode (|||3007|)"


@pytest.mark.parametrize(("host", "port"), [("::1", 3000), ("ftp.example.com", 3000), ("192.0.2.10", 0)])
def test_passive_text_takes_an_ipv4_endpoint(host: str, port: int) -> None:
    """227 has no form for IPv6, for names or for port 0."""
    with pytest.raises(AddressError):
        passive_text(host, port)


def test_eprt_with_an_ipv4_address_in_its_ipv6_mapping() -> None:
    """The address is IPv4, spelt as the rest of the server spells it."""
    assert parse_eprt("|2|::ffff:192.0.2.7|51400|") == (2, HostPort("192.0.2.7", 51400))
    assert parse_eprt("|2|::ffff:c000:207|51400|") == (2, HostPort("192.0.2.7", 51400))


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::6", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("not:an:address", "not:an:address"),
    ],
)
def test_which_client_an_address_is(host: str, client: str) -> None:
    """IPv4 addresses one by one, IPv6 addresses by their /64, in one spelling."""
    assert client_of(host) == client
