"""
Hashes of older kinds: those that this system cannot verify, and those that stay because the file is not ours to write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ftpsd.auth.hashing import crypt
from ftpsd.auth.hashing.new_hashes import is_old
from ftpsd.config.checks.hashes import fault_of, kind_of
from ftpsd.config.checks.owner import account_of
from ftpsd.config.editing.own_file import is_ours
from ftpsd.config.parsing.document import ConfigError
from ftpsd.config.users import Users


def unverifiable(users: Users, can_verify: Callable[[str], bool] = crypt.can_verify) -> Iterator[ConfigError]:
    """Yield a complaint for each hash of a kind that the system's libcrypt does not know."""
    for user in users.users.values():
        stored = user.password
        if stored is None or not user.enabled or fault_of(stored) is not None or not crypt.is_known(stored):
            continue
        if not can_verify(stored):
            said = f"the libcrypt of this system knows no {kind_of(stored)} hashes; set a new one: ftpsd user password"
            yield users.complaint(("users", user.name, "password"), said)


def staying(files: Iterable[tuple[Path, Users]], uid: int) -> Iterator[ConfigError]:
    """Yield a hint for each users file in which hashes of older kinds stay, for this process runs as *uid*."""
    for path, users in files:
        kinds = Counter(
            kind_of(user.password)
            for user in users.users.values()
            if user.password is not None and is_old(user.password)
        )
        if kinds and not is_ours(path):
            said = ", ".join(f"{kind} {count} times" for kind, count in sorted(kinds.items()))
            yield users.complaint(
                ("users",),
                f"password hashes of older kinds stay as they are ({said}): the user {account_of(uid).name} does not "
                f"own {path}, or may not write it and its folder; set new ones with `ftpsd user password`, or give it "
                "both",
                "warning",
            )
