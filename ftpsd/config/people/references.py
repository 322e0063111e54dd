"""
What entries of a users file say of each other: complaints that no single value shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ftpsd.config.parsing.complaints import nearest
from ftpsd.config.parsing.document import ConfigError, Document, Key, shown_name
from ftpsd.config.people.entries import check_name
from ftpsd.config.units import describe


def cross_complaints(document: Document, data: Any) -> list[ConfigError]:
    """Check on plain values what no single value shows, so that all complaints come together."""
    errors: list[ConfigError] = []
    if not isinstance(data, dict):
        return errors
    roles, users = data.get("roles", {}), data.get("users", {})
    for name, user in users.items() if isinstance(users, dict) else ():
        try:
            check_name(name)
        except ValueError as error:
            errors.append(document.error(("users", name), str(error), at_key=True))
        if isinstance(user, dict):
            errors += _about_role(document, ("users", name), user, roles, "a user")
            errors += _about_mounts(document, ("users", name, "mounts"), user.get("mounts"), roles)
    return errors


def _about_role(
    document: Document, key: Key, holder: Mapping[str, Any], roles: Any, what: str
) -> Iterator[ConfigError]:
    """Look at the role that the user or mount *holder* at *key* names."""
    role = holder.get("role")
    if not isinstance(role, str):
        return
    if isinstance(roles, dict) and role not in roles:
        guess = nearest(role, list(roles))
        hint = f"did you mean {guess}?" if guess else f"the roles are {', '.join(map(shown_name, roles)) or 'none'}"
        yield document.error((*key, "role"), f"there is no role {describe(role)}; {hint}")
    if holder.get("rules") is not None:
        yield document.error((*key, "rules"), f"{what} has a role or rules, not both; remove one")


def _about_mounts(document: Document, key: Key, mounts: Any, roles: Any) -> Iterator[ConfigError]:
    seen: set[str] = set()
    for number, mount in enumerate(mounts if isinstance(mounts, list) else ()):
        if not isinstance(mount, dict):
            continue
        yield from _about_role(document, (*key, number), mount, roles, "a mount")
        path = mount.get("path")
        if isinstance(path, str):
            if path.removesuffix("/") in seen:
                yield document.error((*key, number, "path"), f"{describe(path)} is mounted twice; remove one")
            seen.add(path.removesuffix("/"))
