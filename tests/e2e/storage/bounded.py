"""A user with a quota, and a session of theirs."""

from __future__ import annotations

import ftplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.client import Sessions, Way, code
from tests.e2e.daemon import Account, Daemon
from tests.e2e.storage.ground import told, used


@dataclass(frozen=True)
class Bounded:
    """A user with a quota, and a session of theirs."""

    daemon: Daemon
    account: Account
    sessions: Sessions
    ftp: ftplib.FTP

    @property
    def home(self) -> Path:
        return self.account.home

    def is_exact(self) -> bool:
        """Tell whether what is counted is what is there."""
        return told(self.ftp) == used(self.home)


@contextmanager
def logged_in(daemon: Daemon, way: Way) -> Iterator[Bounded]:
    """Log in a user nobody else uses; at the end the account must be exact, and the session alive."""
    sessions = Sessions(daemon, way)
    account = daemon.account()
    bound = Bounded(daemon, account, sessions, sessions.log_in(account))
    yield bound
    assert told(bound.ftp) == used(bound.home)
    assert code(bound.ftp, "NOOP") == 200
    sessions.close()
