"""The helpers with which tests of quotas handle a home and its account."""

from __future__ import annotations

import os
from pathlib import Path

from ftpsd.storage.jail import LocalJail
from ftpsd.storage.quota.account import QuotaAccount
from ftpsd.storage.quota.change import QuotaLedger
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.quota import Quota, Usage

ATOMIC = UploadPolicy(durable=False)
DIRECT = UploadPolicy(durable=False, atomic=False)
ENDLESS = Quota()
POLICIES = {"atomic": ATOMIC, "direct": DIRECT}


def fresh(home: Path) -> Usage:
    """Count what is in *home*, in another way than the account does."""
    used = Usage()
    for folder, directories, files in os.walk(home):
        paths = [Path(folder, name) for name in files + directories]
        links = sum(path.is_symlink() for path in paths)
        inner = [path for path in paths if path.is_dir() and not path.is_symlink()]
        sizes = [path.lstat().st_size for path in paths if not path.is_symlink() and path not in inner]
        used += Usage(sum(sizes), len(sizes) + links, len(inner))
    return used


def opened(
    home: Path,
    account: QuotaAccount,
    quota: Quota = ENDLESS,
    *,
    policy: UploadPolicy = ATOMIC,
    owner: str = "user",
) -> LocalJail:
    """Open a session's storage over *home*."""
    return LocalJail.open(home, uploads=policy, owner=owner, ledger=QuotaLedger(account, quota))
