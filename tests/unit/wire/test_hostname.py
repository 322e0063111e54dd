"""The argument of HOST."""

from __future__ import annotations

import pytest

from ftpsd.wire.hostname import HostNameError, parse_host


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("ftp.example.com", "ftp.example.com"),
        ("FTP.Example.COM.", "ftp.example.com"),
        ("localhost", "localhost"),
        ("my_host", "my_host"),
        ("192.0.2.7", "192.0.2.7"),
        ("[::1]", "::1"),
        ("[2001:DB8:0::7]", "2001:db8::7"),
        (" ftp.example.com ", "ftp.example.com"),
    ],
)
def test_hosts(argument: str, name: str) -> None:
    """Names in lower case, addresses in their canonical spelling."""
    assert parse_host(argument) == name


@pytest.mark.parametrize(
    "argument",
    ["", " ", "::1", "[192.0.2.7]", "[::1", "[fe80::1%eth0]", "192.0.2", "192.0.2.7.8", "ftp.example.com:21", "a b",
     "*.example.com", "ftp..example.com", "-a", "übung.example", "a" * 64, ".".join(["a" * 60] * 5), "a/b", "\udcff"],
)  # fmt: skip
def test_what_is_no_host(argument: str) -> None:
    """501: ports, brackets around nothing, stars."""
    with pytest.raises(HostNameError):
        parse_host(argument)
