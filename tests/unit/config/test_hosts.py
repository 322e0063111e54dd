"""The hosts of a configuration: names, pairs, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsd.config.virtual_hosts import named_pairs
from tests.unit.config.samples import config, config_complaints

PAIR = "certificate: a.pem, private_key: a-key.pem"


def test_server_names() -> None:
    """Names in lower case, files resolved."""
    names = '[A.example.com, "*.b.example.com"]'
    (entry,) = config(f"tls: {{server_names: [{{names: {names}, {PAIR}}}]}}").tls.server_names
    assert entry.names == ("a.example.com", "*.b.example.com")
    assert (entry.certificate, entry.private_key) == (Path("/etc/ftpsd/a.pem"), Path("/etc/ftpsd/a-key.pem"))


def test_a_virtual_host() -> None:
    """Certificate and banner may be left to the default host."""
    (host,) = config("virtual_hosts: [{names: [a.example.com], users: a.yaml}]").virtual_hosts
    assert (host.names, host.users) == (("a.example.com",), Path("/etc/ftpsd/a.yaml"))
    assert (host.certificate, host.private_key, host.banner) == (None, None, None)


def test_the_pairs_with_names() -> None:
    """Those of further names, then those of hosts that have their own."""
    found = config(
        f"tls: {{server_names: [{{names: [a.example.com], {PAIR}}}]}}\n"
        f"virtual_hosts: [{{names: [b.example.com], users: u}}, {{names: [c.example.com], users: u, {PAIR}}}]"
    )
    assert [(pair.key, pair.names) for pair in named_pairs(found)] == [
        (("tls", "server_names", 0), ("a.example.com",)),
        (("virtual_hosts", 1), ("c.example.com",)),
    ]


@pytest.mark.parametrize(
    "name", ["192.0.2.7", "'::1'", "a b", "a.*", "'*'", "'*.com'", "-a.com", "a..b", "x:21", "7", "a_b"]
)
def test_what_is_no_name(name: str) -> None:
    """No address, no port, a star only as the first label of three."""
    (complaint,) = config_complaints(f"virtual_hosts: [{{names: [{name}], users: u}}]")
    assert complaint.startswith("ftpsd.yaml:1:26: virtual_hosts[0].names[0]: ")
    assert "is not the name of a host; write one such as ftp.example.com" in complaint


def test_a_name_beyond_ascii() -> None:
    """The complaint names the form that DNS has."""
    assert config_complaints("virtual_hosts: [{names: [übung.example], users: u}]") == [
        "ftpsd.yaml:1:26: virtual_hosts[0].names[0]: übung.example has letters that DNS does not have; "
        "write the name in its xn-- form"
    ]


def test_a_name_twice() -> None:
    """Anywhere in the file, however it is spelt."""
    text = (
        f"tls: {{server_names: [{{names: [a.example.com], {PAIR}}}]}}\n"
        "virtual_hosts:\n"
        "  - {names: [b.example.com, A.example.com], users: u}\n"
        "  - {names: [b.example.com], users: u}\n"
    )
    assert config_complaints(text) == [
        "ftpsd.yaml:3:29: virtual_hosts[0].names[1]: a.example.com is named already, further up; "
        "a name belongs to one entry",
        "ftpsd.yaml:4:14: virtual_hosts[1].names[0]: b.example.com is named already, further up; "
        "a name belongs to one entry",
    ]


@pytest.mark.parametrize(("key", "other"), [("certificate", "private_key"), ("private_key", "certificate")])
def test_half_a_pair(key: str, other: str) -> None:
    """A certificate has a key, and the reverse."""
    (complaint,) = config_complaints(f"virtual_hosts: [{{names: [a.example.com], users: u, {key}: f}}]")
    assert complaint.endswith(f"virtual_hosts[0].{key}: goes together with {other}; add it, or remove both")


@pytest.mark.parametrize("text", ["{users: u}", "{names: [], users: u}", "{names: [a.example.com]}"])
def test_what_is_missing(text: str) -> None:
    """A host has names and users."""
    assert len(config_complaints(f"virtual_hosts: [{text}]")) == 1
