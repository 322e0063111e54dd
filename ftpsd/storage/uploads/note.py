"""
The note of a gate with a file that it has taken: some bytes in an extended attribute, which follow the file.

The gate says in them which bytes they are about, by their SHA-256. Where a file system has no attributes, or no room in
them, there is no note.
"""

from __future__ import annotations

import os
from contextlib import suppress

from ftpsd.storage.disk.content import PLAIN, Content

ATTRIBUTE = "user.ftpsd.verdict"
# Bytes: ext4 has 4 KiB for all attributes of a file, and in an encrypted tree a note takes twice its length.
MOST_NOTED = 1200


def keep_note(fd: int, note: bytes, content: Content = PLAIN) -> None:
    """Keep *note* with the open file *fd*, nothing for none."""
    with suppress(OSError, AttributeError):
        if note and len(note) <= MOST_NOTED:
            os.setxattr(fd, ATTRIBUTE, content.conceal(fd, note))
        else:
            os.removexattr(fd, ATTRIBUTE)


def stored_note(fd: int, content: Content = PLAIN) -> bytes:
    """Return the note kept with the open file *fd*, nothing where there is none."""
    try:
        return content.reveal(fd, os.getxattr(fd, ATTRIBUTE))
    except (OSError, AttributeError):
        return b""
