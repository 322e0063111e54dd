"""
Priorities for systemd's journal: the mark in front of a line.

The journal takes a line that begins with `<3>` as an error and keeps the number to itself (sd-daemon(3),
SyslogLevelPrefix=); in a file or terminal it would be noise, so it is written only where JOURNAL_STREAM names the very
stream that is written to (systemd.exec(5)).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from ftpsd.audit.events import Event
from ftpsd.values.direction import Result

CRITICAL, ERROR, WARNING, NOTICE, INFO, DEBUG = range(2, 8)
# An act of a client is information; a refusal is a notice, as for sshd; a fault that the operator must mend is more.
PRIORITIES = {
    "connection-rejected": NOTICE,
    "tls-failed": NOTICE,
    "login-refused": NOTICE,
    "banned": NOTICE,
    "unbanned": NOTICE,
    "data-connection-refused": NOTICE,
    "quota-exceeded": NOTICE,
    "passive-exhausted": WARNING,
    "storage-failed": ERROR,
    "reload-failed": ERROR,
    "certificate-out-of-date": ERROR,
}


def leads_to_journal(descriptor: int, environ: Mapping[str, str] | None = None) -> bool:
    """Return whether *descriptor* is the stream that systemd has connected to the journal."""
    try:
        device, inode = map(int, (os.environ if environ is None else environ)["JOURNAL_STREAM"].split(":"))
        status = os.fstat(descriptor)
    except (KeyError, ValueError, OSError):
        return False
    return (status.st_dev, status.st_ino) == (device, inode)


def priority_of(event: Event) -> int:
    """Return the priority of *event*."""
    if getattr(event, "result", None) is Result.FAILED:
        return WARNING
    return PRIORITIES.get(event.event, INFO)


def marked(text: str, priority: int) -> str:
    """Return *text*, each of its lines with its *priority* in front; the last line end is not followed by a mark."""
    mark = f"<{priority}>"
    return "".join(mark + line for line in text.splitlines(keepends=True))
