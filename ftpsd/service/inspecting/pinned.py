"""
Whose certificates are pinned in the state file, for those who look at the configuration; nothing is changed.

Pins of somebody who is in no users file any more would let the certificate of the old user in as the next one of that
name: `ftpsd user remove` and `ftpsd user add` remove them, an editor does not.
"""

from __future__ import annotations

import shlex
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Final

from ftpsd.auth.certified.pins import accounts
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError
from ftpsd.config.users import Users
from ftpsd.control.state.hosts import account_of
from ftpsd.durable.opening import is_begun

# Seconds that a look waits for a writer; nobody is kept out by giving up.
PATIENCE: Final = 1.0
# Users that are named, each in a line of its own.
MOST_NAMED: Final = 20


def pinned_accounts(config: Config) -> frozenset[str] | None:
    """Return the accounts with pinned certificates or a ticket; None where the file cannot be read. Blocks."""
    if config.state is None:
        return frozenset()
    try:
        if not is_begun(config.state):
            return frozenset()
        uri = f"{config.state.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE)) as opened:
            return frozenset(accounts(opened, time.time()))
    except (sqlite3.Error, OSError):
        # A mistake in it has a complaint of its own.
        return None


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
