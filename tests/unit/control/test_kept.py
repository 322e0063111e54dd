"""The reply behind an upload, a copy or a join waits until the event about it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import pytest
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from ftpsd.audit.events import CommandDone, FileStored
from ftpsd.audit.keeping import NotKept, Occurrence
from ftpsd.audit.topics.tree_events import FileCopied, FileDeleted, FilesCombined
from ftpsd.control.recording import KEEPER_PATIENCE
from ftpsd.control.state.presence import kick_user
from ftpsd.storage.base import StorageError
from ftpsd.values.direction import Result
from tests.keepers import HeldKeeper
from tests.sessions import ControlClient, clear_server

DATA = b"data"
NOT_DONE = "451 Nothing was done: the server cannot keep a record of it now. Try again later."
NOT_KEPT = "451 Stored, but the record of it could not be kept; the operator has been told."


@implementer(ILogObserver)
class Observer:
    """The lines logged."""

    def __init__(self) -> None:
        self.seen: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        self.seen.append(event)


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[LogEvent]]:
    """The lines logged meanwhile."""
    observer = Observer()
    globalLogPublisher.addObserver(observer)
    yield observer.seen
    globalLogPublisher.removeObserver(observer)


@dataclass(frozen=True, slots=True)
class Way:
    """A way to publish a file: what the client sends, the name, what is under it then, the reply, the event."""

    command: str
    name: str
    content: bytes
    reply: str
    event: type[FileStored | FileCopied | FilesCombined]


STORED = "226 Transfer complete."
WAYS = [
    Way("STOR new", "/new", DATA, STORED, FileStored),
    Way("APPE old", "/old", b"old" + DATA, STORED, FileStored),
    Way("SITE CPTO copy", "/copy", b"old", "250 Copied.", FileCopied),
    Way('COMB "all" "part"', "/all", b"part", "250 ", FilesCombined),
]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.command.split()[0])


def sent(keeper: HeldKeeper, way: Way) -> ControlClient:
    """Return a client that has done its part."""
    server = clear_server(keeper=keeper)
    server.memory.put("/old", b"old")
    server.memory.put("/part", b"part")
    client = server.logged_in()
    if way.event is FileStored:
        data = client.connect_data()
        assert client.say(way.command).startswith("150 ")
        data.send_and_close(DATA)
        server.reactor.run_until(lambda: bool(keeper.intended))
    elif way.event is FileCopied:
        assert client.say("SITE CPFR old").startswith("350 ")
        client.send(way.command)
    else:
        client.send(way.command)
    return client


def begun(keeper: HeldKeeper, way: Way) -> ControlClient:
    """Return a client whose file is published, and whose reply waits for *keeper*."""
    client = sent(keeper, way)
    client.server.reactor.run_until(lambda: bool(keeper.given))
    assert client.replies() == ""
    return client


def stored(client: ControlClient, way: Way) -> bytes | None:
    """Return the bytes under the name that is published to, None where there is no file."""
    try:
        return client.server.memory.get(way.name)
    except (KeyError, StorageError):
        return None


@ways
def test_the_reply_waits_until_the_event_is_kept(way: Way) -> None:
    """The file is there, and so is the event for all other sinks; then 226 or 250."""
    keeper = HeldKeeper()
    client = begun(keeper, way)
    assert client.server.memory.get(way.name) == way.content
    (event,) = client.server.published(way.event)
    assert [occurrence.event for occurrence in keeper.given] == [event]
    assert client.replies() == ""
    keeper.release()
    assert client.replies().startswith(way.reply)


@ways
def test_an_operator_ends_the_session_of_a_file_that_is_published(way: Way) -> None:
    """The client reads that its file is stored, and then why there is no more; before, only the second."""
    keeper = HeldKeeper()
    client = begun(keeper, way)
    pi = client.pi
    assert kick_user([pi], "alice", "") == 1
    assert (client.replies(), client.is_closed) == ("", False)
    keeper.release()
    stored, _, goodbye = client.replies().rpartition("\n")
    assert stored.startswith(way.reply)
    assert goodbye == "421 An operator has ended this session."
    assert client.is_closed


@ways
def test_a_file_whose_event_is_not_kept(way: Way, logged: list[LogEvent]) -> None:
    """451 that says the file is stored, which it is; the operator learns why, and the audit log that it was no 226."""
    keeper = HeldKeeper()
    client = begun(keeper, way)
    keeper.fail(OSError("disk on fire"))
    assert client.replies() == NOT_KEPT
    assert client.server.memory.get(way.name) == way.content
    assert "disk on fire" in repr([event.get("log_failure") for event in logged])
    done = client.server.published(CommandDone)[-1]
    assert (done.code, done.reason) == (451, "the event was not kept")
    assert client.say("NOOP") == "200 OK."


@ways
def test_a_keeper_that_does_not_answer(way: Way, logged: list[LogEvent]) -> None:
    """Is waited for for 10 s; what it says behind that changes nothing."""
    keeper = HeldKeeper()
    client = begun(keeper, way)
    client.server.reactor.advance(KEEPER_PATIENCE - 0.1)
    assert client.replies() == ""
    client.server.reactor.advance(0.1)
    assert client.replies() == NOT_KEPT
    keeper.release()
    assert client.replies() == ""
    assert any(event.get("log_failure") for event in logged)


def test_the_parts_of_a_join_are_gone_however_that_ends() -> None:
    """The audit log has each of them."""
    keeper = HeldKeeper()
    client = begun(keeper, WAYS[3])
    keeper.fail(OSError())
    assert [event.path for event in client.server.published(FileDeleted)] == ["/part"]


@ways
def test_a_client_that_has_gone(way: Way) -> None:
    """The event is kept all the same, and nothing is left of the session."""
    keeper = HeldKeeper()
    client = begun(keeper, way)
    client.hang_up()
    keeper.release()
    server = client.server
    assert server.memory.get(way.name) == way.content
    assert (server.sessions, server.reactor.getDelayedCalls()) == (set(), [])


def test_an_abort_behind_the_last_byte_takes_nothing_back() -> None:
    """The upload has come to its end: 226 for it, 226 for ABOR."""
    keeper = HeldKeeper()
    client = begun(keeper, WAYS[0])
    assert client.say("ABOR") == ""
    keeper.release()
    assert [line[:3] for line in client.replies().split("\n")] == ["226", "226"]


def test_other_commands_wait_for_it() -> None:
    """Replies stay in order."""
    keeper = HeldKeeper()
    client = begun(keeper, WAYS[0])
    assert client.say("NOOP") == ""
    keeper.release()
    assert client.replies() == f"{STORED}\n200 OK."


def test_an_upload_that_failed_keeps_nothing() -> None:
    """Its event goes to the other sinks alone: nothing was published."""
    keeper = HeldKeeper()
    server = clear_server(keeper=keeper)
    client = server.logged_in()
    data = client.connect_data()
    client.say("STOR new")
    data.send(DATA)
    client.say("ABOR")
    assert (keeper.given, [event.result for event in server.published(FileStored)]) == ([], [Result.ABORTED])


def test_no_two_ids_are_the_same() -> None:
    """Within a bus they count up; another bus, in another process or after a restart, has another name."""
    given: list[Occurrence] = []
    for _ in range(2):
        keeper = HeldKeeper()
        client = begun(keeper, WAYS[0])
        keeper.release()
        client.replies()
        client.say("SITE CPFR old")
        client.send("SITE CPTO copy")
        given += keeper.given
    names, numbers = zip(*(occurrence.id.split("-") for occurrence in given), strict=True)
    assert (numbers, len(set(names))) == (("1", "2", "1", "2"), 2)


@ways
def test_the_intent_goes_first(way: Way) -> None:
    """Nothing is published before it is safe; it has the event's id, and what tells the file from any other."""
    keeper = HeldKeeper(holds_intents=True)
    client = sent(keeper, way)
    before = b"old" if way.name == "/old" else None
    ((occurrence, trace),) = keeper.intended
    assert (stored(client, way), client.replies()) == (before, "")
    expected = way.name, len(way.content), sha256(way.content).hexdigest()
    assert (trace.place.decode(), trace.size, trace.sha256) == expected
    assert isinstance(occurrence.event, way.event)
    assert occurrence.event.sha256 == trace.sha256
    keeper.release()
    client.server.reactor.run_until(lambda: bool(keeper.given))
    assert stored(client, way) == way.content
    assert [kept.id for kept in keeper.given] == [occurrence.id]
    keeper.release()
    assert client.replies().startswith(way.reply)
    assert keeper.settled == []


@ways
def test_an_intent_that_cannot_be_kept(way: Way, logged: list[LogEvent]) -> None:
    """451, nothing is published, no event tells of it as complete, and the operator learns why."""
    keeper = HeldKeeper(holds_intents=True)
    client = sent(keeper, way)
    keeper.fail(NotKept("the disk is full"))
    assert client.replies() == NOT_DONE
    assert stored(client, way) == (b"old" if way.name == "/old" else None)
    assert (keeper.given, keeper.settled) == ([], [])
    complete = [
        event for event in client.server.published(way.event) if getattr(event, "result", None) != Result.FAILED
    ]
    assert complete == []
    assert "the disk is full" in [event.get("why") for event in logged]
    assert client.say("NOOP") == "200 OK."


def test_a_file_that_cannot_be_published() -> None:
    """The file of an intent is looked at: nobody else knows whether it was done."""
    keeper = HeldKeeper(holds_intents=True)
    client = sent(keeper, WAYS[1])
    ((occurrence, _),) = keeper.intended
    client.server.memory.put("/old", b"another")  # an append goes to the file that it began with
    keeper.release()
    client.server.reactor.run_until(lambda: bool(keeper.settled))
    assert (keeper.settled, keeper.given) == ([occurrence.id], [])
    assert client.replies()[:3] in ("450", "451")
