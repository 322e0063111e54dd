"""
`ftpsd check`: the inspection, with access tried as the user the daemon runs as, and names looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ftpsd.config.checks.named_files import by_file, users_files
from ftpsd.config.checks.owner import Account, account_of_unit, daemon_account, trusted_owners
from ftpsd.config.parsing.document import ConfigError, ConfigErrors
from ftpsd.service.inspecting.access import CannotTry, run_as
from ftpsd.service.inspecting.inspection import Inspection, inspect, old_hashes, unresolved
from ftpsd.service.inspecting.silent_engines import silent_engines
from ftpsd.service.inspecting.unguarded_ways import unguarded_ways


@dataclass(frozen=True, slots=True)
class Checked:
    """The findings of the inspection, with all *complaints*, those of the daemon's *account* among them."""

    inspection: Inspection
    complaints: tuple[ConfigError, ...]
    account: Account

    @property
    def is_tried_as_another(self) -> bool:
        """Whether access was tried as another user than that of this process."""
        return not self.account.is_us


def checked(path: Path, account: Account | None) -> Checked:
    """
    Inspect the configuration at *path*, for a daemon that runs as *account*; None finds the account. Blocks.

    Raises:
        ConfigErrors: ftpsd.yaml cannot be used.
    """
    # A guess from files and groups is good enough to try access, and not to trust: their owners are in question here.
    account = account or account_of_unit([path])
    known = () if account is None else (account,)
    inspection = inspect(path, trusted_owners(*known))
    config = inspection.config
    if account is None:
        account = daemon_account([path, *(file for _, file in users_files(config))])
    found = [*inspection.complaints, *unresolved(config)]
    if account.is_us:
        found += [*old_hashes(inspection), *_about_accept(inspection)]
    else:
        found += as_another(account, path, lambda: looked_at(path, trusted_owners(*known)))
    return Checked(inspection, tuple(by_file(found)), account)


def looked_at(path: Path, trusted: frozenset[int]) -> tuple[ConfigError, ...]:
    """Return all complaints of an inspection, and those that only people who look are to read, or to wait for."""
    inspection = inspect(path, trusted)
    return (*inspection.complaints, *old_hashes(inspection), *_about_accept(inspection))


def _about_accept(inspection: Inspection) -> Iterator[ConfigError]:
    """Yield what is to be said of accept rules, which takes its time."""
    everybody = inspection.findings.everybody
    yield from silent_engines(inspection.config, everybody)
    yield from unguarded_ways(inspection.config, everybody)


def as_another(account: Account, path: Path, look: Callable[[], tuple[ConfigError, ...]]) -> list[ConfigError]:
    """Return the result of *look* as *account*; where root alone could try that and we are not, a warning about it."""

    def looked() -> tuple[ConfigError, ...]:
        try:
            return look()
        except ConfigErrors as problem:
            return problem.errors

    try:
        return run_as(account, looked)
    except CannotTry as problem:
        return [ConfigError(str(path), 0, 0, "", f"{problem}; run this as root, or as that user", "warning")]
