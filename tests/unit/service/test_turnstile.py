"""One at a time, and one more for all who asked meanwhile."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from ftpsd.service.changing.turnstile import Turnstile


class Work:
    """Runs that the test ends, and the results of those who asked."""

    def __init__(self) -> None:
        self.begun: list[Deferred[str]] = []
        self.results: list[str] = []
        self.turnstile = Turnstile(self._begin)

    def _begin(self) -> Deferred[str]:
        run: Deferred[str] = Deferred()
        self.begun.append(run)
        return run

    def ask(self) -> None:
        """Ask for a run."""
        self.turnstile.enter().addCallback(self.results.append)


def test_a_run_begins_at_once() -> None:
    """It is the only one, and its result is that of whoever asked."""
    work = Work()
    work.ask()
    assert (len(work.begun), work.turnstile.is_taken, work.results) == (1, True, [])
    work.begun[0].callback("a")
    assert (len(work.begun), work.turnstile.is_taken, work.results) == (1, False, ["a"])


def test_one_run_follows_for_all_who_asked_meanwhile() -> None:
    """Their result is that of the second, which has seen what they meant; the first has not."""
    work = Work()
    for _ in range(4):
        work.ask()
    assert len(work.begun) == 1
    work.begun[0].callback("a")
    assert (len(work.begun), work.turnstile.is_taken, work.results) == (2, True, ["a"])
    work.begun[1].callback("b")
    assert (len(work.begun), work.turnstile.is_taken, work.results) == (2, False, ["a", "b", "b", "b"])
