"""
The budgets of one connection: before others have their turn, and before its login.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

# Commands of one connection in a turn of the reactor. A turn costs 20 us, a NOOP with its line in the log 80: 45
# connections that send as fast as they can hold a turn up for 20 ms, and one that pipelines (lftp) notices nothing.
COMMANDS_PER_TURN = 5
# Commands of a session that does not log in. Clients send up to ten (AUTH, PBSZ, PROT, FEAT, CLNT, OPTS, HOST), and
# some more where a user tries several passwords.
MOST_BEFORE_LOGIN = 100
# So many of these are logged; the others are only counted.
LOGGED_BEFORE_LOGIN = 20


class TurnBudget:
    """The commands of one connection in this turn; *go_on* is called in the next when there was not enough."""

    def __init__(self, clock: IReactorTime, go_on: Callable[[], None]) -> None:
        self._clock = clock
        self._go_on = go_on
        self._left = COMMANDS_PER_TURN
        self._pause: IDelayedCall | None = None

    def renew(self) -> None:
        """Begin a turn: the connection is read once in each, and nothing of an earlier one waits."""
        if self._pause is None:
            self._left = COMMANDS_PER_TURN

    def take(self) -> bool:
        """Take one command out of the budget; False: not in this turn."""
        if self._left == 0:
            if self._pause is None:
                self._pause = self._clock.callLater(0, self._next_turn)
            return False
        self._left -= 1
        return True

    def stop(self) -> None:
        """Call nothing any more."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _next_turn(self) -> None:
        self._pause = None
        self._left = COMMANDS_PER_TURN
        self._go_on()


class BeforeLogin:
    """The number of commands that a session has sent without a login, and of those left out of the audit log."""

    def __init__(self) -> None:
        self.unlogged = 0
        self._count = 0

    @property
    def is_spent(self) -> bool:
        """Whether it has sent enough."""
        return self._count >= MOST_BEFORE_LOGIN

    def note(self) -> bool:
        """Count one; False: it is left out of the audit log."""
        self._count += 1
        if self._count > LOGGED_BEFORE_LOGIN:
            self.unlogged += 1
            return False
        return True

    def logged_in(self) -> None:
        """Begin anew: after REIN the session may log in once more."""
        self._count = 0
