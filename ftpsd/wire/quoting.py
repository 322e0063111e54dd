"""
Arguments of several words, where a name with spaces is in double quotes and its own quotes are doubled (WinSCP, Serv-U,
CuteFTP), as in the 257 of RFC 959, appendix II.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_WORD = re.compile(r'(?:"((?:[^"]|"")+)"|([^ "]+))(?= |\Z)')


class Word(NamedTuple):
    """One word of an argument, without its quotes."""

    text: str
    is_quoted: bool


def words(argument: str, *, is_exact: bool = False) -> list[Word] | None:
    """
    Return the words of *argument*; None where a quote is not closed, or stands in the middle of a word.

    With *is_exact* one space parts two words, and there are no others: a further one could belong to a name.
    """
    found: list[Word] = []
    rest = argument if is_exact else argument.strip(" ")
    while rest or (is_exact and found):
        match = _WORD.match(rest)
        if match is None:
            return None
        quoted, plain = match.groups()
        is_quoted = quoted is not None
        found.append(Word(quoted.replace('""', '"') if is_quoted else plain, is_quoted))
        if match.end() == len(rest):
            break
        rest = rest[match.end() + 1 :] if is_exact else rest[match.end() :].lstrip(" ")
    return found
