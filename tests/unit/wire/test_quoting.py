"""Words and names in quotes, as COMB, SITE SYMLINK and the X forms of checksums carry them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.wire.quoting import Word, words


@pytest.mark.parametrize(
    ("argument", "texts"),
    [
        ("a", ["a"]),
        ("  a   b ", ["a", "b"]),
        ('"a b" c', ["a b", "c"]),
        ('"say ""hi""" x', ['say "hi"', "x"]),
        ('""""', ['"']),
        ("a\u00a0b c\td", ["a\u00a0b", "c\td"]),
        ("", []),
        ("   ", []),
    ],
)
def test_words(argument: str, texts: list[str]) -> None:
    """Spaces part them, and nothing else: a name may hold every other white space."""
    found = words(argument)
    assert found is not None
    assert [word.text for word in found] == texts


@pytest.mark.parametrize("argument", ['"', '"a', 'a"', 'a"b"', '"a"b', '"a""', '""', 'a "" b'])
def test_quotes_that_are_none(argument: str) -> None:
    """An open quote, one inside a word, or a name of no letter: the argument is not read at all."""
    assert words(argument) is None


@pytest.mark.parametrize("argument", [" a b", "a  b", "a b ", " ", '"a"  b'])
def test_more_spaces_than_one(argument: str) -> None:
    """They could be part of a name, so an exact reading guesses nothing."""
    assert words(argument, is_exact=True) is None
    assert words("a b", is_exact=True) == words(" a  b ")


def test_quotes_are_told() -> None:
    """A name that looks like a number is none in quotes."""
    assert words('"1" 1') == [Word("1", is_quoted=True), Word("1", is_quoted=False)]


@given(st.lists(st.text(min_size=1), max_size=5))
def test_what_is_quoted_reads_back(names: list[str]) -> None:
    """It reads back whatever the name holds."""
    argument = " ".join('"' + name.replace('"', '""') + '"' for name in names)
    assert words(argument) == [Word(name, is_quoted=True) for name in names]
