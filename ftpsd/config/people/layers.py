"""
The layers of a user: the entries of a users file that say something of one, the nearest first.

    the user  ->  the group  ->  the role, of the user or else of the group  ->  the role that is like  ->  ...

A key is taken whole from the first layer that has it. One place for that decision: the records, the complaints and what
`ftpsd user show` prints all come here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, TypeVar

from ftpsd.config.parsing.document import Key

# Roles that are like others, one behind the other. More is beyond what anybody could review.
MAX_LIKE: Final = 16
# The text that stands for the name of the user in the home and the mounts of a group or role.
PLACEHOLDER: Final = "{user}"

Entry = TypeVar("Entry")
Layer = tuple[Key, Entry]


class Read(Protocol):
    """A reader of one key of an entry; None where the entry does not say it."""

    def __call__(self, entry: object, key: str, /) -> object: ...


def chain(roles: Mapping[str, Entry], name: object, read: Read) -> list[Layer[Entry]]:
    """Return the role called *name*, and those that it is like; it ends at a name that is not there, or comes again."""
    found: list[Layer[Entry]] = []
    seen: set[object] = set()
    while isinstance(name, str) and name in roles and name not in seen and len(found) <= MAX_LIKE:
        seen.add(name)
        found.append((("roles", name), roles[name]))
        name = read(roles[name], "like")
    return found


def layers(
    name: str, user: Entry, groups: Mapping[str, Entry], roles: Mapping[str, Entry], read: Read
) -> list[Layer[Entry]]:
    """Return the layers of the *user* called *name*."""
    found: list[Layer[Entry]] = [(("users", name), user)]
    group, role = read(user, "group"), read(user, "role")
    if isinstance(group, str) and group in groups:
        found.append((("groups", group), groups[group]))
        if role is None:
            role = read(groups[group], "role")
    return found + chain(roles, role, read)


def nearest_with(found: list[Layer[Entry]], key: str, read: Read) -> Layer[Entry] | None:
    """Return the first of the layers that has *key*."""
    return next((layer for layer in found if read(layer[1], key) is not None), None)


def as_written(entry: object, key: str) -> object:
    """Read a key of plain values, whatever they are."""
    return entry.get(key) if isinstance(entry, dict) else None


def as_checked(entry: object, key: str) -> object:
    """Read a key of a checked entry."""
    return getattr(entry, key, None)


def fault_in_name(name: str) -> str | None:
    """Return why *name* cannot be the name of a directory where a template puts it, None where it can."""
    if "/" in name or name.startswith("."):
        return "begins with a dot, or holds a /"
    if len(name.encode("utf-8", "surrogatepass")) > 255:
        return "has more than 255 bytes"
    return None
