"""The endpoint of several processes: how often they are asked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from ftpsd.processes.front import OLD_AT_MOST, Rounds, busiest_client, status_of


class Member:
    """A process that answers when the test says so."""

    def __init__(self) -> None:
        self.is_ready = False
        self.asked: list[Deferred[None]] = []

    def look(self) -> Deferred[None]:
        answer: Deferred[None] = Deferred()
        self.asked.append(answer)
        return answer


def rounds(member: Member, clock: Clock) -> Rounds:
    """Return the rounds of one *member*."""
    children: Any = lambda: [member]  # noqa: E731
    sums: Any = None
    return Rounds(children, sums, clock.seconds)


def test_a_scraper_in_a_loop_does_not_keep_the_processes_busy() -> None:
    """A round of 0.05 s is good for 0.45 s more: a tenth of the time, as for a server of one process."""
    member, clock = Member(), Clock()
    asking = rounds(member, clock)
    asking.refresh()
    clock.advance(0.05)
    member.asked[0].callback(None)
    clock.advance(0.44)
    asking.refresh()
    assert len(member.asked) == 1
    clock.advance(0.02)
    asking.refresh()
    assert len(member.asked) == 2


def test_one_that_hangs_makes_no_old_numbers() -> None:
    """However long a round took, the next is due a second later."""
    member, clock = Member(), Clock()
    asking = rounds(member, clock)
    asking.refresh()
    clock.advance(5)
    member.asked[0].callback(None)
    clock.advance(OLD_AT_MOST)
    asking.refresh()
    assert len(member.asked) == 2


def test_the_ports_of_a_client_are_those_in_all_processes() -> None:
    """The busiest client of the server is not the sum of the busiest of each process."""
    held: tuple[dict[str, int], ...] = ({"192.0.2.1": 5, "192.0.2.2": 4}, {"192.0.2.3": 6, "192.0.2.2": 4}, {})
    children: list[Any] = []
    for number, ports in enumerate(held):
        status = {"passive ports of the busiest client": max(ports.values(), default=0), "sessions": 2}
        children.append(SimpleNamespace(index=number, name=f"process {number}", pid=number, status=status, ports=ports))
    assert busiest_client(children) == 8
    told = status_of(children, {}, lambda _: 2)
    assert (told["passive ports of the busiest client"], told["sessions"]) == (8, 6)
    assert busiest_client([]) == 0
