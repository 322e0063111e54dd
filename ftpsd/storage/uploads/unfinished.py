"""
The names of partials, and how the one of an owner is found and looked at while it rests.

The work on one is in partial.py, which also has the reason why a name is made of the owner and the target.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import time
from dataclasses import dataclass

from ftpsd.storage.disk.content import PLAIN, Content
from ftpsd.storage.disk.names import RESERVED_PREFIX
from ftpsd.storage.disk.walk import Place
from ftpsd.storage.uploads.origin import stored_origin

# The partials that the sweep may remove. Other names with our prefix are hidden but not ours to delete.
PARTIAL_NAME = re.compile(rf"{re.escape(RESERVED_PREFIX)}[0-9a-f]{{16}}-(?:[0-9a-f]{{32}}|r[0-9a-f]{{32}})")

# Those among them that no owner finds again.
RANDOM_NAME = re.compile(rf"{re.escape(RESERVED_PREFIX)}[0-9a-f]{{16}}-r[0-9a-f]{{32}}")

_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def owner_prefix(owner: str) -> str:
    """Return how the names of all partials of *owner* begin."""
    return f"{RESERVED_PREFIX}{_digest(owner.encode('utf-8', 'surrogateescape'), 8)}-"


def partial_name(owner: str, target: bytes) -> bytes:
    """Return the name under which *owner* finds the partial of *target* again."""
    return (owner_prefix(owner) + _digest(target, 16)).encode()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A partial that its owner finds, as it was when it was looked at."""

    name: bytes
    status: os.stat_result
    origin: bytes | None  # see origin.py
    length: int  # bytes of its user that can be gone on from

    @property
    def is_nothing(self) -> bool:
        """Return whether it holds no bytes and no mark; where locks are missing claim_partial leaves such."""
        return not self.status.st_size and self.origin is None

    def is_held(self, target: Place) -> bool:
        """Return whether an upload is at work in it."""
        try:
            fd = os.open(self.name, _LOOK, dir_fd=target.fd)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # let go with the descriptor
        except BlockingIOError:
            return True
        except OSError:  # locks are missing
            return False
        finally:
            os.close(fd)
        return False


def look_at_partial(target: Place, owner: str, keep: float, content: Content = PLAIN) -> Unfinished | None:
    """Describe the partial of *owner* for *target*, be it empty; None when none can be resumed within *keep* s."""
    name = partial_name(owner, target.name)
    try:
        fd = os.open(name, _LOOK, dir_fd=target.fd)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if not is_fresh(status, keep) or not is_ours(status):
            return None
        return Unfinished(name, status, stored_origin(fd), content.sound(fd, status))
    finally:
        os.close(fd)


def find_partial(target: Place, owner: str, keep: float, content: Content = PLAIN) -> Unfinished | None:
    """
    Describe the partial of *owner* for a *target* that is not published, None when none can be resumed.

    One that was to replace a file, which is gone now, is none: the next upload under that name is another one.
    """
    found = look_at_partial(target, owner, keep, content)
    return found if found is not None and found.length and found.origin is None else None


def is_fresh(status: os.stat_result, keep: float) -> bool:
    """Return whether a partial may still be resumed when partials are kept for *keep* seconds."""
    return time.time() - status.st_mtime < keep


def is_ours(status: os.stat_result) -> bool:
    # Another user's file under our name could be changed by its owner after we published it.
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.geteuid()


def _digest(data: bytes, size: int) -> str:
    return hashlib.blake2b(data, digest_size=size).hexdigest()
