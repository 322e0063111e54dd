"""
The users file: roles resolved, every user a frozen record.

10,000 users load in well under two seconds: pydantic checks all of them in one pass, and the records are plain slotted
dataclasses. The hash of a password stands neither in a record's repr nor in a complaint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema

from ftpsd.config.fields import (
    Count,
    Encoding,
    Expiry,
    FilePath,
    Files,
    MountPoint,
    Network,
    NetworkField,
    Password,
    Rate,
    Room,
    Switch,
)
from ftpsd.config.login_keys import CertificateEntry
from ftpsd.config.parsing.complaints import complaints, nearest
from ftpsd.config.parsing.document import (
    ConfigError,
    ConfigErrors,
    Document,
    Key,
    Severity,
    parse,
    read_text,
    shown_name,
)
from ftpsd.config.reading import folder_of, in_order
from ftpsd.config.units import describe
from ftpsd.values.login_method import CertificateMatch, LoginMethod
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import ALL, Permission
from ftpsd.values.quota import ENDLESS, Quota
from ftpsd.values.rule import Rule, fault_of

# 10,000 users with every key written out take 5 MiB.
MAX_USERS: Final = 16 << 20
MAX_NAME: Final = 255


@dataclass(frozen=True, slots=True)
class Mount:
    """A *directory* at *path*; *rules* are about paths below it, seen from it, and None means full access."""

    path: VirtualPath
    directory: Path
    rules: tuple[Rule, ...] | None = None
    role: str | None = None
    stored_encoding: str = "utf-8"


@dataclass(frozen=True, slots=True)
class UserRecord:
    """
    One user, as the file or another place describes it.

    *rules* None means full access to the home, and *role* names where they come from, None for rules of the user's
    own. *networks* empty means from anywhere, rates are bytes per second, and None in *sessions*, a rate or
    *data_session_reuse* means "as the server says". *upload_end* "fin" takes a FIN for the end of an upload that no
    close_notify ended. *authentication* None means "as the host says"; *certificates* are the user's. *encoding* is
    how the client writes names, *stored_encoding* how they are written in the home. *accounts* is where the user was
    found (`auth/accounts.py`): a place in a chain, and in a chain within; empty for accounts that stand alone.
    """

    name: str
    password: str | None = field(repr=False)
    home: Path
    rules: tuple[Rule, ...] | None = None
    networks: tuple[Network, ...] = ()
    enabled: bool = True
    expires: datetime | None = None
    sessions: int | None = None
    download_rate: int | None = None
    upload_rate: int | None = None
    data_session_reuse: Literal["offered"] | None = None
    upload_end: Literal["close-notify", "fin"] = "close-notify"
    role: str | None = None
    mounts: tuple[Mount, ...] = ()
    quota: Quota | None = None
    encoding: str = "utf-8"
    stored_encoding: str = "utf-8"
    authentication: LoginMethod | None = None
    certificates: tuple[CertificateMatch, ...] = ()
    accounts: tuple[int, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Users:
    """One users file."""

    users: Mapping[str, UserRecord]
    document: Document | None = field(default=None, compare=False, repr=False)

    def complaint(self, key: Key, message: str, severity: Severity = "error") -> ConfigError:
        """Place a complaint at *key* of the file these were read from."""
        if self.document is None:
            return ConfigError("", 0, 0, ".".join(map(str, key)), message, severity)
        return self.document.error(key, message, severity)


def check_pattern(value: object) -> str:
    """Accept the path of a rule: absolute, `*` and `?` in a name, `**` as the last; see `ftpsd.values.rule`."""
    fault = fault_of(value if isinstance(value, str) else "")
    if fault is not None:
        raise ValueError(f"{describe(value)} {fault}")
    assert isinstance(value, str)
    return value


def check_permissions(value: object) -> frozenset[Permission]:
    """Accept `all`, or a list of permissions."""
    words = ["all"] if value == "all" else value
    if not isinstance(words, list):
        raise ValueError(f"must be all or a list such as [list, read], not {describe(value)}")
    allowed: set[Permission] = set()
    for word in words:
        if word == "all":
            allowed |= ALL
        elif isinstance(word, str) and word in _PERMISSIONS:
            allowed.add(_PERMISSIONS[word])
        else:
            guess = nearest(word.replace("_", "-"), list(_PERMISSIONS)) if isinstance(word, str) else None
            hint = f"did you mean {guess}?" if guess else f"write all, or some of {', '.join(_PERMISSIONS)}"
            raise ValueError(f"{describe(word)} is not a permission; {hint}")
    return frozenset(allowed)


def check_name(name: str) -> str:
    """
    Return *name* when it may be a user's.

    Raises: ValueError with a sentence for the operator.
    """
    if not name:
        raise ValueError("a user name must not be empty")
    if len(name) > MAX_NAME:
        raise ValueError(f"a user name has at most {MAX_NAME} characters")
    if _control(name) or any("\ud800" <= c <= "\udfff" for c in name):
        raise ValueError("a user name cannot hold control characters")
    return name


_PERMISSIONS: Final = {permission.value: permission for permission in Permission}
_ALL_OR_SOME: Final[dict[str, Any]] = {
    "anyOf": [{"const": "all"}, {"type": "array", "items": {"enum": [*_PERMISSIONS, "all"]}}]
}


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class RuleEntry(_Entry):
    """One rule as written."""

    path: Annotated[str, PlainValidator(check_pattern), WithJsonSchema({"type": "string", "pattern": "^/"})]
    allow: Annotated[frozenset[Permission], PlainValidator(check_permissions), WithJsonSchema(_ALL_OR_SOME)]


class RoleEntry(_Entry):
    """The rights of every user of a role, and how they log in."""

    rules: tuple[RuleEntry, ...]
    authentication: LoginMethod | None = None


class MountEntry(_Entry):
    """One mount as written."""

    path: MountPoint
    directory: FilePath
    role: Annotated[str, Field(strict=True)] | None = None
    rules: tuple[RuleEntry, ...] | None = None
    stored_encoding: Encoding = "utf-8"


class QuotaEntry(_Entry):
    """A quota as written."""

    bytes: Room | None = None
    files: Files | None = None


class UserEntry(_Entry):
    """One user as written."""

    password: Annotated[Password | None, Field(repr=False)] = None
    home: FilePath
    authentication: LoginMethod | None = None
    certificates: tuple[CertificateEntry, ...] = ()
    role: Annotated[str, Field(strict=True)] | None = None
    rules: tuple[RuleEntry, ...] | None = None
    mounts: tuple[MountEntry, ...] = ()
    quota: QuotaEntry | None = None
    encoding: Encoding = "utf-8"
    stored_encoding: Encoding = "utf-8"
    networks: tuple[NetworkField, ...] = ()
    data_session_reuse: Literal["offered"] | None = None
    upload_end: Literal["close-notify", "fin"] = "close-notify"
    sessions: Count | None = None
    download_rate: Rate | None = None
    upload_rate: Rate | None = None
    expires: Expiry | None = None
    enabled: Switch = True


class UsersFile(_Entry):
    """A users.yaml as written."""

    roles: dict[str, RoleEntry] = {}
    users: dict[str, UserEntry] = {}


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
    errors = [*document.errors, *_cross_complaints(document, data)]
    try:
        entries = UsersFile.model_validate(data, context={"folder": folder})
    except ValidationError as error:
        errors += complaints(document, error, UsersFile, "users.yaml")
    if errors:
        raise ConfigErrors(in_order(errors))
    roles = {name: _rules(role.rules) for name, role in entries.roles.items()}
    users = {
        name: _record(name, entry, roles, None if entry.role is None else entries.roles[entry.role].authentication)
        for name, entry in entries.users.items()
    }
    return Users(MappingProxyType(users), document)


def _cross_complaints(document: Document, data: Any) -> list[ConfigError]:
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


def _rules(entries: tuple[RuleEntry, ...]) -> tuple[Rule, ...]:
    return tuple(Rule(entry.path, entry.allow) for entry in entries)


def _record(
    name: str, entry: UserEntry, roles: Mapping[str, tuple[Rule, ...]], method_of_role: LoginMethod | None
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
        authentication=entry.authentication or method_of_role,
        certificates=tuple(
            CertificateMatch(each.fingerprint, each.subject_alternative_name) for each in entry.certificates
        ),
    )


def _rules_of(entry: UserEntry | MountEntry, roles: Mapping[str, tuple[Rule, ...]]) -> tuple[Rule, ...] | None:
    if entry.role is not None:
        return roles[entry.role]
    return None if entry.rules is None else _rules(entry.rules)


def _control(text: str) -> bool:
    return not text.isprintable() and any(ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F for c in text)
