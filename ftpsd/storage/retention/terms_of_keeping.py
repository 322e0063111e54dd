"""
Rules of retention and legal holds as values, and what they say about one file.

The age of a file is counted from its last change as the file system has it (ctime): its upload, a rename, a change of
mode. Clients cannot set that, so no file goes early or stays for ever by an invented time of modification. A hold
outlasts every rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ftpsd.storage.recoded import StoredNames
from ftpsd.storage.rules import Rules
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule

_MARK = frozenset({Permission.DELETE})


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Files at *paths* go when they are *after* s old: to *archive*, or away; *at_once* is the most of them, in %."""

    number: int
    paths: tuple[str, ...]
    after: float
    users: tuple[str, ...] = ()
    archive: Path | None = None
    at_once: int = 25


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold on *paths* of *users*; none of them: on all."""

    name: str
    reason: str
    since: float
    by: str
    paths: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """A tree as one user sees it: mounted at *point*, the names of its path there."""

    user: str
    host: str
    point: tuple[str, ...]
    encoding: str = "utf-8"  # of the names on the disk


class Keeping:
    """What *rules* and *holds* say about files that *view* shows."""

    def __init__(self, view: View, rules: Sequence[RetentionRule], holds: Sequence[Hold]) -> None:
        self.view = view
        self._names = None if view.encoding == "utf-8" else StoredNames(view.encoding)
        self._rules: dict[Rule, RetentionRule] = {}
        for rule in rules:
            if not rule.users or view.user in rule.users:
                for path in rule.paths:
                    self._rules.setdefault(Rule(path, _MARK), rule)
        self._holds: dict[Rule, Hold] = {}
        for hold in holds:
            if not hold.users or view.user in hold.users:
                for path in hold.paths or ("/**",):
                    self._holds.setdefault(Rule(path, _MARK), hold)
        self._looked = Rules.of(tuple(self._rules)).at(view.point)
        self._held = Rules.of(tuple(self._holds)).at(view.point)

    def rule_for(self, parts: Sequence[str]) -> RetentionRule | None:
        """Return the rule that decides about the file at *parts* of the tree, the first that matches."""
        found = self._looked.at(self._shown(parts)).decided_by
        return None if found is None else self._rules[found]

    def hold_on(self, parts: Sequence[str]) -> Hold | None:
        """Return a hold on the file at *parts* of the tree."""
        found = self._held.at(self._shown(parts)).decided_by
        return None if found is None else self._holds[found]

    def hold_within(self, parts: Sequence[str]) -> Hold | None:
        """Return a hold on the directory at *parts* of the tree, or on anything that may be in it."""
        held = self._held.at(self._shown(parts))
        if held.decided_by is not None:
            return self._holds[held.decided_by]
        return next((self._holds[rule] for rule in held.rules_inside), None)

    def _shown(self, parts: Sequence[str]) -> Sequence[str]:
        """Return the names on the disk as the user sees them."""
        return parts if self._names is None else [self._names.shown(name) for name in parts]

    @property
    def archives(self) -> list[Path]:
        """The archives of its rules, whose files stay."""
        return [rule.archive for rule in self._rules.values() if rule.archive is not None]

    @property
    def may_apply(self) -> bool:
        """Whether any rule can match in the tree."""
        return bool(self._looked.allowed) or self._looked.may_allow_inside
