"""
The likely mistake of an operator where a file is no YAML: tabs, addresses and other text without its quotes, quotes and
brackets that are not closed.

The parser reports what it expected and where it gave up, which is often lines behind the mistake. A hint looks at the
text
around that place; it never repeats any of it, because it may be a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

_WORD: Final = re.compile(r"[^\s,\[\]{}]+")
# The characters that YAML reserves at the beginning of plain text.
_RESERVED: Final = "@`%"


@dataclass(frozen=True, slots=True)
class Quoted:
    """A text in quotes: where it begins and ends; lines and columns from 0, as YAML's marks have them."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Hint:
    """An advice for a place; line and column from 0."""

    line: int
    column: int
    text: str


def hint_for(text: str, error: Any, last_quoted: Quoted | None) -> Hint | None:
    """
    Return the mistake that *error*, which PyYAML raised for *text*, most likely is about; None where it is not known.

    *last_quoted* is the last text in quotes that came before it.
    """
    mark, context = error.problem_mark, error.context_mark
    if mark is None:
        return None
    if "end of stream" in (error.problem or "") and "quoted scalar" in (error.context or "") and context is not None:
        return Hint(context.line, context.column, "the quote that opens here is not closed; close it behind the value")
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    return (
        _about_tabs(line, mark)
        or _about_quotes(mark, last_quoted)
        or _about_addresses(line, mark)
        or _about_brackets(error)
        or _about_plain_text(line, mark)
    )


def _about_tabs(line: str, mark: Any) -> Hint | None:
    indentation = line[: len(line) - len(line.lstrip())]
    column = mark.column if line[mark.column : mark.column + 1] == "\t" else indentation.find("\t")
    if column < 0:
        return None
    return Hint(mark.line, column, "a tab stands here, and YAML indents with spaces only; put spaces in its place")


def _about_quotes(mark: Any, quoted: Quoted | None) -> Hint | None:
    if quoted is None or quoted.end_line != mark.line or quoted.end_column > mark.column:
        return None
    if quoted.line < quoted.end_line:
        closed = f"the quote that opens here is closed in line {quoted.end_line + 1} only"
        return Hint(quoted.line, quoted.column, f"{closed}; if the value ends in this line, close it here")
    if quoted.end_column == mark.column:
        text = "text stands behind the closing quote; for a quote inside, take the other kind around the value"
        return Hint(mark.line, mark.column, text)
    return None


def _about_brackets(error: Any) -> Hint | None:
    if not (error.context or "").startswith("while parsing a flow") or "',' or" not in (error.problem or ""):
        return None
    mark, opened = error.problem_mark, error.context_mark
    return Hint(mark.line, mark.column, f"the bracket that opens in line {opened.line + 1} is not closed before this")


def _about_addresses(line: str, mark: Any) -> Hint | None:
    word = next((found for found in _WORD.finditer(line) if found.start() <= mark.column < found.end()), None)
    if word is None or "::" not in word[0]:
        return None
    return Hint(mark.line, word.start(), 'an address with two colons needs quotes, as in "::" or "fe80::"')


def _about_plain_text(line: str, mark: Any) -> Hint | None:
    letter = line[mark.column : mark.column + 1]
    if letter and letter in _RESERVED:
        text = f"a value cannot begin with {letter}; put it in quotes"
    elif letter == ":" and ":" in line[: mark.column]:
        text = "a colon with a space behind it ends a key; put a value with one in quotes"
    elif letter == ":":
        text = "this line does not begin in the column of those that it belongs to"
    else:
        return None
    return Hint(mark.line, mark.column, text)
