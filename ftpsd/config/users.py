"""
The users file: roles resolved, every user a frozen record.

10,000 users load in well under two seconds: pydantic checks all of them in one pass, and the records are plain slotted
dataclasses. The hash of a password stands neither in a record's repr nor in a complaint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import ValidationError

from ftpsd.config.parsing.complaints import complaints
from ftpsd.config.parsing.document import ConfigError, ConfigErrors, Document, Key, Severity, parse, read_text
from ftpsd.config.people.path_pattern import check_pattern
from ftpsd.config.people.references import cross_complaints
from ftpsd.config.people.resolution import factor_of, resolved
from ftpsd.config.people.user_entries import MAX_NAME, UserEntry, UsersFile, check_name
from ftpsd.config.people.user_records import Mount, UserRecord
from ftpsd.config.reading import folder_of, in_order
from ftpsd.values.login.second_factor import SecondFactor

__all__ = [
    "MAX_NAME",
    "MAX_USERS",
    "Mount",
    "UserRecord",
    "Users",
    "UsersFile",
    "check_name",
    "check_pattern",
    "load_users",
    "read_users",
]

# 10,000 users with every key written out take 5 MiB.
MAX_USERS: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Users:
    """
    One users file: its users, and where the file is still of use the *document* and the *entries* they were made of.
    """

    users: Mapping[str, UserRecord]
    document: Document | None = field(default=None, compare=False, repr=False)
    entries: UsersFile | None = field(default=None, compare=False, repr=False)

    @property
    def from_sources(self) -> Mapping[str, UserEntry]:
        """The entries of users from a source, which are no users of the file: what it adds to the source's word."""
        entries = {} if self.entries is None else self.entries.users
        return {name: entry for name, entry in entries.items() if entry.source is not None}

    @property
    def frame(self) -> UsersFile:
        """All that the file says beside its own users: roles and groups for users from sources, and their entries."""
        return UsersFile() if self.entries is None else self.entries.model_copy(update={"users": self.from_sources})

    def second_factors(self) -> Iterator[tuple[str, SecondFactor]]:
        """Yield the users who are enabled and have a second factor, or need one, as far as the file says."""
        for name, user in self.users.items():
            if user.enabled and user.second_factor is not None:
                yield name, user.second_factor
        for name, entry in self.from_sources.items():
            factor = factor_of(entry)
            if entry.enabled and factor is not None:
                yield name, factor

    def disabled(self) -> Iterator[str]:
        """Yield the names that are disabled and have a second factor, or may have one that a source says."""
        for name, user in self.users.items():
            if not user.enabled and user.second_factor is not None:
                yield name
        for name, entry in self.from_sources.items():
            if not entry.enabled:
                yield name

    def without_file(self) -> Users:
        """
        Return the users without what takes the most memory.

        That is the place of each value in the file, and its text: 70 MiB for 10,000 users.
        """
        return replace(self, document=None, entries=self.frame)

    def complaint(self, key: Key, message: str, severity: Severity = "error") -> ConfigError:
        """Place a complaint at *key* of the file these were read from."""
        if self.document is None:
            return ConfigError("", 0, 0, ".".join(map(str, key)), message, severity)
        return self.document.error(key, message, severity)


def load_users(path: Path) -> Users:
    """
    Read users.yaml.

    Raises: ConfigErrors with everything that is wrong, also for a missing or unreadable file.
    """
    path = Path(path)
    return read_users(read_text(path, MAX_USERS), str(path), folder_of(path))


def read_users(text: str, file: str, folder: Path) -> Users:
    """
    Read the *text* of users.yaml, called *file* in complaints, with homes resolved against *folder*.

    Raises: ConfigErrors with everything that is wrong.
    """
    document = parse(text, file)
    data = {} if document.root.value is None else document.root.value
    if isinstance(data, dict):
        # A section whose entries are all commented out is null in YAML.
        data = {key: {} if value is None and key in UsersFile.model_fields else value for key, value in data.items()}
    errors = [*document.errors, *cross_complaints(document, data)]
    try:
        entries = UsersFile.model_validate(data, context={"folder": folder})
    except ValidationError as error:
        errors += complaints(document, error, UsersFile, "users.yaml")
    if errors:
        raise ConfigErrors(in_order(errors))
    return Users(MappingProxyType(resolved(entries)), document, entries)
