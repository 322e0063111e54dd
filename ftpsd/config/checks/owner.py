"""
The user the daemon runs as: the owner of the homes, as whom access is tried when root does it in the daemon's place.

For a process of any user but root that user is the daemon's. For root it is, the first that is known:
1. the user that the operator names;
2. User= of the systemd unit, where that serves this configuration;
3. the user `ftpsd`, where it may read the files, or they or their folder are its own or its group's;
4. the user whose own group the files or their folder belong to, as with `root:ftp`, mode 0640;
5. root.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ftpsd.config.checks.unit import Unit, installed_unit

# systemd/sysusers.d/ftpsd.conf.
USUAL: Final = "ftpsd"
ROOT: Final = 0


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int

    @property
    def is_us(self) -> bool:
        """Whether this process runs as that user."""
        return self.uid == os.geteuid()


def account_called(name: str) -> Account:
    """Return the user of that name or number. Raises: KeyError."""
    found = pwd.getpwuid(int(name)) if name.isascii() and name.isdigit() else pwd.getpwnam(name)
    return _account(found)


def account_of(uid: int) -> Account:
    """Return the user with that number, which is also the name where there is no other."""
    try:
        return _account(pwd.getpwuid(uid))
    except KeyError:
        return Account(str(uid), uid, uid)


def daemon_account(files: Sequence[Path], unit: Unit | None = None) -> Account:
    """Return the user the daemon runs as that reads *files*, its configuration. Blocks."""
    if os.geteuid() != ROOT:
        return account_of(os.geteuid())
    named = account_of_unit(files, unit)
    if named is not None:
        return named
    usual = account_or_none(USUAL)
    if usual is not None and (_is_related(usual, files) or all(may_read(usual, file) for file in files)):
        return usual
    return _member(files) or account_of(ROOT)


def account_of_unit(files: Sequence[Path], unit: Unit | None = None) -> Account | None:
    """Return the user in the installed *unit* of the daemon, None where that does not serve *files*. Blocks."""
    unit = installed_unit() if unit is None else unit
    if not any(unit.serves(Path(os.path.abspath(file)).parent) for file in files):
        return None
    return account_or_none(unit.user or "root") or account_of(ROOT)


def trusted_owners(*accounts: Account) -> frozenset[int]:
    """Return the users who may own the files that the daemon trusts: root, the user of this process, the daemon's."""
    usual = account_or_none(USUAL)
    known = accounts if usual is None else (*accounts, usual)
    return frozenset({ROOT, os.geteuid(), *(account.uid for account in known)})


def may_read(account: Account, path: Path) -> bool:
    """Return whether modes and owners let *account* read *path*, and pass all that leads there."""
    try:
        groups = set(os.getgrouplist(account.name, account.gid))
        real = Path(os.path.realpath(path))
        return _has(account, groups, os.stat(real), 4) and all(
            _has(account, groups, os.stat(folder), 1) for folder in real.parents
        )
    except OSError:
        return False


def _has(account: Account, groups: set[int], status: os.stat_result, bit: int) -> bool:
    if account.uid == status.st_uid:
        return bool(status.st_mode & bit << 6)
    return bool(status.st_mode & (bit << 3 if status.st_gid in groups else bit))


def _is_related(account: Account, files: Sequence[Path]) -> bool:
    return any(status.st_uid == account.uid or status.st_gid == account.gid for status in _statuses(files))


def _member(files: Sequence[Path]) -> Account | None:
    """Return the user that the group of *files* is made for."""
    for status in _statuses(files):
        if status.st_gid == ROOT:
            continue
        try:
            return _account(pwd.getpwnam(grp.getgrgid(status.st_gid).gr_name))
        except KeyError:
            members = [entry for entry in pwd.getpwall() if entry.pw_gid == status.st_gid == entry.pw_uid]
            if members:
                return _account(members[0])
    return None


def _statuses(files: Sequence[Path]) -> list[os.stat_result]:
    """Describe *files* and their folders, as far as they are there."""
    found = []
    for path in dict.fromkeys([*files, *(Path(os.path.abspath(file)).parent for file in files)]):
        try:
            found.append(os.stat(path))
        except OSError:
            continue
    return found


def account_or_none(name: str) -> Account | None:
    """Return the user of that name, if there is one."""
    try:
        return _account(pwd.getpwnam(name))
    except KeyError:
        return None


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
