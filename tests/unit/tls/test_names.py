"""Names of servers: exact ones, wildcards, and what certificates cover."""

from __future__ import annotations

import pytest

from ftpsd.tls.name_table import NameTable, covers

TABLE = NameTable(
    [
        ("ftp.example.com", "exact"),
        ("*.example.com", "any"),
        ("FTP.Example.Org.", "folded"),
        ("ftp.example.com", "late"),
    ]
)


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("ftp.example.com", "exact"),
        ("FTP.EXAMPLE.COM", "exact"),
        ("ftp.example.com.", "exact"),
        ("files.example.com", "any"),
        ("ftp.example.org", "folded"),
        ("example.com", None),
        ("a.b.example.com", None),
        ("*.example.com", "any"),
        ("com", None),
        ("", None),
    ],
)
def test_what_a_name_stands_for(name: str, meaning: str | None) -> None:
    """A star is exactly one label, an exact name goes first, and of two equal ones the first."""
    assert TABLE.find(name) == meaning


def test_a_star_finds_nothing_but_itself() -> None:
    """A client that sends one gets no wildcard by it."""
    assert NameTable([("*.example.com", 1)]).find("*.*.example.com") is None
    assert NameTable([("*.com", 1)]).find("*.example.com") is None


@pytest.mark.parametrize(
    ("names", "wanted", "is_covered"),
    [
        (("a.example.com",), "a.example.com", True),
        (("A.example.com",), "a.EXAMPLE.com", True),
        (("*.example.com",), "a.example.com", True),
        (("*.example.com",), "*.example.com", True),
        (("*.example.com",), "example.com", False),
        (("*.example.com",), "a.b.example.com", False),
        (("a.example.com",), "*.example.com", False),
        ((), "a.example.com", False),
    ],
)
def test_what_a_certificate_covers(names: tuple[str, ...], wanted: str, is_covered: bool) -> None:
    """As clients read it (RFC 6125, 6.4.3)."""
    assert covers(names, wanted) is is_covered
