"""
From entries to records: what a user is given by the roles that the file names.
"""

from __future__ import annotations

from collections.abc import Mapping

from ftpsd.config.people.entries import MountEntry, RuleEntry, UserEntry, UsersFile
from ftpsd.config.people.records import Mount, UserRecord
from ftpsd.values.login_method import CertificateMatch, LoginMethod
from ftpsd.values.quota import ENDLESS, Quota
from ftpsd.values.rule import Rule


def resolved(entries: UsersFile) -> dict[str, UserRecord]:
    """Return the users of a file in which every name that is referred to is there."""
    roles = {name: _rules(role.rules) for name, role in entries.roles.items()}
    methods = {name: role.authentication for name, role in entries.roles.items()}
    return {name: _record(name, entry, roles, methods) for name, entry in entries.users.items()}


def _rules(entries: tuple[RuleEntry, ...]) -> tuple[Rule, ...]:
    return tuple(Rule(entry.path, entry.allow) for entry in entries)


def _record(
    name: str,
    entry: UserEntry,
    roles: Mapping[str, tuple[Rule, ...]],
    methods: Mapping[str, LoginMethod | None],
) -> UserRecord:
    quota = ENDLESS if entry.quota is None else Quota(entry.quota.bytes, entry.quota.files)
    return UserRecord(
        name=name,
        password=entry.password,
        home=entry.home,
        rules=_rules_of(entry, roles),
        networks=entry.networks,
        enabled=entry.enabled,
        expires=entry.expires,
        sessions=entry.sessions,
        download_rate=entry.download_rate,
        upload_rate=entry.upload_rate,
        data_session_reuse=entry.data_session_reuse,
        upload_end=entry.upload_end,
        role=entry.role,
        mounts=tuple(
            Mount(mount.path, mount.directory, _rules_of(mount, roles), mount.role, mount.stored_encoding)
            for mount in entry.mounts
        ),
        quota=None if quota == ENDLESS else quota,
        encoding=entry.encoding,
        stored_encoding=entry.stored_encoding,
        authentication=entry.authentication or (None if entry.role is None else methods[entry.role]),
        certificates=tuple(
            CertificateMatch(each.fingerprint, each.subject_alternative_name) for each in entry.certificates
        ),
    )


def _rules_of(entry: UserEntry | MountEntry, roles: Mapping[str, tuple[Rule, ...]]) -> tuple[Rule, ...] | None:
    if entry.role is not None:
        return roles[entry.role]
    return None if entry.rules is None else _rules(entry.rules)
