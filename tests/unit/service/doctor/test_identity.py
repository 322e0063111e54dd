"""Certificates and addresses, as clients meet them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ftpsd.doctor.finding import Level
from ftpsd.doctor.identity import covers, look_at_addresses, look_at_certificate
from tests.dataclient import identity
from tests.sessions import configuration

PRIVATE, GLOBAL = "10.0.0.5", "8.8.4.4"


def addresses(own: str | None = GLOBAL, dns: str = GLOBAL, **sections: object) -> list[str]:
    """Return what is said about the addresses of a configuration."""
    config = configuration(**sections)
    return [str(finding) for finding in look_at_addresses(config, lambda name: [dns], lambda: own)]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("ftp.example.com", True),
        ("FTP.Example.com.", True),
        ("a.example.org", True),
        ("a.b.example.org", False),
        ("example.org", False),
        ("example.com", False),
        ("192.0.2.1", True),
    ],
)
def test_names(host: str, expected: bool) -> None:
    """A wildcard stands for one label."""
    assert covers(["ftp.example.com", "*.example.org", "192.0.2.1"], host) is expected


def test_a_certificate() -> None:
    """Dates and names; the name clients use must be among them."""
    pair = identity()[0]
    now = pair.not_after - timedelta(days=60)
    fine = [str(finding) for finding in look_at_certificate(pair, "localhost", now)]
    assert fine[0].startswith("ok: the certificate is valid until ")
    assert fine[1].startswith("ok: the certificate is for localhost")
    *_, wrong = look_at_certificate(pair, "ftp.example.com", now)
    assert wrong.level == Level.PROBLEM
    soon, _ = look_at_certificate(pair, None, pair.not_after - timedelta(days=3))
    assert soon.level == Level.WARNING
    for moment, word in ((pair.not_after, "expired on"), (pair.not_before - timedelta(days=1), "is not valid before")):
        out, _ = look_at_certificate(pair, None, moment)
        assert (out.level, word in out.text) == (Level.PROBLEM, True)


@pytest.mark.parametrize(
    ("passive", "own", "beginning"),
    [
        ({}, GLOBAL, "ok: PASV announces the address that the client reached, such as 8.8.4.4"),
        ({}, None, "ok: PASV announces the address that the client reached"),
        ({}, PRIVATE, "warning: PASV announces the address that the client reached, here 10.0.0.5, which is private"),
        ({"public_address": GLOBAL}, PRIVATE, "ok: PASV announces 8.8.4.4 (passive.public_address)"),
        (
            {"public_address": PRIVATE},
            GLOBAL,
            "warning: PASV announces 10.0.0.5 (passive.public_address), which is pri",
        ),
    ],
)
def test_the_address_of_pasv(passive: dict[str, object], own: str | None, beginning: str) -> None:
    """Private addresses are a warning: only the operator knows who the clients are."""
    (line,) = addresses(own, passive=passive)
    assert line.startswith(beginning)


def test_a_name_is_resolved() -> None:
    """And what it resolves to is judged."""
    lines = addresses(dns=PRIVATE, passive={"public_address": "ftp.example.com"})
    assert lines[0] == "ok: ftp.example.com resolves to 10.0.0.5"
    assert lines[1].startswith("warning: PASV announces 10.0.0.5")


def test_a_name_that_does_not_resolve() -> None:
    """A problem, told once."""

    def look_up(name: str) -> list[str]:
        raise OSError(1, "no such name")

    config = configuration(passive={"public_address": "ftp.example.com"})
    (finding,) = look_at_addresses(config, look_up)
    assert str(finding).startswith("problem: ftp.example.com, which PASV announces, cannot be resolved: no such name")


@pytest.mark.parametrize(("network", "warns"), [("10.0.0.0/8", False), ("8.8.0.0/16", True)])
def test_private_addresses_for_private_networks_are_right(network: str, warns: bool) -> None:
    """They are what public_address_for is there for."""
    choice = {"networks": [network], "address": PRIVATE}
    lines = addresses(passive={"public_address": GLOBAL, "public_address_for": [choice]})
    assert [line.startswith("warning") for line in lines] == [True, False][not warns :]


def test_behind_proxies() -> None:
    """This machine's own address is not what clients are told."""
    listener = {"mode": "explicit", "port": 21, "proxy_protocol": {"trusted": ["10.0.0.2"]}}
    passive = {"proxy_protocol": {"trusted": ["10.0.0.2"]}}
    announced = "ok: PASV announces the address at which clients reach the proxy"
    assert addresses(PRIVATE, listeners=[listener], passive=passive) == [announced]
    first, second = addresses(PRIVATE, listeners=[listener])
    assert first == announced
    assert second.startswith("warning: data connections come to the proxy too")
