"""
From entries to records: what a user is given by the groups and roles of the file (`layers.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ftpsd.config.accept.accept_rules import AcceptRule
from ftpsd.config.people.keys_name import NONE
from ftpsd.config.people.layers import PLACEHOLDER, Layer, as_checked, chain, layers, nearest_with
from ftpsd.config.people.user_entries import (
    Given,
    GroupEntry,
    MountEntry,
    QuotaEntry,
    RoleEntry,
    RuleEntry,
    UserEntry,
    UsersFile,
)
from ftpsd.config.people.user_records import Mount, ReceiptTerms, UserRecord
from ftpsd.config.receipts.receipt_sections import ReceiptsEntry
from ftpsd.values.login.login_method import CertificateMatch
from ftpsd.values.login.second_factor import SecondFactor
from ftpsd.values.permission import Permission
from ftpsd.values.quota import Quota
from ftpsd.values.rule import Rule

# The quota of an account for trying whose entry names none.
OF_PREFLIGHT: Final = Quota(bytes=100 << 20, files=1000)
# The rights in a home without rules, written down as a rule.
ALL_ALLOWED: Final = (Rule("/**", frozenset(Permission)),)


def resolved(entries: UsersFile) -> dict[str, UserRecord]:
    """Return the users of a file in which every name that is referred to is there, without those from a source."""
    roles = Roles(entries.roles)
    users = entries.users.items()
    return {name: _record(name, entry, entries, roles) for name, entry in users if entry.source is None}


def factor_of(entry: UserEntry) -> SecondFactor | None:
    """Return the second factor that *entry* itself has; one without a secret where it is only required."""
    written = entry.second_factor
    if written is None:
        return None
    made = written.recovery_made
    return SecondFactor(written.totp or None, written.recovery, None if made is None else made.timestamp())


class Roles:
    """The rules of each role, with those of the roles that it is like behind its own."""

    def __init__(self, roles: Mapping[str, RoleEntry]) -> None:
        self._roles = roles
        self._rules: dict[str, tuple[Rule, ...]] = {}

    def rules(self, name: str) -> tuple[Rule, ...]:
        """Return the rules of the role called *name*."""
        found = self._rules.get(name)
        if found is None:
            entries = chain(self._roles, name, as_checked)
            found = self._rules[name] = tuple(rule for _, entry in entries for rule in _rules(entry.rules or ()))
        return found

    def accept(self, name: str) -> list[AcceptRule]:
        """Return the accept rules of the role called *name*, and of those that it is like."""
        return [rule for _, entry in chain(self._roles, name, as_checked) for rule in entry.accept]


def layers_of(name: str, entries: UsersFile) -> list[Layer[Given]]:
    """Return the layers of the user called *name*."""
    groups: Mapping[str, Given] = entries.groups
    roles: Mapping[str, Given] = entries.roles
    return layers(name, entries.users[name], groups, roles, as_checked)


def ruling(found: list[Layer[Given]]) -> Layer[Given] | None:
    """
    Return the layer whose rules are the home's: of the user, or of the group where the user has neither rules nor role.

    None: nothing says anything about rights, so everything in the home is allowed.
    """
    for layer in found:
        entry = layer[1]
        if isinstance(entry, RoleEntry):
            return layer
        if as_checked(entry, "rules") is not None:
            return layer
        if (role := as_checked(entry, "role")) is not None:
            return next(each for each in found if each[0] == ("roles", role))
    return None


def _record(name: str, entry: UserEntry, entries: UsersFile, roles: Roles) -> UserRecord:
    found = layers_of(name, entries)

    def given(key: str) -> Any:
        layer = nearest_with(found, key, as_checked)
        return None if layer is None else getattr(layer[1], key)

    quota = given("quota")
    home, mounts = nearest_with(found, "home", as_checked), nearest_with(found, "mounts", as_checked)
    assert home is not None
    rules, role = _rights(found, roles)
    receipts = receipts_of(given("receipts"))
    if receipts is not None:
        rules = (receipts.rule, *(ALL_ALLOWED if rules is None else rules))
    return UserRecord(
        name=name,
        password=entry.password,
        home=_filled(home, home[1].home, name),
        rules=rules,
        networks=given("networks") or (),
        enabled=entry.enabled,
        expires=given("expires"),
        sessions=given("sessions"),
        download_rate=given("download_rate"),
        upload_rate=given("upload_rate"),
        # In an account for trying, what a client does not do is seen and told; there is nothing to be protected in it.
        data_session_reuse="offered" if entry.preflight else entry.data_session_reuse,
        upload_end="fin" if entry.preflight else entry.upload_end,
        preflight=entry.preflight,
        role=role,
        mounts=() if mounts is None else tuple(_mount(mounts, each, name, roles) for each in mounts[1].mounts or ()),
        quota=_quota(entry, quota),
        encoding=entry.encoding,
        stored_encoding=entry.stored_encoding,
        authentication=given("authentication"),
        certificates=tuple(
            CertificateMatch(each.fingerprint, each.subject_alternative_name) for each in entry.certificates
        ),
        second_factor=_second_factor(entry, found),
        encryption=_keys(given("encryption")),
        accept=_accept(found, mounts, roles),
        group=entry.group,
        hours=tuple(span.hours() for span in given("hours") or ()),
        receipts=receipts,
    )


def _quota(entry: UserEntry, quota: QuotaEntry | None) -> Quota | None:
    """Return the quota; that of an account for trying is `OF_PREFLIGHT` where nothing else is said."""
    if quota is None or (quota.bytes, quota.files) == (None, None):
        return OF_PREFLIGHT if entry.preflight else None
    return Quota(quota.bytes, quota.files)


def receipts_of(entry: ReceiptsEntry | None) -> ReceiptTerms | None:
    """Return the terms that *entry* asks for."""
    return (
        None
        if entry is None or not entry.of
        else ReceiptTerms(entry.directory, frozenset(entry.of), entry.keep, entry.most)
    )


def _accept(found: list[Layer[Given]], mounts: Layer[Given] | None, roles: Roles) -> tuple[AcceptRule, ...]:
    """Return the accept rules of all roles, which no nearer one takes away; those of a mount's role from its path."""
    rules = [rule for _, entry in found if isinstance(entry, RoleEntry) for rule in entry.accept]
    for mount in () if mounts is None else mounts[1].mounts or ():
        for rule in () if mount.role is None else roles.accept(mount.role):
            paths = tuple(str(mount.path).rstrip("/") + path for path in rule.paths)
            rules.append(rule.model_copy(update={"paths": paths}))
    return tuple(rules)


def _second_factor(entry: UserEntry, found: list[Layer[Given]]) -> SecondFactor | None:
    """Return the user's factor; one without a secret where a role or group asks for it, which no user can undo."""
    own = factor_of(entry)
    if own is not None:
        return own
    is_needed = any(as_checked(layer, "second_factor") is not None for _, layer in found)
    return SecondFactor() if is_needed else None


def _rights(found: list[Layer[Given]], roles: Roles) -> tuple[tuple[Rule, ...] | None, str | None]:
    layer = ruling(found)
    if layer is None:
        return None, None
    key, entry = layer
    if isinstance(entry, RoleEntry):
        return roles.rules(str(key[1])), str(key[1])
    assert isinstance(entry, UserEntry | GroupEntry)
    return _rules(entry.rules or ()), None


def _mount(layer: Layer[Given], mount: MountEntry, name: str, roles: Roles) -> Mount:
    rules = None if mount.rules is None else _rules(mount.rules)
    if mount.role is not None:
        rules = roles.rules(mount.role)
    directory = _filled(layer, mount.directory, name)
    return Mount(mount.path, directory, rules, mount.role, mount.stored_encoding, _keys(mount.encryption))


def _keys(name: str | None) -> str | None:
    return None if name == NONE else name


def _filled(layer: Layer[Given], path: Path | None, name: str) -> Path:
    """Put the *name* of the user into a template; a path that the user's own entry says is none."""
    assert path is not None
    is_own = layer[0][0] == "users"
    return path if is_own or PLACEHOLDER not in str(path) else Path(str(path).replace(PLACEHOLDER, name))


def _rules(entries: tuple[RuleEntry, ...]) -> tuple[Rule, ...]:
    return tuple(Rule(entry.path, entry.allow) for entry in entries)
