"""
Search filters of LDAP (RFC 4515): from text to a tree in which the place of a name is marked.

A name is put into the tree of a filter that is parsed already, never into its text. No character of a name means
anything there, which is what escaping it by RFC 4515 section 3 would come to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

# Far more than a filter in use, and no danger to the stack.
MAX_FILTER: Final = 4096
MAX_DEPTH: Final = 16

_ATTRIBUTE: Final = r"[A-Za-z0-9][A-Za-z0-9;.-]*"
_ITEM: Final = re.compile(rf"({_ATTRIBUTE})?((?::dn)?(?::[A-Za-z0-9.-]+)?):=|({_ATTRIBUTE})(~=|>=|<=|=)")
_VALUE: Final = re.compile(r"(?:[^()*\\\0]|\\[0-9A-Fa-f]{2})*")
_ESCAPE: Final = re.compile(rb"\\([0-9A-Fa-f]{2})")
_FILTER_TYPES: Final[dict[str, Comparison]] = {"=": "=", "~=": "~=", ">=": ">=", "<=": "<="}

type_of_list: Final[dict[str, Literal["&", "|"]]] = {"&": "&", "|": "|"}
Comparison = Literal["=", "~=", ">=", "<="]


@dataclass(frozen=True, slots=True)
class All:
    """Filters that all hold (`&`), or of which one does (`|`)."""

    kind: Literal["&", "|"]
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """A filter that does not hold."""

    filter: Filter


@dataclass(frozen=True, slots=True)
class Present:
    """An attribute that is there."""

    attribute: str


@dataclass(frozen=True, slots=True)
class Compared:
    """An attribute and a value."""

    attribute: str
    comparison: Comparison
    value: bytes


@dataclass(frozen=True, slots=True)
class Parts:
    """An attribute with a value that begins so, holds all of these in order, and ends so; b"" for what is free."""

    attribute: str
    initial: bytes
    middle: tuple[bytes, ...]
    final: bytes


@dataclass(frozen=True, slots=True)
class Matched:
    """A value by a rule of the server's (an extensible match)."""

    attribute: str | None
    rule: str | None
    is_about_dn: bool
    value: bytes


Filter = All | Not | Present | Compared | Parts | Matched


class FilterError(ValueError):
    """A text that is no filter; the message is a sentence for the operator."""


def parse_filter(text: str) -> Filter:
    """
    Return the filter that *text* is.

    Raises: FilterError.
    """
    if len(text) > MAX_FILTER:
        raise FilterError(f"a filter has at most {MAX_FILTER} characters")
    filter_, end = _parse(text, 0, 0)
    if end != len(text):
        raise FilterError(f"{text[end:]!r} stands behind the end of the filter")
    return filter_


def filled(filter_: Filter, names: dict[bytes, bytes]) -> Filter:
    """Return *filter_* with the values of *names* in place of `{…}` in its values."""

    def fill(value: bytes) -> bytes:
        # In one pass: what a value brings along is not looked at again.
        return re.sub(rb"\{([a-z]+)\}", lambda found: names.get(found[1], found[0]), value)

    match filter_:
        case All(kind, filters):
            return All(kind, tuple(filled(each, names) for each in filters))
        case Not(inner):
            return Not(filled(inner, names))
        case Present():
            return filter_
        case Compared(attribute, comparison, value):
            return Compared(attribute, comparison, fill(value))
        case Parts(attribute, initial, middle, final):
            return Parts(attribute, fill(initial), tuple(fill(part) for part in middle), fill(final))
        case Matched(attribute, rule, is_about_dn, value):
            return Matched(attribute, rule, is_about_dn, fill(value))


def _parse(text: str, at: int, depth: int) -> tuple[Filter, int]:
    """Return the filter that begins at *at*, and where it ends."""
    if depth > MAX_DEPTH:
        raise FilterError(f"a filter has at most {MAX_DEPTH} levels")
    if text[at : at + 1] != "(":
        raise FilterError(f"a ( is missing before {text[at : at + 20]!r}" if at < len(text) else "it ends too early")
    first = text[at + 1 : at + 2]
    filter_: Filter
    if first in type_of_list:
        filters: list[Filter] = []
        at += 2
        while text[at : at + 1] == "(":
            each, at = _parse(text, at, depth + 1)
            filters.append(each)
        if not filters:
            raise FilterError(f"({first} has no filter in it")
        filter_ = All(type_of_list[first], tuple(filters))
    elif first == "!":
        inner, at = _parse(text, at + 2, depth + 1)
        filter_ = Not(inner)
    else:
        filter_, at = _item(text, at + 1)
    if text[at : at + 1] != ")":
        raise FilterError(
            f"a ) is missing before {text[at : at + 20]!r}" if at < len(text) else "a ) is missing at its end"
        )
    return filter_, at + 1


def _item(text: str, at: int) -> tuple[Filter, int]:
    found = _ITEM.match(text, at)
    if found is None:
        raise FilterError(f"{text[at : at + 20]!r} is no comparison such as uid={{user}}")
    values, at = [], found.end()
    while True:
        value = _VALUE.match(text, at)
        assert value is not None  # it matches nothing, too
        values.append(_unescaped(value[0]))
        at = value.end()
        if text[at : at + 1] != "*":
            break
        at += 1
    attribute, extension, plain, comparison = found.groups()
    if comparison is None:
        if len(values) > 1:
            raise FilterError("a match by a rule (:=) has no * in its value")
        rules = extension.split(":")[1:]
        is_about_dn = "dn" in rules
        rule = next((each for each in rules if each != "dn"), None)
        if attribute is None and rule is None:
            raise FilterError("a match (:=) names an attribute or a rule")
        return Matched(attribute, rule, is_about_dn, values[0]), at
    if len(values) == 1:
        return Compared(plain, _FILTER_TYPES[comparison], values[0]), at
    if comparison != "=":
        raise FilterError(f"a * means something behind = only, not behind {comparison}")
    if values == [b"", b""]:
        return Present(plain), at
    initial, *middle, final = values
    if b"" in middle:
        raise FilterError("two * stand side by side")
    return Parts(plain, initial, tuple(middle), final), at


def _unescaped(value: str) -> bytes:
    data = value.encode("utf-8", "surrogateescape")
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), data)
