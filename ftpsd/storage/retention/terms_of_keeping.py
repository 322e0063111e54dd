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


class Keeping:
    """What *rules* and *holds* say about files that *view* shows."""

    def __init__(self, view: View, rules: Sequence[RetentionRule], holds: Sequence[Hold]) -> None:
        self.view = view
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
        found = self._looked.at(parts).decided_by
        return None if found is None else self._rules[found]

    def hold_on(self, parts: Sequence[str]) -> Hold | None:
        """Return a hold on the file at *parts* of the tree."""
        found = self._held.at(parts).decided_by
        return None if found is None else self._holds[found]

    @property
    def archives(self) -> list[Path]:
        """The archives of its rules, whose files stay."""
        return [rule.archive for rule in self._rules.values() if rule.archive is not None]

    @property
    def may_apply(self) -> bool:
        """Whether any rule can match in the tree."""
        return bool(self._looked.allowed) or self._looked.may_allow_inside
