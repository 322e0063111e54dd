"""The accounts of all homes, for the life of the process; a reload keeps them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from ftpsd.storage.quota.account import Account, QuotaAccount
from ftpsd.storage.quota.change import QuotaLedger
from ftpsd.storage.quota.ledger import NO_LEDGER, Ledger
from ftpsd.values.quota import ENDLESS


def _complaint(account: Account) -> str:
    holds = "what was counted before holds" if account.is_counted else "until it can, nothing is stored there"
    return f"{account.directory} cannot be counted for its quota, for {account.unseen} in it cannot be read; {holds}"


def _nowhere(_directory: Path) -> Iterable[os.stat_result]:
    return ()


class QuotaAccounts:
    """
    The accounts of a process, made by *make* when they are first asked for; every method may be called from any thread.
    """

    def __init__(self, make: Callable[[Path], Account] = QuotaAccount) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._accounts: dict[str, Account] = {}
        self.is_stopped = False
        self.elsewhere: Callable[[Path], Iterable[os.stat_result]] = _nowhere
        """Returns the files that count for a directory and lie elsewhere; raises OSError where it cannot."""

    def of(self, directory: Path) -> Account:
        """Return the account of *directory*. Blocks for a moment."""
        path = os.path.realpath(directory)
        with self._lock:
            account = self._accounts.get(path)
            if account is None:
                account = self._accounts[path] = self._make(Path(path))
            return account

    @property
    def is_empty(self) -> bool:
        """Whether no user has a quota."""
        return not self._accounts

    def ledger(self, directory: Path) -> Ledger:
        """Return the ledger of a user without a quota: changes count where other users have one."""
        with self._lock:
            account = self._accounts.get(os.path.realpath(directory)) if self._accounts else None
        return NO_LEDGER if account is None else QuotaLedger(account, ENDLESS)

    def uncounted(self, homes: Iterable[Path]) -> list[str]:
        """Report those of *homes* that could not be counted, with the reason, to the operator."""
        return [_complaint(account) for account in map(self.of, set(homes)) if account.unseen is not None]

    def stop(self) -> None:
        """Have every count end soon."""
        self.is_stopped = True

    def count_due(self, homes: Iterable[Path]) -> int:
        """Count those of *homes* that are due, one after the other; return how many that were. Blocks for long."""
        # All of them have an account before the first walk begins, so that changes made meanwhile are counted.
        accounts = [self.of(home) for home in homes]
        return sum(map(self.count, (account for account in accounts if account.is_due)))

    def count(self, account: Account) -> bool:
        """Count one of them; return whether that came to its end. Blocks for long."""
        return account.count(is_stopped=lambda: self.is_stopped, elsewhere=lambda: self.elsewhere(account.directory))
