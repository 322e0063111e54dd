"""
Penalties that hold for all processes of a server (control/gate/bans.py): their tables in memory that all share.

Failures of a client add up whichever process serves it, those before and behind an upgrade, too, and a ban outlives the
process that has pronounced it.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ftpsd.control.gate.arrivals import Arrivals
from ftpsd.control.gate.bans import GrowingPenalties
from ftpsd.control.gate.offences import REASONS
from ftpsd.control.gate.record_table import RecordTable
from ftpsd.durable.byte_lock import ByteLock, nameless_file

# The form of both tables, and what their numbers mean: an upgrade leaves them to a version with the same.
FORM: Final = f"{RecordTable.FORM};{Arrivals.FORM};{','.join(REASONS)}"


def penalty_files() -> tuple[int, int]:
    """Return the descriptors of new tables: of records, and of arrivals."""
    records, arrivals = nameless_file(RecordTable.size_of()), nameless_file(Arrivals.size_of())
    with mmap.mmap(records, 0) as memory:
        RecordTable.prepare(memory)
    with mmap.mmap(arrivals, 0) as memory:
        Arrivals.prepare(memory)
    return records, arrivals


def shared_penalties(records: int, arrivals: int, clock: IReactorTime) -> GrowingPenalties:
    """Return the penalties in the tables with these descriptors, as one process sees them."""
    return GrowingPenalties(
        RecordTable(_memory(records), ByteLock(records, 0)),
        Arrivals(_memory(arrivals), ByteLock(arrivals, 0)),
        clock,
    )


def _memory(fd: int) -> mmap.mmap:
    return mmap.mmap(fd, os.fstat(fd).st_size)
