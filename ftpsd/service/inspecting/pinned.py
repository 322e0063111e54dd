"""
The state file and the users files compared, for those who look at the configuration; nothing is changed.

Pins of somebody who is in no users file any more would let the certificate of the old user in as the next one of that
name: `ftpsd user remove` and `ftpsd user add` remove them, an editor does not.
"""

from __future__ import annotations

import shlex
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

from ftpsd.auth.certified.pins import accounts
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError
from ftpsd.config.users import Users
from ftpsd.control.state.hosts import account_of
from ftpsd.durable.opening import is_begun
from ftpsd.durable.tables import begun_at

T = TypeVar("T")

# Seconds that a look waits for a writer; nobody is kept out by giving up.
PATIENCE: Final = 1.0
# Users that are named, each in a line of its own.
MOST_NAMED: Final = 20


def pinned_accounts(config: Config) -> frozenset[str] | None:
    """Return the accounts with pinned certificates or a ticket; None where the file cannot be read. Blocks."""
    if config.state is None or not is_begun(config.state):
        return frozenset()
    return _looked_up(config.state, lambda opened: frozenset(accounts(opened, time.time())))


def _looked_up(state: Path, look: Callable[[sqlite3.Connection], T]) -> T | None:
    """Return what *look* finds in the file *state*; None where it cannot be read."""
    try:
        if not is_begun(state):
            return None
        uri = f"{state.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE)) as opened:
            return look(opened)
    except (sqlite3.Error, OSError):
        # A mistake in it has a complaint of its own.
        return None


def outlived(config: Config, everybody: Sequence[Users]) -> Iterator[ConfigError]:
    """Yield a warning about the users whose recovery codes are refused, as the state file is younger than they are."""
    begun = None if config.state is None else _looked_up(config.state, begun_at)
    if begun is None:
        return
    for users in everybody:
        names = [
            name
            for name, factor in users.second_factors()
            if factor.recovery and (factor.recovery_made is None or factor.recovery_made < begun)
        ]
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            message = (
                f"the recovery codes of {names[0]}{more} are refused: they are from before the state file was begun, "
                f"which does not know which were used; make new ones: ftpsd user otp {shlex.quote(names[0])} --recovery"
            )
            yield users.complaint(("users", names[0], "second_factor", "recovery"), message, "warning")


def left_over(config: Config, hosts: Mapping[str, Users]) -> Iterator[ConfigError]:
    """Yield a warning for each user of *hosts* ("" for the default one) who has pins and is in no users file."""
    from_elsewhere = {""} if tuple(config.accounts) != ("file",) else set()
    from_elsewhere |= {each.names[0] for each in config.virtual_hosts if tuple(each.accounts) != ("file",)}
    known = {account_of(host, name) for host, users in hosts.items() for name in users.users}
    for account in sorted((pinned_accounts(config) or frozenset()) - known)[:MOST_NAMED]:
        host, _, name = account.rpartition("\n")
        if host in from_elsewhere or host not in hosts:
            continue
        of_host = f" --host {shlex.quote(host)}" if host else ""
        message = (
            f"certificates or a ticket of {name} are still there, who is in no users file: they would let in as the "
            f"next user of that name; run: ftpsd user enrol {shlex.quote(name)} --forget all{of_host}"
        )
        yield config.complaint(("state",), message, "warning")
