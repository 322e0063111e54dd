"""The breaker of a server: when it is left alone, and when it is asked again."""

from __future__ import annotations

from twisted.internet.task import Clock

from ftpsd.auth.sources.breaker import FAILURES, LONGEST_PAUSE, PAUSE, Breaker


def broken() -> tuple[Clock, Breaker]:
    """Return a breaker that has just opened."""
    clock = Clock()
    breaker = Breaker(clock)
    said = []
    for _ in range(FAILURES):
        assert breaker.may_ask()
        said.append(breaker.failed())
    assert said == [False] * (FAILURES - 1) + [True]
    return clock, breaker


def test_answers_between_failures() -> None:
    """Only silence in a row counts."""
    breaker = Breaker(Clock())
    for _ in range(FAILURES * 3):
        assert breaker.may_ask()
        breaker.failed()
        assert breaker.may_ask()
        assert not breaker.answered()
    assert not breaker.is_open


def test_one_question_is_let_through() -> None:
    """When the pause is over, and no second beside it."""
    clock, breaker = broken()
    assert not breaker.may_ask()
    clock.advance(PAUSE)
    assert [breaker.may_ask() for _ in range(3)] == [True, False, False]
    assert breaker.answered()
    assert breaker.may_ask()


def test_pauses_grow() -> None:
    """Twice as long each time, up to a maximum; and an answer ends that."""
    clock, breaker = broken()
    pause = PAUSE
    for _ in range(10):
        clock.advance(pause)
        assert breaker.may_ask()
        assert not breaker.failed()
        pause = min(LONGEST_PAUSE, pause * 2)
        clock.advance(pause - 0.5)
        assert not breaker.may_ask()
        clock.advance(-(pause - 0.5))
    clock.advance(pause)
    assert breaker.may_ask()
    breaker.answered()
    for _ in range(FAILURES):
        breaker.failed()
    clock.advance(PAUSE)
    assert breaker.may_ask()


def test_a_question_that_is_given_up() -> None:
    """It says nothing, and the next one may be asked."""
    clock, breaker = broken()
    clock.advance(PAUSE)
    assert breaker.may_ask()
    breaker.left()
    assert breaker.may_ask()


def test_failures_from_before_the_pause() -> None:
    """Questions that were under way when it began make it no longer."""
    clock, breaker = broken()
    for _ in range(10):
        assert not breaker.failed()
    clock.advance(PAUSE)
    assert breaker.may_ask()
