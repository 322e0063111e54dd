"""
The review of access: every right of every user on every host, with where it comes from and when it was last used.

Rows are made one after the other, so 10,000 users take no more memory than their records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ftpsd.auth.review import Review, Right
from ftpsd.config.model import Config, VirtualHost, needs_second_factor
from ftpsd.config.parsing.document import Key
from ftpsd.config.people.provenance import Provenance
from ftpsd.config.people.resolution import factor_of
from ftpsd.config.people.user_entries import UserEntry
from ftpsd.config.users import UserRecord, Users, load_users
from ftpsd.control.state.hosts import account_of
from ftpsd.service.inspecting.last_use import Account, LastUse
from ftpsd.service.inspecting.pinned import pinned_accounts
from ftpsd.values.login.hours import Hours, are_now
from ftpsd.values.login.login_method import LoginMethod
from ftpsd.values.login.second_factor import SecondFactor
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import ALL, Permission


@dataclass(frozen=True, slots=True)
class Wanted:
    """The part of a review that is wanted, None for all. Of a *path* it is what decides, where that allows anything."""

    user: str | None = None
    path: VirtualPath | None = None
    role: str | None = None


@dataclass(slots=True)
class People:
    """The users of all hosts, "" for the default one; each file is read once, also where hosts share it."""

    hosts: dict[str, Users]
    authentication: dict[str, LoginMethod]
    needing: frozenset[str] = frozenset()
    """The hosts on which everybody needs a second factor."""
    pinned: frozenset[str] | None = frozenset()
    """The accounts with pinned certificates; None: not known."""
    _places: dict[int, Provenance] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config) -> People:
        """
        Read the users files of *config*. Blocks.

        Raises: ConfigErrors.
        """
        files: dict[Path, Users] = {}

        def users(path: Path) -> Users:
            if path not in files:
                files[path] = load_users(path)
            return files[path]

        hosts, methods = {"": users(config.users)}, {"": config.authentication}
        for section in config.virtual_hosts:
            hosts[section.names[0]] = users(section.users)
            methods[section.names[0]] = section.authentication or config.authentication
        named: list[tuple[str, Config | VirtualHost]] = [
            ("", config),
            *((section.names[0], section) for section in config.virtual_hosts),
        ]
        needing = frozenset(name for name, section in named if needs_second_factor(config, section))
        return cls(hosts, dict(methods), needing, pinned_accounts(config))

    def review(self, account: Account) -> Review | None:
        """Return the rights of *account*."""
        host, name = account
        users = self.hosts.get(host)
        record = None if users is None else users.users.get(name)
        return None if record is None else Review(record)

    @property
    def from_sources(self) -> frozenset[Account]:
        """The accounts of users from a source whom a file names."""
        return frozenset((host, name) for host, users in self.hosts.items() for name in users.from_sources)

    def provenance(self, host: str) -> Provenance:
        """Return where the users of *host* have what they have."""
        users = self.hosts[host]
        return self._places.setdefault(id(users), Provenance(users))


def rows(people: People, wanted: Wanted, last: LastUse | None, now: datetime | None = None) -> Iterator[dict[str, Any]]:
    """Yield a row for each right, of plain values; *last* None: nothing is known of the last use."""
    now = now or datetime.now(UTC)
    for host, users in people.hosts.items():
        places = people.provenance(host)
        for user in users.users.values():
            record = user
            if wanted.user is not None and record.name != wanted.user:
                continue
            may_be_pinned = people.pinned is None or account_of(host, record.name) in people.pinned
            if host in people.needing and record.second_factor is None:
                record = replace(record, second_factor=SecondFactor())
            facts = _facts(record, _status(record, people.authentication[host], now, may_be_pinned))
            review = Review(record)
            keys = _Keys(record, places)
            for number in _numbers(review, wanted):
                right = review.rights[number]
                source, place, role = keys.source(right)
                if wanted.role is not None and wanted.role not in (role, _of_role(source)):
                    continue
                account = (host, record.name)
                yield {
                    "host": host,
                    **facts,
                    "role": role,
                    "path": right.shown_path,
                    "permissions": written(right.allow),
                    "mount": None if right.mount is None else str(record.mounts[right.mount].path),
                    "source": source,
                    "place": place,
                    "note": right.reason or None,
                    "last_login": None if last is None else last.logins.get(account),
                    "last_use": None if last is None else last.uses.get((account, number)),
                }
        yield from _of_sources(host, users, places, wanted, last, now)


def _of_sources(
    host: str, users: Users, places: Provenance, wanted: Wanted, last: LastUse | None, now: datetime
) -> Iterator[dict[str, Any]]:
    """Yield a row for each user from a source whom the file names: the rights are not the file's, and not shown."""
    for name, entry in users.from_sources.items():
        if wanted.role is not None or wanted.user not in (None, name):
            continue
        hours = tuple(span.hours() for span in entry.hours or ())
        yield {
            "host": host,
            "user": name,
            "group": None,
            "status": _status_of_entry(entry, hours, now),
            "enabled": entry.enabled,
            "expires": None if entry.expires is None else entry.expires.isoformat(),
            "hours": list(map(str, hours)),
            "networks": [str(network) for network in entry.networks or ()],
            "role": None,
            "path": None,
            "permissions": None,
            "mount": None,
            "source": entry.source,
            "place": places.place(("users", name, "source")),
            "note": f"rights as {entry.source} says",
            "last_login": None if last is None else last.logins.get((host, name)),
            "last_use": None if last is None else last.uses.get(((host, name), 0)),
        }


def _status_of_entry(entry: UserEntry, hours: tuple[Hours, ...], now: datetime) -> str:
    """Return whether the user of a source can log in now, as far as the file says."""
    if not entry.enabled:
        return "disabled"
    if entry.expires is not None and entry.expires <= now:
        return "expired"
    factor = factor_of(entry)
    if factor is not None and not factor.is_enrolled:
        return "no second factor"
    return "active" if are_now(hours, now) else "outside of hours"


def written(allow: Iterable[Permission]) -> list[str]:
    """Write permissions in the order of the documentation; all of them as `all`."""
    some = frozenset(allow)
    return ["all"] if some == ALL else [permission.value for permission in Permission if permission in some]


def _numbers(review: Review, wanted: Wanted) -> Iterable[int]:
    if wanted.path is None:
        return range(len(review.rights))
    decides = review.decides(wanted.path)
    return [decides] if review.rights[decides].allow else []


def _facts(user: UserRecord, status: str) -> dict[str, Any]:
    return {
        "user": user.name,
        "group": user.group,
        "status": status,
        "enabled": user.enabled,
        "expires": None if user.expires is None else user.expires.isoformat(),
        "hours": [str(hours) for hours in user.hours],
        "networks": [str(network) for network in user.networks],
    }


def _status(user: UserRecord, method: str, now: datetime, may_be_pinned: bool) -> str:
    """Return whether the user can log in now, from an address that is allowed."""
    if not user.enabled:
        return "disabled"
    if user.expires is not None and user.expires <= now:
        return "expired"
    method = user.authentication or method
    if user.password is None and method != "certificate":
        return "no password"
    if method != "password" and not user.certificates and not may_be_pinned:
        return "no certificate"
    if user.second_factor is not None and not user.second_factor.is_enrolled:
        return "no second factor"
    return "active" if are_now(user.hours, now) else "outside of hours"


def _of_role(source: str | None) -> str | None:
    return source.removeprefix("role ") if source is not None and source.startswith("role ") else None


class _Keys:
    """The places of the rules of one user."""

    def __init__(self, user: UserRecord, places: Provenance) -> None:
        self._user = user
        self._places = places
        self._of_trees: dict[int | None, tuple[Key, ...]] = {}

    def source(self, right: Right) -> tuple[str | None, str, str | None]:
        """Return the section that the right comes from, its place in the file, and the role that it is given by."""
        user, places = self._user, self._places
        role = user.role if right.mount is None else user.mounts[right.mount].role
        if right.rule is not None:
            if right.mount not in self._of_trees:
                of_mount = None if right.mount is None else places.rules_of_mount(user.name, right.mount)
                self._of_trees[right.mount] = places.rules(user.name) if of_mount is None else of_mount
            key = self._of_trees[right.mount][right.rule]
        elif right.mount is not None:
            key = places.mounts(user.name)[right.mount]
        else:
            key = ("users", user.name)
        return _section(key), places.place(key), role


def _section(key: Key) -> str:
    """Write the section of *key*: `role partner`, `group acme`, `user alice`."""
    return f"{str(key[0]).removesuffix('s')} {key[1]}"
