"""
Origins: over which published file an unfinished upload was begun, kept with its partial.

An interrupted upload is resumed later, perhaps by another process. By then the file it was to replace may be another
one, or gone, and "the first n bytes" of the client may be those of any of them. A partial is resumed only over the very
file it was begun over.

The origin is kept in an extended attribute. Where there are none, it is not known, and such a partial is gone on with
only where no file is published under its name.

A new version that was refused for want of room leaves no partial, for that would take room. Its mark is kept with the
file it was to replace: which unfinished upload there was, and when.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from ftpsd.storage.disk.names import RESERVED_PREFIX

ATTRIBUTE = "user.ftpsd.origin"
_REFUSED = "user.ftpsd.refused."
_OWNER = slice(len(RESERVED_PREFIX), len(RESERVED_PREFIX) + 16)


def origin_of(published: os.stat_result | None) -> bytes | None:
    """Return the identity of the file that an upload is to replace; None is none."""
    if published is None:
        return None
    # Without ctime, which is another after CHMOD and whenever a digest is kept; without st_dev, which may be another
    # after a restart of the machine.
    return b"%d %d %d" % (published.st_ino, published.st_size, published.st_mtime_ns)


def stored_origin(fd: int) -> bytes | None:
    """Return the origin kept with the open file *fd*, None when it is none or not known."""
    try:
        return os.getxattr(fd, ATTRIBUTE)
    except (OSError, AttributeError):  # none kept, or a system without attributes
        return None


def keep_origin(fd: int, origin: bytes | None) -> None:
    """Keep *origin* with the open file *fd*, as far as the file system can."""
    with suppress(OSError, AttributeError):
        if origin is None:
            os.removexattr(fd, ATTRIBUTE)
        else:
            os.setxattr(fd, ATTRIBUTE, origin)


def note_refusal(published: int, partial: bytes) -> bool:
    """Note with the open file *published* that its new version *partial* was refused; return whether it could."""
    try:
        os.setxattr(published, _refused_by(partial), b"%s %d" % (partial, time.time()))
    except (OSError, AttributeError):
        return False
    return True


def is_refusal_noted(published: int, partial: bytes, keep: float) -> bool:
    """Return whether the new version *partial* of the open file *published* was refused within *keep* seconds."""
    try:
        name, when = os.getxattr(published, _refused_by(partial)).split()
        return name == partial and 0 <= time.time() - int(when) < keep  # another name: the file was renamed since
    except (OSError, AttributeError, ValueError):
        return False


def _refused_by(partial: bytes) -> str:
    # One for each owner, whose mark is in the name of the partial.
    return _REFUSED + partial[_OWNER].decode()
