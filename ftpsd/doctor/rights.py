"""
The rights of the daemon's user in the homes and mounts, and in the users files, tried by that user, who is known from
the running daemon.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ftpsd.config.checks.named_files import users_files
from ftpsd.config.checks.owner import Account, account_of, daemon_account
from ftpsd.config.parsing.document import ConfigError
from ftpsd.doctor.finding import Finding, ok, problem, warning
from ftpsd.doctor.listening import PROC
from ftpsd.service.inspecting.access import CannotTry, run_as, try_trees
from ftpsd.service.inspecting.old_hashes import staying
from ftpsd.service.load import Loaded


def look_at_homes(loaded: Loaded, path: Path, daemons: Iterable[int], proc: Path = PROC) -> list[Finding]:
    """
    Return what is found about homes and mounts; *path* is the configuration's, *daemons* are its running processes.

    Under systemd the daemon sees less of the machine than the doctor: its own findings are in its log, at the start.
    """
    account = user_of(daemons, proc) or daemon_account([path, *(file for _, file in users_files(loaded.config))])

    def tried() -> list[ConfigError]:
        everybody = {id(users): users for users in (loaded.users, *loaded.hosts)}.values()
        homes = [complaint for users in everybody for complaint in try_trees(users)]
        paths = [file for _, file in users_files(loaded.config)]
        files = dict(zip(paths, (loaded.users, *loaded.hosts), strict=True))
        return [*homes, *staying(files.items(), os.geteuid())]

    try:
        found = tried() if account.is_us else run_as(account, tried)
    except CannotTry as refusal:
        return [warning(str(refusal), "run the doctor as root, or as the user of the daemon")]
    findings = [_finding(complaint) for complaint in found]
    if any(not finding.text.startswith("users: ") for finding in findings):
        return findings
    return [*findings, ok(f"all homes and mounts can be used as the rules allow, tried as the user {account.name}")]


def _finding(complaint: ConfigError) -> Finding:
    # The remedy is in the sentence already.
    level = warning if complaint.severity == "warning" else problem
    return level(f"{complaint.key}: {complaint.message}", "")


def user_of(daemons: Iterable[int], proc: Path = PROC) -> Account | None:
    """Return the user of the first of the processes *daemons* that is still there."""
    for pid in daemons:
        try:
            lines = (proc / str(pid) / "status").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith("Uid:"):
                # The effective one is the second.
                return account_of(int(line.split()[2]))
    return None
