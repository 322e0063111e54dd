"""
Users who stand for those of a source, of whom the files say only what is added to the source's word.

There is one for each role and group that a source may give, and one for each user whom a file names. They have one
home, so that two of them differ in what the files say alone.
"""

from __future__ import annotations

from pathlib import Path

from ftpsd.config.people.resolution import resolved
from ftpsd.config.people.user_entries import UserEntry, UsersFile
from ftpsd.config.people.user_records import UserRecord
from ftpsd.config.users import Users

_HOME = Path("/")


def stand_ins(users: Users) -> dict[str, UserRecord]:
    """Return a user for each role, group and entry of *users* that is about users of a source."""
    frame = users.frame
    entries = {name: entry.model_copy(update={"source": None, "home": _HOME}) for name, entry in frame.users.items()}
    for role in frame.roles:
        entries[f"users of sources with the role {role}"] = _entry(role=role)
    for group in frame.groups:
        entries[f"users of sources in the group {group}"] = _entry(group=group)
    return resolved(frame.model_copy(update={"users": entries}))


def stand_in(name: str) -> UserRecord:
    """Return the user called *name* of whom no file says anything."""
    return resolved(UsersFile(users={name: _entry()}))[name]


def _entry(*, role: str | None = None, group: str | None = None) -> UserEntry:
    return UserEntry.model_construct(home=_HOME, role=role, group=group)
