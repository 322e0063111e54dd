"""
Whether a users file is ours to write: whether this process may replace it, and it would stay what it is.

Replacing a file takes the right to write in its folder. That alone is not enough: an operator who gives the file to
root has not meant the daemon to write it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_EFFECTIVE = os.access in os.supports_effective_ids


def is_ours(path: Path) -> bool:
    """Return whether this process may write the file at *path* and its folder, and can keep its owner and group."""
    real = os.path.realpath(path)
    try:
        status = os.stat(real)
    except OSError:
        return False
    user = os.geteuid()
    if not stat.S_ISREG(status.st_mode):
        return False
    if user != 0 and (status.st_uid != user or status.st_gid not in (os.getegid(), *os.getgroups())):
        return False
    return os.access(real, os.R_OK | os.W_OK, effective_ids=_EFFECTIVE) and os.access(
        os.path.dirname(real), os.W_OK | os.X_OK, effective_ids=_EFFECTIVE
    )
