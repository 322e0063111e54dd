"""
Rules: the permissions on paths, and how they look from each directory.

The first rule that matches a path decides; where none matches nothing is allowed. The reading of patterns is documented
in `ftpsd/values/rule.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import zip_longest

from ftpsd.values.permission import Permission
from ftpsd.values.rule import TREE, Rule

Parts = tuple[str, ...]

# The permissions on a file that is there.
_OF_FILES = frozenset(
    {
        Permission.READ,
        Permission.OVERWRITE,
        Permission.APPEND,
        Permission.DELETE,
        Permission.SET_TIME,
        Permission.CHMOD,
    }
)
_NOTHING: frozenset[Permission] = frozenset()
_ANY = frozenset({"*", TREE})
# A name can match rules with wildcards in 2**n combinations, and clients choose the names.
_REMEMBERED = 64


EVERYTHING = Rule("/**", frozenset(Permission))


class Rules:
    """
    The rules as they look from one directory.

    below(name) is how they look from further down, so their verdict on all of a directory's contents is plain to see.
    Views are remembered: a listing asks for thousands. Most names are told apart by no pattern (rules begin with plain
    names, * or **), so all names that no rule mentions have one view, found by a look into a set: in a directory of
    100,000 that is 10 ms, and to match every name against every rule 40 and more.
    """

    __slots__ = ("_below", "_others", "_rules", "_said", "allowed", "decided_by", "is_listed", "may_hide")

    def __init__(self, rules: Iterable[tuple[tuple[str, ...], Rule]]) -> None:
        self._rules = tuple(rules)
        self._below: dict[tuple[bool, ...], Rules] = {}
        # The rule that decides about the directory itself, and what it allows.
        self.decided_by = next((rule for parts, rule in self._rules if parts in ((), (TREE,))), None)
        self.allowed = _NOTHING if self.decided_by is None else self.decided_by.allow
        # Whether the directory may hold an entry that may not be listed.
        self.may_hide = not self._decides_all() or any(Permission.LIST not in allow for allow in self._inside())
        self.is_listed = Permission.LIST in self.allowed
        firsts = {parts[0] for parts, _ in self._rules if parts} - _ANY
        has_patterns = any("*" in first or "?" in first for first in firsts)
        # The names in the rules here; None when some rule has to be matched against every name.
        self._said = None if has_patterns else frozenset(firsts)
        self._others: Rules | None = None

    def allows(self, permission: Permission) -> bool:
        """Return whether *permission* is given for the directory itself."""
        return permission in self.allowed

    @classmethod
    def of(cls, rules: Iterable[Rule] | None) -> Rules:
        """
        Return the rules as they look from the root; None allows everything.

        Sessions with the same rules share them, and the views of them: a login takes 15 us less.
        """
        return _EVERYTHING if rules is None else _rules_of(tuple(rules))

    def at(self, parts: Iterable[str]) -> Rules:
        """Return the rules as they look from further down."""
        rules = self
        for name in parts:
            rules = rules.below(name)
        return rules

    def below(self, name: str) -> Rules:
        """Return the rules as they look from the entry *name* of this directory."""
        if self._said is not None and name not in self._said:
            if self._others is None:
                self._others = self._matching("")
            return self._others
        return self._matching(name)

    def _matching(self, name: str) -> Rules:
        matches = tuple([bool(parts) and component_matches(parts[0], name) for parts, _ in self._rules])
        rules = self._below.get(matches)
        if rules is None:
            left = tuple(
                (parts if parts[0] == TREE else parts[1:], rule)
                for (parts, rule), is_match in zip(self._rules, matches, strict=True)
                if is_match
            )
            rules = self if left == self._rules else Rules(left)
            if len(self._below) < _REMEMBERED:
                self._below[matches] = rules
        return rules

    @property
    def may_allow_inside(self) -> bool:
        """Whether anything is given for some name below the directory, however deep."""
        return any(self._inside())

    @property
    def rules_inside(self) -> list[Rule]:
        """The rules that can decide about something below the directory."""
        return [rule for parts, rule in self._rules if parts]

    @property
    def are_the_same_for_all(self) -> bool:
        """Whether all names below the directory, however deep, have the same permissions."""
        return self._decides_all() and len(set(self._inside())) == 1

    def may_inside(self, permission: Permission) -> bool:
        """Return whether *permission* is given for some name directly in this directory."""
        for parts, rule in self._rules:
            if parts == (TREE,) or (parts and parts[1:] in ((), (TREE,))):
                if permission in rule.allow:
                    return True
                if parts[0] in ("*", TREE):
                    return False
        return False

    def may_move(self) -> bool:
        """
        Return whether the directory with all of its possible contents may leave its name, for one with the same rules.
        """
        return Permission.RENAME in self.allowed and all(Permission.RENAME in allow for allow in self._inside())

    def may_move_file_to(self, other: Rules) -> bool:
        """Return whether a file may be renamed from here to *other*: it gets no right there that it has not here."""
        renames = Permission.RENAME in self.allowed and Permission.RENAME in other.allowed
        return renames and other.allowed & _OF_FILES <= self.allowed

    def may_move_to(self, other: Rules) -> bool:
        """
        Return whether a directory may be renamed from here to *other*, whatever its contents.

        Without that, a directory with something forbidden in it could be carried to where it is allowed.
        """
        ours, others = list(self._inside()), list(other._inside())
        if any(Permission.RENAME not in allow for allow in (self.allowed, other.allowed, *ours, *others)):
            return False
        if self._rules == other._rules:
            return True
        is_decided = self._decides_all() or not others
        return is_decided and other.allowed <= self.allowed and self._gives_all_of(other)

    def _gives_all_of(self, other: Rules) -> bool:
        """Return whether each name below here has every permission that the same name has below *other*."""
        seen: list[Parts] = []
        for parts, rule in other._rules:
            if not any(_covers(earlier, parts) for earlier in seen) and not self._gives(rule.allow, parts):
                return False
            seen.append(parts)
        return True

    def _gives(self, wanted: frozenset[Permission], pattern: Parts) -> bool:
        """Return whether all that *pattern* may match has at least the permissions *wanted* here."""
        for parts, rule in self._rules:
            if _may_overlap(parts, pattern) and not wanted <= rule.allow:
                return False
            if _covers(parts, pattern):
                return True
        return not wanted

    def _inside(self) -> Iterator[frozenset[Permission]]:
        """Yield the rules that can decide about something below here."""
        for parts, rule in self._rules:
            if parts:
                yield rule.allow
            if parts == (TREE,):
                return

    def _decides_all(self) -> bool:
        return any(parts == (TREE,) for parts, _ in self._rules)


@lru_cache(maxsize=1024)
def _rules_of(rules: tuple[Rule, ...]) -> Rules:
    return Rules((rule.parts, rule) for rule in rules)


_EVERYTHING = Rules([(EVERYTHING.parts, EVERYTHING)])


def _may_overlap(first: Parts, second: Parts) -> bool:
    """Return whether some path may match both patterns; of two with wildcards in one component it is assumed."""
    for ours, theirs in zip(first, second, strict=False):
        if TREE in (ours, theirs):
            return True
        if not (component_matches(ours, theirs) or component_matches(theirs, ours) or _are_wild(ours, theirs)):
            return False
    longer = max(first, second, key=len)[min(len(first), len(second)) :]
    return longer in ((), (TREE,))


def _covers(first: Parts, second: Parts) -> bool:
    """Return whether *first* surely matches all that *second* matches."""
    for ours, theirs in zip_longest(first, second):
        if ours == TREE:
            return True
        if ours is None or theirs in (None, TREE):
            return False
        if ours not in ("*", theirs) and (_are_wild(theirs) or not component_matches(ours, theirs)):
            return False
    return True


def _are_wild(*components: str) -> bool:
    return all("*" in component or "?" in component for component in components)


def component_matches(pattern: str, name: str) -> bool:
    """Return whether one component of a path matches; time grows with the product of the lengths at worst."""
    if pattern in _ANY:
        return True
    if "*" not in pattern and "?" not in pattern:
        return pattern == name
    at = place = 0
    star = mark = -1  # where the last * was, and how much of the name it has taken so far
    while place < len(name):
        if at < len(pattern) and pattern[at] == "*":
            star, mark = at, place
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", name[place]):
            at += 1
            place += 1
        elif star >= 0:
            mark += 1
            at, place = star + 1, mark
        else:
            return False
    return all(rest == "*" for rest in pattern[at:])
