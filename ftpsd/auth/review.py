"""
The rights of a user as rows, for people who review them: every right, and where it comes from.

The first row that matches a path decides, as with rules: the paths that mounts hold in place come first, then the
deepest mount with its rules, at last the home. Behind the rules of each tree stands a row that allows nothing, so the
rows of one tree never speak for another. The rows together say what `explain` says, and what the storage does:
tests/unit/auth/test_review.py holds all three against each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ftpsd.config.users import Mount, UserRecord
from ftpsd.storage.mounts import MountPoints, inside
from ftpsd.storage.rules import EVERYTHING, Rules
from ftpsd.values.path import ROOT, VirtualPath
from ftpsd.values.permission import CHANGES, Permission
from ftpsd.values.rule import Rule

NOTHING = Rule("/**", frozenset())


@dataclass(frozen=True, slots=True)
class Right:
    """
    The permissions *allow* of a user on the paths of the tree at *tree* that *pattern* matches, seen from it.

    Without a pattern it is about the path *tree* alone. *rule* is the number of the rule among those of the tree, None
    where no rule decides; *mount* is the number of the mount, None for the home.
    """

    tree: VirtualPath
    pattern: str | None
    allow: frozenset[Permission]
    mount: int | None = None
    rule: int | None = None
    reason: str = ""

    def matches(self, path: VirtualPath) -> bool:
        """Return whether the row is about *path*."""
        if self.pattern is None:
            return path == self.tree
        if not path.is_within(self.tree):
            return False
        rules = Rules([(Rule(self.pattern, frozenset()).parts, EVERYTHING)])
        return rules.at(inside(path, self.tree).parts).decided_by is not None

    @property
    def shown_path(self) -> str:
        """The paths as the user sees them."""
        if self.pattern is None:
            return str(self.tree)
        if self.pattern == "/":
            return str(self.tree)
        return self.pattern if self.tree.is_root else f"{self.tree}{self.pattern}"


class Review:
    """All rights of *user*, in the order in which they decide."""

    def __init__(self, user: UserRecord) -> None:
        self._trees: dict[VirtualPath, tuple[int | None, Mount | UserRecord]] = {ROOT: (None, user)}
        self._trees |= {mount.path: (number, mount) for number, mount in enumerate(user.mounts)}
        self._points = MountPoints(mount.path for mount in user.mounts)
        self.rights: Sequence[Right] = (*self._held(), *self._in_trees())
        self._numbers = {(right.tree, right.pattern is None, right.rule): n for n, right in enumerate(self.rights)}

    def decides(self, path: VirtualPath) -> int:
        """Return the number of the right that decides about *path*: quickly, for the many paths of a log."""
        if len(self._trees) > 1 and self._points.is_held(path):
            return next(n for n, right in enumerate(self.rights) if right.pattern is None and right.tree == path)
        point = self._points.find(path)
        return self._numbers[point, False, self._rule(point, path)]

    def _held(self) -> Iterator[Right]:
        """Yield a right for each mount point and directory above one: nobody changes them, and mounts can be seen."""
        points = [point for point in self._trees if not point.is_root]
        held = {VirtualPath(point.parts[:depth]) for point in points for depth in range(len(point.parts) + 1)}
        for path in sorted(held, key=lambda each: each.parts):
            point = self._points.find(path)
            number, tree = self._trees[point]
            allow = Rules.of(tree.rules).at(inside(path, point).parts).allowed - CHANGES
            reason = "cannot be changed: a mount point, or above one"
            if Permission.LIST not in allow and self._points.names_in(path):
                allow |= {Permission.LIST}
                reason += "; list shows the mounts below"
            yield Right(path, None, allow, number, self._rule(point, path), reason)

    def _in_trees(self) -> Iterator[Right]:
        for point in sorted(self._trees, key=lambda each: (-len(each.parts), each.parts)):
            number, tree = self._trees[point]
            if tree.rules is None:
                yield Right(point, EVERYTHING.pattern, EVERYTHING.allow, number, None, "no role, no rules: everything")
                continue
            for count, rule in enumerate(tree.rules):
                yield Right(point, rule.pattern, rule.allow, number, count)
            yield Right(point, NOTHING.pattern, NOTHING.allow, number, None, "no rule matches: nothing")

    def _rule(self, point: VirtualPath, path: VirtualPath) -> int | None:
        """Return the number of the rule that decides in the tree at *point*; the first of several that are equal."""
        tree = self._trees[point][1]
        decided = Rules.of(tree.rules).at(inside(path, point).parts).decided_by
        return None if decided is None or tree.rules is None else tree.rules.index(decided)
