"""
One user whom another source than a users file describes: the same keys and checks, and the roles of the users file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from ftpsd.config.parsing.complaints import complaints
from ftpsd.config.parsing.document import parse
from ftpsd.config.people.references import cross_complaints
from ftpsd.config.people.resolution import resolved
from ftpsd.config.people.user_entries import UserEntry, UsersFile, check_name
from ftpsd.config.people.user_records import UserRecord
from ftpsd.config.units import describe

_NOWHERE: Final = parse("{}", "")


# Keys of an entry that each keep a user out, so that the users file cannot take back the source's word by them.
_SHUTTING: Final = ("enabled", "expires")


class Frame:
    """All that a users file says for users from sources: roles and groups, and what it adds to each (`own`)."""

    def __init__(self, entries: UsersFile) -> None:
        self.own = entries.users
        self.entries = entries.model_copy(update={"users": {}})
        self.plain = self.entries.model_dump(exclude_none=True)


def single_user(name: str, data: Mapping[str, Any], frame: Frame, homes: Sequence[Path]) -> UserRecord:
    """
    Return the user called *name* whom *data* describes, with roles and groups of *frame*, and a home below *homes*.

    The entry of *frame* goes before *data*; but whom one of the two shuts out is shut out.

    Raises: ValueError with a sentence for the operator, which names the key and repeats no secret.
    """
    check_name(name)
    entry = _entry(data)
    if entry.password is not None:
        raise ValueError("password: hashes are taken from a users file alone; the source verifies passwords itself")
    if entry.source is not None:
        raise ValueError("source: for a users file alone")
    faults = [
        f"{each.key}: {each.message}" for each in cross_complaints(_NOWHERE, {**frame.plain, "users": {name: data}})
    ]
    if faults:
        raise ValueError("; ".join(faults))
    own = frame.own.get(name)
    if own is not None:
        entry = _together(entry, own)
    record = resolved(frame.entries.model_copy(update={"users": {name: entry}}))[name]
    _check_inside("home", record.home, homes)
    for number, mount in enumerate(record.mounts):
        _check_inside(f"mounts[{number}].directory", mount.directory, homes)
    return record


def _together(entry: UserEntry, own: UserEntry) -> UserEntry:
    """Return *entry*, a source's, with all that the users file says in its *own*."""
    said = {key: getattr(own, key) for key in own.model_fields_set if key not in ("source", *_SHUTTING)}
    is_required = own.second_factor is not None and not own.second_factor.totp
    if is_required and entry.second_factor is not None and entry.second_factor.totp:
        # The source has what the file asks for.
        del said["second_factor"]
    ends = [each.expires for each in (entry, own) if each.expires is not None]
    shutting = {"enabled": entry.enabled and own.enabled, "expires": min(ends) if ends else None}
    return entry.model_copy(update={**{key: value for key, value in said.items() if value is not None}, **shutting})


def check_defaults(data: Mapping[str, Any]) -> None:
    """
    Check keys that the users of a source have in common.

    Raises: ValueError with a sentence for the operator.
    """
    for key in ("source", "password", "second_factor", "certificates", "home", "role", "rules"):
        if key in data:
            raise ValueError(f"{key}: not a default; the source says that of each user")
    _entry({**data, "home": "/"})


def _entry(data: Mapping[str, Any]) -> UserEntry:
    try:
        return UserEntry.model_validate(dict(data))
    except ValidationError as error:
        found = complaints(_NOWHERE, error, UserEntry, "a user")
        raise ValueError("; ".join(f"{each.key}: {each.message}" for each in found)) from None


def _check_inside(key: str, path: Path, homes: Sequence[Path]) -> None:
    if ".." in path.parts or not any(home in path.parents for home in homes):
        raise ValueError(f"{key}: {describe(str(path))} is not below {' or '.join(map(str, homes))} (the key homes)")
