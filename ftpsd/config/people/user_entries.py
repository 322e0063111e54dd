"""
The users file as written: one model for each section, with the checks that no other file needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, PlainValidator, WithJsonSchema

from ftpsd.config.accept.accept_rules import AcceptRule
from ftpsd.config.fields import (
    Count,
    Encoding,
    Expiry,
    FilePath,
    Files,
    MountPoint,
    NetworkField,
    Password,
    Rate,
    Room,
    Section,
    Switch,
    check_path,
)
from ftpsd.config.parsing.complaints import nearest
from ftpsd.config.people.keys_name import KeysName
from ftpsd.config.people.login_keys import CertificateEntry, Required, SecondFactorField
from ftpsd.config.people.path_pattern import check_pattern
from ftpsd.config.people.timetable import Timetable
from ftpsd.config.receipts.receipt_sections import ReceiptsEntry
from ftpsd.config.units import describe
from ftpsd.values.login.login_method import LoginMethod
from ftpsd.values.permission import ALL, Permission

MAX_NAME: Final = 255
# Keys of a user that a source says, so that the users file does not say them of a user from there.
OF_SOURCE: Final = ("password", "home", "group", "role", "rules", "mounts", "stored_encoding", "encryption")


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


_PATH: Final[dict[str, Any]] = {"type": "string", "pattern": r"\S"}


class RuleEntry(Section):
    """One rule as written."""

    path: Annotated[str, PlainValidator(check_pattern), WithJsonSchema({"type": "string", "pattern": "^/"})]
    allow: Annotated[frozenset[Permission], PlainValidator(check_permissions), WithJsonSchema(_ALL_OR_SOME)]


class MountEntry(Section):
    """One mount as written."""

    path: MountPoint
    directory: FilePath
    role: Annotated[str, Field(strict=True)] | None = None
    rules: tuple[RuleEntry, ...] | None = None
    stored_encoding: Encoding = "utf-8"
    encryption: KeysName | None = None


class QuotaEntry(Section):
    """A quota as written."""

    bytes: Room | None = None
    files: Files | None = None


class Given(Section):
    """The fields that the file itself, a group or a role may give a user: the nearest that says something counts."""

    home: Annotated[Path | None, PlainValidator(check_path), WithJsonSchema(_PATH)] = None
    mounts: tuple[MountEntry, ...] | None = None
    quota: QuotaEntry | None = None
    networks: tuple[NetworkField, ...] | None = None
    hours: Timetable | None = None
    sessions: Count | None = None
    download_rate: Rate | None = None
    upload_rate: Rate | None = None
    expires: Expiry | None = None
    authentication: LoginMethod | None = None
    encryption: KeysName | None = None
    receipts: ReceiptsEntry | None = None


class RoleEntry(Given):
    """The rights of every user of a role, and what else it gives."""

    like: Annotated[str, Field(strict=True)] | None = None
    second_factor: Required | None = None
    rules: tuple[RuleEntry, ...] | None = None
    accept: tuple[AcceptRule, ...] = ()


class GroupEntry(Given):
    """The fields that the users of a group have in common."""

    second_factor: Required | None = None
    role: Annotated[str, Field(strict=True)] | None = None
    rules: tuple[RuleEntry, ...] | None = None


class UserEntry(Given):
    """One user as written; of a user from a *source* what this machine adds to the source's word."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": [key]} for key in ("home", "group", "role", "source")]}
    )

    source: Literal["ldap", "pam", "http"] | None = None
    password: Annotated[Password | None, Field(repr=False)] = None
    certificates: tuple[CertificateEntry, ...] = ()
    second_factor: SecondFactorField = None
    group: Annotated[str, Field(strict=True)] | None = None
    role: Annotated[str, Field(strict=True)] | None = None
    rules: tuple[RuleEntry, ...] | None = None
    encoding: Encoding = "utf-8"
    stored_encoding: Encoding = "utf-8"
    data_session_reuse: Literal["offered"] | None = None
    upload_end: Literal["close-notify", "fin"] = "close-notify"
    preflight: Switch = False
    enabled: Switch = True


class UsersFile(Section):
    """A users.yaml as written."""

    roles: dict[str, RoleEntry] = {}
    groups: dict[str, GroupEntry] = {}
    users: dict[str, UserEntry] = {}


def _control(text: str) -> bool:
    return not text.isprintable() and any(ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F for c in text)
