"""Penalties: what the gate in front of every session, the audit bus and an operator rely on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
from twisted.internet.task import Clock

from ftpsd.audit.events import ConnectionRejected, Event, LoginRefused, Who
from ftpsd.control.gate.arrivals import Arrivals, own_arrivals
from ftpsd.control.gate.bans import GrowingPenalties
from ftpsd.control.gate.penalties import BANNED, NO_PENALTIES, Penalties
from ftpsd.control.gate.penalty_tables import penalty_files, shared_penalties
from ftpsd.control.gate.record_table import RecordTable, own_table
from ftpsd.control.state.limits import REJECTIONS


def of_one_process() -> Penalties:
    """Return those in memory."""
    clock = Clock()
    clock.advance(1000)
    return GrowingPenalties(RecordTable(own_table(), nullcontext()), Arrivals(own_arrivals(), nullcontext()), clock)


def of_several() -> Penalties:
    """Return those of one of several processes."""
    clock = Clock()
    clock.advance(1000)
    return shared_penalties(*penalty_files(), clock)


KINDS: dict[str, Callable[[], Penalties]] = {
    "none": lambda: NO_PENALTIES,
    "growing": of_one_process,
    "shared": of_several,
}
ADDRESSES = ["192.0.2.1", "2001:db8::1", "unix", ""]


@pytest.fixture(params=KINDS)
def penalties(request: pytest.FixtureRequest) -> Penalties:
    """Penalties of every kind, to which nothing has happened yet."""
    return KINDS[request.param]()


def of(address: str) -> Who:
    """Return a client at *address*."""
    return Who("00", None, address, "explicit:21")


@pytest.mark.parametrize("address", ADDRESSES)
def test_nobody_is_banned_for_nothing(penalties: Penalties, address: str) -> None:
    """The answer is the same whatever the address looks like."""
    assert (penalties.refusal(address), penalties.bans(), penalties.lift(address)) == (None, [], False)


@pytest.mark.parametrize("address", ADDRESSES)
def test_refusals_at_the_gate_weigh_nothing(penalties: Penalties, address: str) -> None:
    """A client that tries again while it is banned does not make the ban longer for ever."""
    for second in range(1000):
        penalties.note(ConnectionRejected(of(address), BANNED), float(second))
    assert (penalties.refusal(address), penalties.bans()) == (None, [])


def test_a_refusal_and_the_list_say_the_same(penalties: Penalties) -> None:
    """Whether or not failures lead to a ban: it is in the list, has words for the client, and can be lifted once."""
    failed: Event = LoginRefused(of("192.0.2.1"), "password", "alice", "wrong password", 0.1)
    for second in range(1000):
        penalties.note(failed, float(second))
    reason = penalties.refusal("192.0.2.1")
    assert [ban.client for ban in penalties.bans()] == ([] if reason is None else ["192.0.2.1"])
    assert reason is None or reason in REJECTIONS
    assert penalties.lift("192.0.2.1") == (reason is not None)
    assert (penalties.refusal("192.0.2.1"), penalties.bans()) == (None, [])
    assert not penalties.lift("192.0.2.1")
