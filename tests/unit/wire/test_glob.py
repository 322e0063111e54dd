"""Patterns of LIST and NLST: what they match, and that no pattern takes long."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.wire.list_lines import MAX_PATTERN, glob_match


@pytest.mark.parametrize(
    ("name", "pattern", "matches"),
    [
        ("report.csv", "*.csv", True),
        ("report.csv", "*.CSV", False),
        ("report.csv", "report.csv", True),
        ("report.csv", "report", False),
        ("report.csv", "r?port.*", True),
        ("a1", "a[0-9]", True),
        ("ab", "a[!0-9]", True),
        ("a1", "a[!0-9]", False),
        ("*", "[*]", True),
        ("x", "[*]", False),
        ("[x", "[x", True),
        ("a\\b", "a\\b", True),
        ("a+b(c)", "a+b(c)", True),
        ("", "*", True),
        ("", "?", False),
        ("\udcff", "?", True),
        ("a\nb", "a*b", True),
    ],
)
def test_matches(name: str, pattern: str, matches: bool) -> None:
    """Wildcards mean what they mean in a shell, everything else means itself."""
    assert glob_match(name, pattern) is matches


def plain_match(name: str, pattern: str) -> bool:
    # The definition of "*" and "?", by dynamic programming: too slow to use, too short to be wrong.
    fits = [True] + [False] * len(name)
    for wildcard in pattern:
        if wildcard == "*":
            fits = [any(fits[: i + 1]) for i in range(len(name) + 1)]
        else:
            fits = [False, *(fits[i] and wildcard in ("?", name[i]) for i in range(len(name)))]
    return fits[-1]


@given(st.text("ab", max_size=12), st.text("ab*?", max_size=10))
def test_agrees_with_the_definition(name: str, pattern: str) -> None:
    """Never reconsidering a star loses no match."""
    assert glob_match(name, pattern) is plain_match(name, pattern)


@given(st.text(st.sampled_from("a-[]!^&|~\\*?"), max_size=12))
def test_every_pattern_is_a_pattern(pattern: str) -> None:
    """No pattern raises or warns, however its brackets stand."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert glob_match("a", pattern) in (True, False)


@pytest.mark.parametrize(
    "pattern", ["*a" * 120 + "b", "*?" * 120 + "b", "*[a]" * 120 + "b", "*" * 1000 + "b", "*a*" * 80 + "b"]
)
def test_no_pattern_blows_up(pattern: str) -> None:
    """Many stars over a name that nearly fits: with backtracking this test would not end within a lifetime."""
    assert not glob_match("a" * 255, pattern)


def test_over_long_pattern_matches_nothing() -> None:
    """A pattern beyond the bound costs no compilation."""
    assert glob_match("a", "*" * MAX_PATTERN)
    assert not glob_match("a", "*" * (MAX_PATTERN + 1))
