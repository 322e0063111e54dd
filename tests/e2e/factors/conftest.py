"""A server of two processes whose users have second factors."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ftpsd.auth.codes import code_of, step_at
from ftpsd.demo.authority import Demonstration
from ftpsd.values.login.second_factor import digest_of, new_recovery_codes, spelt
from tests.e2e.daemon import PASSWORD, Account, Daemon
from tests.state import begin_long_ago

USERS = 40


@dataclass(frozen=True, slots=True)
class Person:
    """A user with a device."""

    account: Account
    secret: bytes
    recovery: str

    @property
    def name(self) -> str:
        return self.account.name

    @property
    def home(self) -> Path:
        return self.account.home

    def code(self, offset: int = 0) -> str:
        """The code that the device shows now, with a clock that is so many steps ahead."""
        return code_of(self.secret, step_at(time.time()) + offset)

    def with_code(self) -> str:
        """The password with the code behind it."""
        return PASSWORD + self.code()


class Office:
    """A *daemon*, and people that nobody else uses."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        begin_long_ago(daemon.folder / "state.db")
        self.users: dict[str, dict[str, Any]] = daemon.users
        self._people: list[Person] = []
        for name, user in self.users.items():
            secret, recovery = os.urandom(20), new_recovery_codes()[0]
            user["second_factor"] = {"totp": spelt(secret), "recovery": [digest_of(recovery)]}
            # curl -Z has one TLS cache for connections to both processes.
            user["data_session_reuse"] = "offered"
            self._people.append(Person(Account(name, Path(user["home"])), secret, recovery))
        daemon.write_users(self.users)

    def person(self) -> Person:
        """Return somebody nobody has used yet."""
        return self._people.pop(0)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Office]:
    """Two processes that the tests of a module share."""
    daemon = Daemon(tmp_path_factory.mktemp("office"), tls_files, {"processes": 2}, users=USERS)
    made = Office(daemon)
    with daemon.running():
        yield made
