"""Accounts of every source, made as the daemon makes them: from the text of ftpsd.yaml, which is checked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import yaml
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from twisted.internet.defer import Deferred, succeed

from ftpsd.auth.accounts import Accounts
from ftpsd.auth.checker import UsersChecker
from ftpsd.auth.credentials import Login
from ftpsd.auth.hashing.passwords import VerifiedCache
from ftpsd.auth.hashing.queue import LoginQueue
from ftpsd.auth.sources.assembly import Assembly
from ftpsd.config.parsing.document import ConfigError
from ftpsd.config.reading import read_config
from ftpsd.config.sources.source_files import look_at_sources, read_source_files
from ftpsd.config.users import read_users
from tests.sources.slapd import DISABLED, PEOPLE, SERVICE, SERVICE_PASSWORD, UPLOADERS
from tests.sources.turning import lookups, reactor

P = ParamSpec("P")
T = TypeVar("T")

PEER = "192.0.2.7"
ROLES = "roles:\n  uploader: {rules: [{path: /, allow: [list, read]}]}\n"


def secret(folder: Path, name: str, text: str) -> str:
    """Return the path of a file that holds *text*."""
    path = folder / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return str(path)


def ldap_section(folder: Path, *servers: str, **more: Any) -> dict[str, Any]:
    """Return a section `ldap` for the directory of slapd.py."""
    return {
        "servers": list(servers),
        "bind_dn": SERVICE,
        "bind_password_file": secret(folder, "bind-password", SERVICE_PASSWORD),
        "search_base": PEOPLE,
        "filter": "(&(objectClass=inetOrgPerson)(uid={user}))",
        "homes": ["/srv/ftpsd"],
        "home": "/srv/ftpsd/{user}",
        "roles": {UPLOADERS: "uploader"},
        "disabled_groups": [DISABLED],
        "timeout": "1s",
        **more,
    }


class Hashes:
    """A pool that makes hashes at once, and of those of nobody only counts that they were asked for."""

    def __init__(self) -> None:
        self.of_nobody = 0

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Call *function*, which verifies a password."""
        if args[-1] is None:
            self.of_nobody += 1
            return succeed(cast(T, False))
        return succeed(function(*args, **kwargs))


class Site:
    """The accounts of a configuration: *order* asks the *sections*, *users* is the text of users.yaml."""

    def __init__(self, order: list[str], sections: dict[str, Any], users: str = ROLES) -> None:
        config = read_config(yaml.safe_dump({"accounts": order, **sections}), "ftpsd.yaml", Path("/etc/ftpsd"))
        file = read_users(users, "users.yaml", Path("/etc/ftpsd"))
        files, unreadable = read_source_files(config)
        self.complaints: list[ConfigError] = [*unreadable, *look_at_sources(config, [(order, file)])]
        self.hashes = Hashes()
        hashes = LoginQueue(self.hashes)
        self.assembly = Assembly(config, files, reactor, lookups(), hashes, VerifiedCache(reactor))
        self.accounts: Accounts = self.assembly.accounts(order, Path("/etc/ftpsd/users.yaml"), file)

    def log_in(self, name: str, password: str, peer: str = PEER) -> Deferred[Any]:
        """Log in as the daemon's checker does."""
        return UsersChecker(self.accounts, reactor).requestAvatarId(Login(name, password, peer))


def cheap_hash(password: str) -> str:
    """Return a hash of *password*: Argon2id, as cheap as it can be made."""
    kdf = Argon2id(salt=os.urandom(16), length=32, iterations=1, lanes=1, memory_cost=64)
    return kdf.derive_phc_encoded(password.encode())


def users_file(*names: str, disabled: tuple[str, ...] = ()) -> str:
    """Return a users.yaml with *names*, whose passwords are "<name>'s"."""
    users = {
        name: {
            "password": cheap_hash(f"{name}'s"),
            "home": f"/srv/ftpsd/{name}",
            "role": "uploader",
            "enabled": name not in disabled,
        }
        for name in (*names, *disabled)
    }
    return ROLES + yaml.safe_dump({"users": users})
