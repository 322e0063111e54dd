"""
Ways into a guarded directory that no accept rule guards: another user's home or mount, where that user can store files.

Rules are about paths as users see them. One who reaches the directory by other paths needs a rule for those; the same
user's own other paths have it (`scanning/accept_gate.py`).
"""

from __future__ import annotations

import os.path
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ftpsd.auth.explain import STORING
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError
from ftpsd.config.users import Mount, UserRecord, Users
from ftpsd.scanning.gates import view_of
from ftpsd.scanning.rule_paths import pattern_parts
from ftpsd.storage.rules import Rules
from ftpsd.values.rule import TREE

# Warnings; whoever has more has one cause for them.
MOST: Final = 20


@dataclass(frozen=True, slots=True)
class _Way:
    """A tree of *user* of the file *users*."""

    users: Users
    user: UserRecord
    tree: UserRecord | Mount


def unguarded_ways(config: Config, everybody: Sequence[Users]) -> Iterator[ConfigError]:
    """Yield a warning for each user who can store past the rules that guard another's directory. Blocks."""
    ways = _ways(everybody)
    directories = sorted(ways)
    # Of each user the shortest: the others lie in it.
    found: dict[tuple[int, str], tuple[str, ConfigError]] = {}
    for place, owner, shown in _guarded(config, ways):
        for directory in _around(place, directories, ways):
            for way in ways[directory]:
                name = way.user.name
                key, parts = (id(way.users), name), _parts_of(place, directory)
                is_own = way.users is owner.users and name == owner.user.name
                is_known = key in found and len(found[key][0]) <= len(place)
                if is_own or is_known or not _can_store(way.tree, parts) or _has_rule(config, way, place, parts):
                    continue
                path = "/" + "/".join((*view_of(way.tree).point.parts, *parts))
                told = (
                    f"can store as {path} what lies in {place}, where accept rules guard {shown} of {owner.user.name}; "
                    "none of these holds for that path, so nothing looks at it: add one with this path"
                )
                found[key] = place, way.users.complaint(("users", name), told, "warning")
    yield from (warning for _, warning in list(found.values())[:MOST])


def _ways(everybody: Sequence[Users]) -> dict[str, list[_Way]]:
    """Return all trees by their real directories."""
    found: defaultdict[str, list[_Way]] = defaultdict(list)
    for users in everybody:
        for user in users.users.values():
            if user.enabled:
                trees: tuple[UserRecord | Mount, ...] = (user, *user.mounts)
                for tree in trees:
                    found[os.path.realpath(view_of(tree).directory)].append(_Way(users, user, tree))
    return dict(found)


def _guarded(config: Config, ways: dict[str, list[_Way]]) -> Iterator[tuple[str, _Way, str]]:
    """Yield each guarded directory, with the user who sees it, and the pattern."""
    for directory, found in ways.items():
        for way in found:
            point = view_of(way.tree).point.parts
            rules = (*config.accept, *way.user.accept)
            for pattern in dict.fromkeys(pattern for rule in rules for pattern in rule.paths):
                fixed = _fixed(pattern)
                if fixed[: len(point)] == point:
                    yield str(Path(directory, *fixed[len(point) :])), way, pattern


def _fixed(pattern: str) -> tuple[str, ...]:
    """Return the names in front of *pattern* that are no patterns themselves."""
    parts = pattern_parts(pattern)
    for number, part in enumerate(parts):
        if part == TREE or "*" in part or "?" in part:
            return parts[:number]
    return parts


def _around(place: str, directories: list[str], ways: dict[str, list[_Way]]) -> Iterator[str]:
    """Yield the directories of trees that *place* is in, or that are in it."""
    for above in (place, *map(str, Path(place).parents)):
        if above in ways:
            yield above
    prefix = place.rstrip("/") + "/"
    for directory in directories[bisect_left(directories, prefix) :]:
        if not directory.startswith(prefix):
            return
        yield directory


def _parts_of(place: str, directory: str) -> tuple[str, ...]:
    """Return the path of *place* in the tree of *directory*; its root where that is inside of *place*."""
    inner = Path(place)
    return inner.relative_to(directory).parts if inner.is_relative_to(directory) else ()


def _can_store(tree: UserRecord | Mount, parts: tuple[str, ...]) -> bool:
    rules = Rules.of(tree.rules).at(parts)
    return any(map(rules.allows, STORING)) or any(rule.allow & STORING for rule in rules.rules_inside)


def _has_rule(config: Config, way: _Way, place: str, parts: tuple[str, ...]) -> bool:
    """Return whether a rule holds for what *way* reaches, by any path of its user, whichever rule that is."""
    user = way.user
    trees: tuple[UserRecord | Mount, ...] = (user, *user.mounts)
    asked = {(*view_of(way.tree).point.parts, *parts)}
    for tree in trees:
        view = view_of(tree)
        directory = os.path.realpath(view.directory)
        if Path(place).is_relative_to(directory):
            asked.add((*view.point.parts, *_parts_of(place, directory)))
    rules = (*config.accept, *user.accept)
    guarded = {_fixed(pattern) for rule in rules for pattern in rule.paths}
    return any(path[: len(fixed)] == fixed for path in asked for fixed in guarded)
