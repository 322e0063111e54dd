"""The server of `ftpsd doctor --from-outside`, as people write it."""

from __future__ import annotations

import pytest

from ftpsd.cli.configuring.outside_server import OutsideServer, outside_server


def test_names_addresses_and_urls() -> None:
    """A port of a URL is that of its scheme's kind of TLS."""
    for text, expected in {
        "ftp.example.com": OutsideServer("ftp.example.com"),
        "192.0.2.7": OutsideServer("192.0.2.7"),
        "2001:db8::7": OutsideServer("2001:db8::7"),
        "[2001:db8::7]": OutsideServer("2001:db8::7"),
        "b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example": OutsideServer("xn--bcher-kva.example"),
        "ftp://x/": OutsideServer("x"),
        "ftpes://x:2121": OutsideServer("x", 2121),
        "FTPS://x.example:991/": OutsideServer("x.example", None, 991),
        "ftps://[2001:db8::7]:991": OutsideServer("2001:db8::7", None, 991),
    }.items():
        assert outside_server(text) == expected, text


def test_what_is_none_is_told() -> None:
    """With what to write in its place, and never with a password."""
    for text, said in {
        "x:2121": "--from-outside x --port 2121",
        "sftp://x": "sftp:// is not FTP",
        "ftp://alice:secret@x": "--user NAME",
        "ftp://x/in": "--directory DIR",
        "ftp://x:port": "is no URL",
        "ftp://": "neither the name nor the address",
        "": "neither the name nor the address",
        "a b": "neither the name nor the address",
        "a..b": "neither the name nor the address",
        "-x/y": "neither the name nor the address",
    }.items():
        with pytest.raises(ValueError) as problem:
            outside_server(text)
        assert said in str(problem.value), text
        assert "secret" not in str(problem.value)
