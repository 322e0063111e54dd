"""Bandwidth limits: buckets, and what sessions of one user share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from ftpsd.control.state.limits import UserRates
from ftpsd.data.carry.pace import BURST, LEAST, NO_LIMIT, UNLIMITED, Bucket, Pace
from ftpsd.values.direction import Direction


def test_no_limit_never_pauses() -> None:
    """Without a bucket everything may move at once."""
    assert NO_LIMIT.spend(1 << 40) == 0.0
    assert NO_LIMIT.allowance() == UNLIMITED


def test_a_second_of_bytes_pauses_a_second() -> None:
    """Bytes that were moved too soon are waited for."""
    bucket = Bucket(1000, Clock())
    bucket.spend(1000)
    assert bucket.pause() == pytest.approx(1.0)


def test_a_pause_passes() -> None:
    """After the pause the next bytes may move."""
    clock = Clock()
    bucket = Bucket(1000, clock)
    bucket.spend(1000)
    clock.advance(bucket.pause())
    assert bucket.pause() == 0.0


@given(st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 10)), min_size=1, max_size=30))
def test_no_sequence_beats_the_rate(moves: list[tuple[int, float]]) -> None:
    """However a client pauses: who waits as told never moves more than the rate, a burst and one quantum."""
    clock = Clock()
    pace = Pace(Bucket(1000, clock))
    moved = 0
    for count, idle in moves:
        moved += count
        clock.advance(pace.spend(count) + idle)
        assert moved <= 1000 * (clock.seconds() + BURST) + 1e-6


def test_silence_is_made_up_for_a_moment_only() -> None:
    """An hour of silence does not let an hour's worth pass at once."""
    clock = Clock()
    bucket = Bucket(1000, clock)
    clock.advance(3600)
    bucket.spend(1000)
    assert bucket.pause() == pytest.approx(1.0 - BURST)


def test_the_narrowest_bucket_decides() -> None:
    """A session is held by its own limit and by that of its user."""
    clock = Clock()
    pace = Pace(Bucket(1000, clock), Bucket(100, clock))
    assert pace.spend(100) == pytest.approx(1.0)


def test_a_quantum_is_a_tenth_of_a_second() -> None:
    """The allowance makes a limit smooth."""
    assert Pace(Bucket(1_000_000, Clock())).allowance() == 100_000


def test_a_quantum_is_worth_its_work() -> None:
    """A very low rate still moves a few kilobytes at a time."""
    assert Pace(Bucket(10, Clock())).allowance() == LEAST


def moved_in(seconds: float, clock: Clock, paces: list[Pace], rate: float) -> int:
    """
    Return what sessions move on a fast line when each does as its pace says: a quantum, then the pause.

    All of a moment move before any of them is told to pause, as in the pool of workers. *rate* is that of the line.
    """
    moved = 0
    due = [0.0] * len(paces)
    while (now := min(due)) < seconds:
        clock.advance(now - clock.seconds())
        ready = [number for number, when in enumerate(due) if when <= now]
        quanta = {number: paces[number].allowance() for number in ready}
        for number, quantum in quanta.items():
            moved += quantum
            due[number] = now + max(paces[number].spend(quantum), quantum / rate)
    return moved


@pytest.mark.parametrize("sessions", [1, 2, 4, 20])
@pytest.mark.parametrize("rate", [1 << 20, 10 << 20, 1 << 30])
def test_a_shared_limit_holds_within_five_percent(sessions: int, rate: int) -> None:
    """Ten seconds at full speed, neither more nor less, however many sessions a user has at work."""
    clock = Clock()
    rates = UserRates(clock)
    paces = [rates.pace("alice", Direction.DOWNLOAD, rate, None) for _ in range(sessions)]
    assert moved_in(10, clock, paces, rate * 100.0) == pytest.approx(10 * rate, rel=0.05)


@pytest.mark.parametrize("rate", [100_000, 1 << 20, 1 << 30])
def test_a_limit_of_a_session_holds_within_five_percent(rate: int) -> None:
    """The same for each session by itself, beside a wider limit of the user."""
    clock = Clock()
    rates = UserRates(clock)
    paces = [rates.pace("alice", Direction.DOWNLOAD, rate * 100, rate) for _ in range(3)]
    assert moved_in(10, clock, paces, rate * 100.0) == pytest.approx(3 * 10 * rate, rel=0.05)
