"""CSID and LANG: what clients ask before anything else."""

from __future__ import annotations

import pytest

from ftpsd import __version__
from tests.sessions import Server


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("LANG", "200"),
        ("LANG en", "200"),
        ("LANG EN", "200"),
        ("LANG en-GB", "200"),
        ("LANG de", "504"),
        ("LANG english", "504"),
        ("CSID Name=lftp; Version=4.9;", "200"),
        ("CSID", "501"),
    ],
)
def test_codes(line: str, code: str) -> None:
    """Before login too (lftp sends LANG when FEAT lists it)."""
    assert Server().connect().say(line)[:3] == code


def test_csid_tells_how_names_are_written() -> None:
    """And neither product nor version."""
    reply = Server().connect().say("CSID Name=x; Version=1;")
    assert reply == "200 Name=FTPS server; CaseSensitive=1; DirSep=/;"
    assert __version__ not in reply


@pytest.mark.parametrize("feature", ["CSID", "LANG EN*"])
def test_feat(feature: str) -> None:
    """Listed; the star is at the language in use (RFC 2640, 4.3)."""
    assert f" {feature}" in Server().connect().say("FEAT").split("\n")
