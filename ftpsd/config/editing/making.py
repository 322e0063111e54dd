"""
The making of a home, for the daemon's user. Root may run it, in a folder that others can write to, so only directories
made here are given away, and no link is followed for that.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ftpsd.config.checks.owner import ROOT, USUAL, Account, account_of, account_or_none, daemon_account

# For its user alone.
HOME_MODE: Final = 0o700
# As systemd/tmpfiles.d/ftpsd.conf makes /srv/ftpsd.
FOLDER_MODE: Final = 0o750


def owner_of_homes(home: Path, files: Sequence[Path]) -> Account:
    """
    Return the owner of a *home* to be made: the daemon's user, where *files*, its configuration, or the unit name one.

    Where they do not, it is the owner of the users file, the last of them, or of the folder that the home is made in: a
    daemon that is not root owns one or the other. After that it is the user `ftpsd`, if there is one: for a daemon that
    runs as root the owner makes no difference.
    """
    account = daemon_account(files)
    if account.uid != ROOT or os.geteuid() != ROOT:
        return account
    there = next((folder for folder in home.parents if folder.is_dir()), None)
    for path in (*files[-1:], *([there] if there is not None else [])):
        try:
            owner = os.stat(path).st_uid
        except OSError:
            continue
        if owner != ROOT:
            return account_of(owner)
    return account_or_none(USUAL) or account


def make_home(home: Path, owner: Account) -> bool:
    """
    Make the directory *home*, and those above it that are missing, for *owner*; return whether it was not there before.

    Raises: OSError.
    """
    missing = [folder for folder in reversed(home.parents) if not folder.is_dir()]
    for folder in missing:
        _make(folder, FOLDER_MODE, owner)
    try:
        _make(home, HOME_MODE, owner)
    except FileExistsError:
        if not home.is_dir():
            raise
        return False
    return True


def _make(path: Path, mode: int, owner: Account) -> None:
    os.mkdir(path, mode)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        # A user who can write in the folder could have put something else in its place.
        if os.fstat(fd).st_uid == os.geteuid():
            os.fchmod(fd, mode)
            if not owner.is_us:
                os.fchown(fd, owner.uid, owner.gid)
    finally:
        os.close(fd)
