"""
One death for many clients: each is held before a system call of its own, and then the daemon dies for all of them.

A life of a daemon costs as much as ten operations. A call that is held has not been made, so that the disk is as if
the process had died before it, whoever else is held at the time.
"""

from __future__ import annotations

import ftplib
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Thread

from tests.reliability.faults import CHANGING
from tests.reliability.mortal import MortalDaemon

DEAD = (OSError, EOFError, ssl.SSLError, ftplib.Error)
# Workers for all that are held at once.
MANY_WORKERS = {"files": 64, "transfer": 64}
# Deaths of one operation in one life, and lives: as many calls are tried, which is more than any operation makes.
AT_ONCE, LIVES = 4, 8
TRIED = AT_ONCE * LIVES


@dataclass(frozen=True, slots=True)
class Fate:
    """The *call* that was held, "" where the operation got through, and the *answer* that the client has read."""

    call: str
    answer: str

    @property
    def is_done(self) -> bool:
        """Whether the client was told that all went well."""
        return self.answer.startswith("2")


@dataclass(slots=True)
class Course:
    """The deaths of one operation: before each of its calls, in `LIVES` lives of the daemon."""

    name: str
    over: int = TRIED + 1
    """A number of a call that it got through without."""
    deaths: int = 0

    def calls(self, life: int) -> range:
        """Return before which calls it is to die in the *life*, of which the first is 1."""
        return range(life, self.over, LIVES)

    def note(self, at: int, fate: Fate) -> None:
        """Note what became of a death before the call *at*."""
        if fate.call:
            self.deaths += 1
        else:
            self.over = min(self.over, at)

    def check(self, least: int = 2) -> None:
        """See that it died before every call, and got through in the end."""
        print(f"{self.name}: {self.deaths} deaths")
        assert self.over <= TRIED, f"{self.name} has more calls"
        assert self.deaths >= least, f"the calls of {self.name} are not seen any more"


def die(
    daemon: MortalDaemon, acts: Sequence[tuple[int, Callable[[], str]]], calls: Sequence[str] = CHANGING
) -> list[Fate]:
    """
    Begin each act, hold it before its system call of that number, and kill the daemon when all are held or over.

    The last calls come first: what is held early may have a lock that all of them have to pass. The sessions are to
    stay open until then, as their ends make calls too. A daemon whose acts all got through lives.
    """
    clients = [_Client(act) for _, act in acts]
    held = [""] * len(acts)
    for number in sorted(range(len(acts)), key=lambda number: -acts[number][0]):
        client = clients[number]
        daemon.plan("hold", acts[number][0], calls)
        client.start()
        while client.is_alive() and not daemon.faults:
            client.join(0.005)
        daemon.forget_plan()
        held[number] = "".join(daemon.faults)
    if any(held):
        daemon.sigkill()
    for client in clients:
        client.join()
        if client.problem is not None:
            raise client.problem
    return [Fate(call, client.answer) for call, client in zip(held, clients, strict=True)]


class _Client(Thread):
    """A client that does *act*, and may lose the daemon meanwhile."""

    def __init__(self, act: Callable[[], str]) -> None:
        super().__init__(daemon=True)
        self._act = act
        self.answer = ""
        self.problem: Exception | None = None

    def run(self) -> None:
        """Do it."""
        try:
            self.answer = self._act()
        except DEAD as error:
            self.answer = str(error)
        except Exception as error:
            self.problem = error
