"""
The share of one process in the server: all of it when it serves alone, a part when it is one of several.

`Share.alone` is the default; processes/member.py makes the share of one of several.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from ftpsd.auth.hashing.passwords import VerifiedCache
from ftpsd.config.model import Config
from ftpsd.config.units import PortRange
from ftpsd.control.gate.arrivals import Arrivals, own_arrivals
from ftpsd.control.gate.bans import GrowingPenalties
from ftpsd.control.gate.penalty_tables import shared_penalties
from ftpsd.control.gate.record_table import RecordTable, own_table
from ftpsd.control.state.limits import Counts, Rates, SessionCounts, UserRates
from ftpsd.durable.byte_lock import LOCK_AUDIT, LOCK_TURNS, ByteLock
from ftpsd.durable.store import Store
from ftpsd.storage.disk.turns import LOCKS, MAKING, REPLACING
from ftpsd.storage.quota.register import QuotaAccounts


class Duty(Enum):
    """A task that is done once for the whole server."""

    SWEEP = "remove abandoned uploads"
    SHIP = "send the audit log to its receivers"
    RENEW = "look for renewed certificates"
    DELIVER = "deliver events to their sinks"
    TELL = "tell operator, systemd and audit log what happens to the server as a whole; answer metrics and health"


@dataclass(frozen=True, slots=True)
class Share:
    """
    The part of one process of *processes*: its passive *ports*, its limits, its memory of passwords, its *penalties*
    and *duties*, and its own way to the *state* file.

    *audit_turn* is held to write a line of the audit log. *turns* is the file with the locks for that and for changes
    of names, which all processes have that serve the same trees, those before and behind an upgrade, too. They have the
    files of *penalty_tables*, too.
    """

    processes: int
    ports: PortRange
    counts: Counts
    rates: Rates
    accounts: QuotaAccounts
    verified: VerifiedCache
    audit_turn: AbstractContextManager[object]
    duties: frozenset[Duty]
    penalties: GrowingPenalties
    state: Store
    turns: int | None = None
    penalty_tables: tuple[int, int] | None = None

    @classmethod
    def alone(
        cls, config: Config, reactor: Any, turns: int | None = None, tables: tuple[int, int] | None = None
    ) -> Share:
        """Return the share of a process that is the whole server; its penalties are in the *tables*, or its own."""
        if tables is None:
            records, arrivals = RecordTable(own_table(), nullcontext()), Arrivals(own_arrivals(), nullcontext())
            penalties = GrowingPenalties(records, arrivals, reactor)
        else:
            penalties = shared_penalties(*tables, reactor)
        return cls(
            processes=1,
            ports=config.passive.ports,
            counts=SessionCounts(),
            rates=UserRates(reactor),
            accounts=QuotaAccounts(),
            verified=VerifiedCache(reactor),
            audit_turn=nullcontext() if turns is None else ByteLock(turns, LOCK_AUDIT),
            duties=frozenset(Duty),
            penalties=penalties,
            state=Store(config.state, reactor.callFromThread),
            turns=turns,
            penalty_tables=tables,
        )


def share_turns(turns: int) -> None:
    """Take the turns of this process by the locks in the file *turns*, before the first storage is opened."""
    for first, taken in ((LOCK_TURNS, REPLACING), (LOCK_TURNS + LOCKS, MAKING)):
        taken.share(partial(_turn, turns, first))


def _turn(turns: int, first: int, number: int) -> ByteLock:
    return ByteLock(turns, first + number)
