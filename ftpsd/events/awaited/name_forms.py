"""
The form of a file name: what stays the same from day to day, and which digits are a date or a number. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

# Each with the way that strptime reads it, the most particular first.
_FORMS: Final = (
    (r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "%Y-%m-%d"),
    (r"[0-9]{4}_[0-9]{2}_[0-9]{2}", "%Y_%m_%d"),
    (r"[0-9]{4}\.[0-9]{2}\.[0-9]{2}", "%Y.%m.%d"),
    (r"[0-9]{14}", "%Y%m%d%H%M%S"),
    (r"[0-9]{12}", "%Y%m%d%H%M"),
    (r"[0-9]{8}", "%Y%m%d"),
    (r"[0-9]{8}", "%d%m%Y"),
    (r"[0-9]{6}", "%y%m%d"),
)
_TOKEN: Final = re.compile(r"[0-9]{4}(?:[-_.][0-9]{2}){2}(?![0-9])|[0-9]+")
_YEARS: Final = range(1990, 2100)
_WORDS: Final = {"%Y": "YYYY", "%y": "YY", "%m": "MM", "%d": "DD", "%H": "hh", "%M": "mm", "%S": "ss"}


@dataclass(frozen=True, slots=True)
class NameForm:
    """The *pattern* of a name, and what its stars stand for: forms of dates, such as YYYY-MM-DD, or `number`."""

    pattern: str
    stands_for: tuple[str, ...]


def form_of(name: str) -> NameForm:
    """Return the form of the file *name*; a name without digits is its own."""
    stars: list[str] = []

    def star(match: re.Match[str]) -> str:
        stars.append(_date_form(match[0]) or "number")
        return "*"

    pattern = _TOKEN.sub(star, name)
    # Stars that follow each other, as behind 20261201T0930, are one.
    return NameForm(re.sub(r"\*{2,}", "*", pattern), tuple(stars))


def _date_form(digits: str) -> str | None:
    for pattern, form in _FORMS:
        if not re.fullmatch(pattern, digits):
            continue
        try:
            found = datetime.strptime(digits, form)
        except ValueError:
            continue
        if found.year in _YEARS:
            for sign, word in _WORDS.items():
                form = form.replace(sign, word)
            return form
    return None
