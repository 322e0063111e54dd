"""
Explaining: which rule decides whether a user may do something, asked of the rules themselves (storage/guarded.py).

No file is looked at. An allowed operation can still fail, because there is no such file or the disk is full.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ftpsd.config.accept.accept_rules import AcceptRule
from ftpsd.config.model import Config
from ftpsd.config.users import Mount, UserRecord
from ftpsd.scanning.rule_paths import matches
from ftpsd.storage.mounts import MountPoints, inside
from ftpsd.storage.rules import Rules
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import ALL, CHANGES, Permission
from ftpsd.values.rule import Rule

# Permissions to bring a file to a name.
STORING = frozenset({Permission.UPLOAD, Permission.OVERWRITE, Permission.APPEND, Permission.RENAME})


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer: whether the permission is given, and why in one line."""

    is_allowed: bool
    reason: str


def explain(user: UserRecord, permission: Permission, path: VirtualPath) -> Explanation:
    """Return whether *user* has *permission* on *path*, and the rule that decides."""
    points = MountPoints(mount.path for mount in user.mounts)
    if permission in CHANGES and points.is_held(path):  # as MountedStorage refuses it
        return Explanation(False, f"{path} is a mount point or above one: no rule can allow that")
    point = points.find(path)
    tree: Mount | UserRecord = next((mount for mount in user.mounts if mount.path == point), user)
    inner = inside(path, point)
    rules = Rules.of(tree.rules).at(inner.parts)
    reason = _reason(tree, rules, inner)
    if tree.encryption is not None:
        reason += f"; files are encrypted with the keys {tree.encryption}"
    if permission is Permission.LIST and not rules.allows(permission) and points.names_in(path):
        return Explanation(True, f"{reason}, but to list the mounts below it")
    return Explanation(rules.allows(permission), reason)


def gates_told(config: Config, user: UserRecord, path: VirtualPath) -> Iterator[str]:
    """Yield a line for each accept rule, of *config* or of the roles of *user*, that holds for uploads to *path*."""
    of_roles = f"of the roles of {user.name} "
    for where, rules in (("", config.accept), (of_roles, user.accept)):
        for number, rule in enumerate(rules, 1):
            if matches(rule, path.parts):
                yield f"accept rule {number} {where}({', '.join(rule.paths)}) has to take the file: {_asked(rule)}"


def _asked(rule: AcceptRule) -> str:
    asked = {
        "scan": ", ".join(map(str, rule.scan)),
        "names": ", ".join(rule.names),
        "types": ", ".join(rule.types),
        "max_size": rule.max_size,
        "program": rule.program[0] if rule.program else "",
        "accept": "" if rule.accept == "judged" else rule.accept,
    }
    return "; ".join(f"{key}: {value}" for key, value in asked.items() if value)


def _reason(tree: Mount | UserRecord, rules: Rules, path: VirtualPath) -> str:
    where = f"mount {tree.path}" if isinstance(tree, Mount) else "home"
    if tree.rules is None:
        return f"{where}, no role and no rules: everything is allowed"
    source = f"{where}, {'inline rules' if tree.role is None else f'role {tree.role}'}"
    if rules.decided_by is None:
        return f"{source}: none of {len(tree.rules)} rules matches {path}, so nothing is allowed"
    rule = rules.decided_by
    receipts = tree.receipts if isinstance(tree, UserRecord) else None
    if receipts is not None and rule == receipts.rule:
        return f"{where}, receipts: they are the server's, and decide about {path}: {written(rule)}"
    # The first of several that are equal is the one that decides.
    number = tree.rules.index(rule) + 1
    return f"{source}, rule {number} of {len(tree.rules)} decides about {path}: {written(rule)}"


def written(rule: Rule) -> str:
    """Return *rule* as the users file spells it."""
    words = ", ".join(permission.value for permission in Permission if permission in rule.allow)
    allow = "all" if rule.allow == ALL else f"[{words}]"
    return f"{{path: {rule.pattern}, allow: {allow}}}"
