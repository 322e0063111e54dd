"""Which paths the patterns of an accept rule match."""

from __future__ import annotations

from ftpsd.config.accept.accept_rules import AcceptRule
from ftpsd.storage.rules import component_matches
from ftpsd.values.rule import TREE

Parts = tuple[str, ...]


def matches(rule: AcceptRule, parts: Parts) -> bool:
    """Return whether a pattern of *rule* matches the path of *parts*."""
    return any(matches_parts(pattern_parts(pattern), parts) for pattern in rule.paths)


def pattern_parts(pattern: str) -> Parts:
    """Return the components of *pattern*."""
    inner = pattern.strip("/")
    return tuple(inner.split("/")) if inner else ()


def matches_parts(pattern: Parts, parts: Parts) -> bool:
    """Return whether *pattern* matches the path of *parts*; see `values/rule.py`."""
    if pattern[-1:] == (TREE,):
        pattern, parts = pattern[:-1], parts[: len(pattern) - 1]
    return len(pattern) == len(parts) and all(map(component_matches, pattern, parts))


def may_match_below(pattern: Parts, parts: Parts) -> bool:
    """Return whether *pattern* matches *parts* or any path that begins with them."""
    for expected, name in zip(pattern, parts, strict=False):
        if expected == TREE:
            return True
        if not component_matches(expected, name):
            return False
    return len(pattern) >= len(parts)
