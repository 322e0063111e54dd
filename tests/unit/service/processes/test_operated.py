"""The answers of several processes, put together; also where one of them hangs."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, TimeoutError

from ftpsd.processes.operated import SeveralProcesses


class FakeChild:
    """A process with ready *answers*; without them it hangs, or whatever *failure* says."""

    def __init__(self, index: int, answers: dict[str, Any] | None, failure: type[Exception] = TimeoutError) -> None:
        self._failure = failure
        self.index = index
        self.name = f"process {index + 1}"
        self.asked: list[tuple[str, dict[str, object]]] = []
        self._answers = answers

    def ask(self, question: str, seconds: float, **arguments: object) -> Deferred[Any]:
        self.asked.append((question, arguments))
        return fail(self._failure()) if self._answers is None else succeed(self._answers[question])


class FakeSupervisor:
    """A supervisor of *children* that does nothing."""

    is_stopping = is_ending = False

    def __init__(self, *children: FakeChild) -> None:
        self.children = children
        self.bus = self

    def subscribe(self, sink: object, *kinds: type) -> None:
        """Publish nothing."""

    def ready_children(self) -> list[FakeChild]:
        return list(self.children)


def child(index: int, *seconds: float) -> FakeChild:
    """A process with a session of each age."""
    sessions = [{"session": f"{index}-{age:g}", "seconds": age} for age in seconds]
    return FakeChild(
        index,
        {
            "sessions": {"sessions": sessions, "total": len(sessions), "missing": []},
            "progress": {"sessions": len(sessions), "transfers": 1},
            "kick": {"ended": len(sessions), "hosts": [f"h{index}", ""]},
        },
    )


def answer(asked: Deferred[dict[str, Any]]) -> dict[str, Any]:
    """Return the answer, which must be there."""
    found: list[dict[str, Any]] = []
    asked.addCallback(found.append)
    return found[0]


def of(*children: FakeChild) -> SeveralProcesses:
    return SeveralProcesses(cast(Any, FakeSupervisor(*children)))


def test_sessions_of_all_are_in_one_order() -> None:
    """The oldest first, each with its process."""
    told = answer(of(child(0, 30, 10), child(1, 20)).who())
    assert [(each["session"], each["process"]) for each in told["sessions"]] == [("0-30", 1), ("1-20", 2), ("0-10", 1)]
    assert (told["total"], told["missing"]) == (3, [])


def test_numbers_are_added_up() -> None:
    """Of sessions, transfers and those that were ended; every process is asked for the same."""
    children = child(0, 1, 2), child(1, 3)
    several = of(*children)
    assert answer(several.progress()) == {"sessions": 3, "transfers": 2, "is_stopping": False, "missing": []}
    assert answer(several.kick(None, "alice", "")) == {"ended": 3, "hosts": ["", "h0", "h1"], "missing": []}
    asked = ("kick", {"session": None, "user": "alice", "host": ""})
    assert [each.asked[-1] for each in children] == [asked, asked]


def test_a_process_that_hangs_is_named() -> None:
    """The others are answered for all the same, and so is a server without any process."""
    told = answer(of(child(0, 1), FakeChild(1, None)).who())
    assert ([each["session"] for each in told["sessions"]], told["missing"]) == (["0-1"], ["process 2"])
    assert answer(of().who()) == {"sessions": [], "total": 0, "missing": []}


def test_a_process_that_has_ended_is_named_while_the_server_serves() -> None:
    """Sessions are lost with it then; where all end, so do those of each."""
    supervisor = FakeSupervisor(child(0, 1), FakeChild(1, None, ConnectionDone))
    several = SeveralProcesses(cast(Any, supervisor))
    assert answer(several.progress())["missing"] == ["process 2"]
    supervisor.is_ending = True
    assert answer(several.progress()) == {"sessions": 1, "transfers": 1, "is_stopping": False, "missing": []}
