"""A client that leaves while a command is at work: nothing of it is a failure of the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from ftpsd.audit.events import Event
from ftpsd.audit.topics.tree_events import StorageFailed
from ftpsd.control.state.session import Session
from ftpsd.control.table import CommandTable, Family, Needs
from ftpsd.storage.base import Kind, StorageError
from ftpsd.wire.reply import Reply
from tests.sessions import ControlClient, clear_server
from tests.workers import QueueingWorkers

COMMANDS = (
    *("LIST", "LIST -la", "LIST file", "LIST *", "NLST", "NLST file", "MLSD", "MLST file", "STAT file", "STAT /"),
    *("RETR file", "STOR new", "APPE file", "STOU", "SIZE file", "MDTM file", "MFMT 20200101000000 file"),
    *("MFF modify=20200101000000; file", "RNFR file", "MKD new", "RMD directory", "DELE file", "CWD directory"),
    *("AVBL", "ALLO 10", "PRET RETR file", "PRET STOR file", "PRET MLSD directory", "HASH file", "XSHA256 file"),
    *("SITE CHMOD 600 file", "SITE UTIME 20200101000000 file", "SITE QUOTA", "SITE CPFR file", "COMB whole file"),
)


@pytest.fixture
def failures() -> Iterator[list[LogEvent]]:
    """The events that the daemon's log has with a traceback."""
    events: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if "log_failure" in event:
            events.append(event)

    observer = cast(ILogObserver, observe)
    globalLogPublisher.addObserver(observer)
    yield events
    globalLogPublisher.removeObserver(observer)


def at_work(line: str) -> tuple[QueueingWorkers, ControlClient]:
    """Return the files pool that holds the first call of *line*, and its client."""
    files = QueueingWorkers()
    server = clear_server(files=files)
    server.memory.put("/file", b"data")
    server.memory.put("/directory/inner", b"data")
    client = server.logged_in()
    client.agree()
    client.send(line)
    return files, client


def leave(line: str, calls: int) -> list[Event]:
    """Let the client of *line* leave after so many *calls* of its command; return the events."""
    files, client = at_work(line)
    for _ in range(calls):
        files.release(1)
    client.hang_up()
    files.release()
    return client.server.events


@pytest.mark.parametrize("calls", range(4))
@pytest.mark.parametrize("line", COMMANDS)
def test_a_client_that_leaves_causes_no_failure(line: str, calls: int, failures: list[LogEvent]) -> None:
    """The log has no traceback and no word of a failed storage, whatever is at work, and however far it has come."""
    events = leave(line, calls)
    assert failures == []
    assert [event for event in events if isinstance(event, StorageFailed)] == []


@pytest.mark.parametrize("does_leave", [False, True])
def test_files_that_are_closed_are_no_broken_disk(does_leave: bool) -> None:
    """A file found closed by a worker, because the session has ended, is not told as a failure of the storage."""
    waiting: Deferred[None] = Deferred()
    family = Family("test")

    @family.command("LOOK", needs=Needs.NOTHING, rfc="none")
    async def look(session: Session, argument: str) -> Reply:
        """Look for a file."""
        await waiting
        raise StorageError(Kind.IO)

    server = clear_server(table=CommandTable([family]))
    client = server.connect()
    client.send("LOOK")
    if does_leave:
        client.hang_up()
    waiting.callback(None)
    assert len(server.published(StorageFailed)) == (0 if does_leave else 1)
