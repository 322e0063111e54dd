"""
The audit log in systemd's journal, by its native protocol: one datagram an event, its fields beside the text.

    journalctl -u ftpsd FTPSD_USER=alice FTPSD_EVENT=file-stored

Fields are named after those of the JSON lines, with FTPSD_ in front: https://systemd.io/JOURNAL_NATIVE_PROTOCOL.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from ftpsd.audit.audit_log import AuditLog
from ftpsd.audit.events import Event
from ftpsd.audit.journal import ERROR, priority_of
from ftpsd.audit.line_form import fields_of, told

JOURNAL_SOCKET: Final = Path("/run/systemd/journal/socket")
# Seconds that a datagram may wait for a journal that is busy. The queue holds the events meanwhile.
PATIENCE: Final = 5.0


class JournalEntries:
    """The form of entries of the journal."""

    def line(self, event: Event, _seconds: float, /) -> bytes:
        """Return the entry of *event*; the journal has a clock of its own."""
        who = event.who
        fields = [("event", event.event), ("user", who.user or ""), ("peer", who.peer), *fields_of(event)]
        return entry(told(event), priority_of(event), ((name, value) for name, value in fields if value))

    def lost(self, count: int, _seconds: float, /) -> bytes:
        """Return the entry that admits lost ones."""
        return entry(f"audit-lost lost={count}", ERROR, (("event", "audit-lost"), ("lost", str(count))))


def entry(message: str, priority: int, fields: Iterable[tuple[str, str]]) -> bytes:
    """Return a datagram of the native protocol, with *fields* by the names of JSON lines."""
    known = (("MESSAGE", message), ("PRIORITY", str(priority)), ("SYSLOG_IDENTIFIER", "ftpsd"))
    own = ((f"FTPSD_{name.upper()}", value) for name, value in fields)
    return b"".join(_field(name, value) for name, value in (*known, *own))


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")
    if "\n" in value:
        return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
    return f"{name}=".encode() + data + b"\n"


class JournalLog(AuditLog):
    """A writer of events to the journal at *path*. The options are those of `AuditLog`."""

    def __init__(self, path: Path = JOURNAL_SOCKET, **options: Any) -> None:
        super().__init__(path, form=JournalEntries(), **options)
        self._path = path
        self._socket: socket.socket | None = None

    def _open(self) -> int:
        # Not connected: a journal that was started anew has another socket under the same name.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(PATIENCE)
        if not self._path.exists():
            self._close()
            raise FileNotFoundError(2, os.strerror(2), str(self._path))
        return self._socket.fileno()

    def _write(self, events: list[bytes], *, is_last: bool = False) -> None:
        unannounced = self.lost - self._announced
        if unannounced and self._sent(self._form.lost(unannounced, time.time())) is None:
            self._announced += unannounced
        for number, datagram in enumerate(events):
            problem = self._sent(datagram)
            if problem is not None:
                # Those behind it would wait as long each.
                self._lose(len(events) - number, problem)
                return

    def _sent(self, datagram: bytes) -> str | None:
        """Send *datagram*; return why that could not be done."""
        assert self._socket is not None
        try:
            self._socket.sendto(datagram, str(self._path))
        except OSError as error:
            return error.strerror or type(error).__name__
        return None

    def _reopen(self) -> None:
        """Nothing moves a journal away."""

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
