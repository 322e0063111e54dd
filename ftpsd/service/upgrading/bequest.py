"""
What a process that serves leaves to its successor: open sockets and a lock file, as numbers in its environment.

    Bequest.received()  ->  None in a server that was started by itself

The two processes may be of different versions, so the form only grows: a field that is not known is left alone, and one
that is missing has a default.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import MutableMapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from ftpsd.control.gate.penalty_tables import FORM

VARIABLE: Final = "FTPSD_BEQUEST"
# Processes before the present one that may still have sessions: each holds memory and some passive ports.
MOST_BEFORE: Final = 3


@dataclass(frozen=True, slots=True)
class Bequest:
    """
    The descriptors for a successor.

    *link* is the socket over which both speak (service/orders.py), *sockets* are those that listen for clients and for
    metrics. *named* are those of them that systemd has opened, by name. *control* listens for orders at the path
    *control_path*, and *control_lock* is the lock beside it. *turns* is the file whose bytes are the locks of all
    processes that serve the same trees. *before* counts the processes that still have sessions, the giver among them.
    *penalties* are the tables of what clients have done, in the form *penalties_form*.
    """

    link: int
    turns: int
    sockets: tuple[int, ...] = ()
    named: tuple[tuple[str, int], ...] = ()
    control: int | None = None
    control_lock: int | None = None
    control_path: str = ""
    before: int = 1
    version: str = ""
    penalties: tuple[int, ...] = ()
    penalties_form: str = ""

    @classmethod
    def received(cls, environ: MutableMapping[str, str] = os.environ) -> Bequest | None:
        """Take what this process was left, for itself: its own children inherit nothing of it by accident."""
        text = environ.pop(VARIABLE, None)
        if text is None:
            return None
        told = json.loads(text)
        known: dict[str, Any] = {each.name: told[each.name] for each in fields(cls) if each.name in told}
        known["sockets"] = tuple(known.get("sockets", ()))
        known["named"] = tuple((name, number) for name, number in known.get("named", ()))
        known["penalties"] = tuple(known.get("penalties", ()))
        taken = cls(**known)
        for descriptor in taken.descriptors:
            os.set_inheritable(descriptor, False)
        for descriptor in (taken.link, *taken.sockets, *(number for _, number in taken.named)):
            os.set_blocking(descriptor, False)
        return taken

    def to_text(self) -> str:
        """Return the value of the variable."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All of them."""
        of_control = [each for each in (self.control, self.control_lock) if each is not None]
        named = (number for _, number in self.named)
        return (self.link, self.turns, *self.sockets, *named, *of_control, *self.penalties)

    @property
    def penalty_tables(self) -> tuple[int, int] | None:
        """The tables of what clients have done, for both processes; None where this version has others."""
        if len(self.penalties) != 2 or self.penalties_form != FORM:
            return None
        return self.penalties[0], self.penalties[1]

    def listening_at(self, address: str, port: int) -> int | None:
        """Return the socket that listens there; it stays the caller's to close."""
        for descriptor in self.sockets:
            if _place_of(descriptor) == (address, port):
                return descriptor
        return None

    def named_sockets(self) -> dict[str, list[int]]:
        """Return the sockets that systemd has opened, by name."""
        found: dict[str, list[int]] = {}
        for name, number in self.named:
            found.setdefault(name, []).append(number)
        return found

    def tell(self, question: str, **arguments: object) -> None:
        """Tell the giver something before there is a reactor; no answer is read. Never fails."""
        line = json.dumps({"ask": question, "with": arguments, "id": None}, separators=(",", ":")) + "\n"
        try:
            os.set_blocking(self.link, True)
            os.write(self.link, line.encode())
            os.set_blocking(self.link, False)
        except OSError:
            pass  # it has gone, and this process finds that out when it asks


@dataclass(slots=True)
class Passed:
    """The descriptors of a process to be started: each gets the next number behind standard error."""

    numbers: dict[int, int] = field(default_factory=lambda: {number: number for number in range(3)})

    def add(self, descriptor: int) -> int:
        """Return the number that *descriptor* will have."""
        number = len(self.numbers)
        self.numbers[number] = descriptor
        return number


@dataclass(frozen=True, slots=True)
class Estate:
    """What a server has to leave, by its own numbers; the fields are those of `Bequest`."""

    turns: int
    sockets: Sequence[int]
    named: Sequence[tuple[str, int]]
    control: tuple[int, int, Path] | None
    penalties: tuple[int, int] | None = None

    def left(self, link: int, before: int, version: str, passed: Passed) -> Bequest:
        """Return it for a process to which *link* goes, too, with the numbers in *passed*."""
        control = self.control
        return Bequest(
            link=passed.add(link),
            turns=passed.add(self.turns),
            sockets=tuple(map(passed.add, self.sockets)),
            named=tuple((name, passed.add(number)) for name, number in self.named),
            control=None if control is None else passed.add(control[0]),
            control_lock=None if control is None else passed.add(control[1]),
            control_path="" if control is None else str(control[2]),
            before=before,
            version=version,
            penalties=tuple(map(passed.add, self.penalties or ())),
            penalties_form=FORM,
        )


def _place_of(descriptor: int) -> tuple[str, int]:
    with socket.socket(fileno=os.dup(descriptor)) as listening:
        place = listening.getsockname()
    return place[0], place[1]
