"""What tests of quotas do with a home and its account."""

from __future__ import annotations

import os
from pathlib import Path

from ftpsd.storage.jail import LocalJail
from ftpsd.storage.quota.account import QuotaAccount
from ftpsd.storage.quota.usage import Quota, Usage
from ftpsd.storage.upload import UploadPolicy

ATOMIC = UploadPolicy(durable=False)
DIRECT = UploadPolicy(durable=False, atomic=False)
ENDLESS = Quota()
POLICIES = {"atomic": ATOMIC, "direct": DIRECT}


def fresh(home: Path) -> Usage:
    """Count what is in *home*, in another way than the account does."""
    used = Usage()
    for folder, directories, files in os.walk(home):
        sizes = [os.lstat(os.path.join(folder, name)).st_size for name in files]
        used += Usage(sum(sizes), len(files), len(directories))
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
    return LocalJail.open(home, uploads=policy, owner=owner, ledger=account.ledger(quota))
