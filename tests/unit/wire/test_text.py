"""Text: names to bytes and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.values.text import decode, encode, has_control, one_line


@given(st.binary())
def test_every_byte_string_survives(data: bytes) -> None:
    """Any name on disk comes back byte for byte, UTF-8 or not."""
    assert encode(decode(data)) == data


@pytest.mark.parametrize("character", ["\0", "\t", "\n", "\r", "\x1b", "\x1f", "\x7f", "\x80", "\x85", "\x9b", "\x9f"])
def test_control_characters_are_found(character: str) -> None:
    """C0, DEL and C1 are control characters wherever they stand."""
    assert has_control(f"a{character}b")


@pytest.mark.parametrize(
    "name", ["", " ", "Übersicht", '100% "sure"', "\u3000", "\udcff", "a\u0301", "\u2028", "\u202e", "\xa0"]
)
def test_other_characters_are_not_controls(name: str) -> None:
    """Spaces of any script, raw bytes and separators above ASCII are part of honest names."""
    assert not has_control(name)


@given(st.text(st.characters()))
def test_one_line_can_always_be_sent(text: str) -> None:
    """The result has bytes and no control character, whatever the text, surrogates included."""
    line = one_line(text)
    encode(line)
    assert len(line) == len(text)
    assert not has_control(line)
