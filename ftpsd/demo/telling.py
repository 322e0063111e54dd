"""
Events for people: one line for each login, upload, download and refusal. The audit log has the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ftpsd.audit import events
from ftpsd.config.parsing.document import shown
from ftpsd.values.direction import Result

# Their refusals have an event with more to say.
_TOLD_ELSEWHERE = frozenset({"PASS", "RETR", "STOR", "STOU", "APPE", "LIST", "NLST", "MLSD"})
MOST_LETTERS = 200


class Telling:
    """An audit sink that writes lines by *write*, its own time in front, in the local time zone."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def __call__(self, event: events.Event, seconds: float) -> None:
        """Write *event*, if it is one of those that people look for."""
        told = told_of(event)
        if told is None:
            return
        what, result = told
        clock = time.strftime("%H:%M:%S", time.localtime(seconds))
        self._write(f"{clock}  {shown(event.who.user or '-', 20):<10}  {what:<8}  {shown(result, MOST_LETTERS)}")


def told_of(event: events.Event) -> tuple[str, str] | None:
    """Return the deed and its result; None for an event that is left out."""
    match event:
        case events.LoggedIn():
            return "login", f"from {event.who.peer} at {event.who.listener}: done"
        case events.LoginRefused():
            return "login", f"from {event.who.peer} as {event.name}: refused, {event.reason}"
        case events.FileStored():
            return "upload", f"{event.path}: {_transferred(event)}"
        case events.FileSent():
            return "download", f"{event.path}: {_transferred(event)}"
        case events.DirectoryListed() if event.result is not Result.COMPLETE:
            return "list", f"{event.path}: {_transferred(event)}"
        case events.TLSFailed():
            return "TLS", f"from {event.who.peer} at {event.who.listener}: refused, {event.reason}"
        case events.ConnectionRejected():
            return "connect", f"from {event.who.peer}: refused, {event.reason}"
        case events.CommandDone() if event.reason is not None and event.command not in _TOLD_ELSEWHERE:
            return event.command, f"{event.argument}: refused, {event.code} {event.reason}".removeprefix(": ")
        case _:
            return None


def _transferred(event: events.FileStored | events.FileSent | events.DirectoryListed) -> str:
    if event.result is Result.COMPLETE:
        return f"done, {event.bytes:,} bytes in {event.seconds:.2f} s"
    return f"{event.result}, {event.reason or 'no reason given'}"
