"""
`python -m bench ledger`: how many uploads a second the ledger of events takes, on the disk of this machine.

Each upload is what the daemon does for one: the intent written down, and then the event in its place, each waited for
until it is on the disk. So many are under way at once; what waits together is one commit.
"""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from ftpsd.audit.bus import AuditBus
from ftpsd.audit.events import FileStored, Who
from ftpsd.config.automation.event_sinks import Events
from ftpsd.durable.store import Store
from ftpsd.events.event_ledger import Ledger
from ftpsd.events.record_tables import last_number
from ftpsd.values.direction import Result
from ftpsd.values.trace import Trace

UPLOADS = 20_000
AT_ONCE = (1, 8, 64, 256)
# The load, in events a second.
WANTED = 2000


def measure_ledger(options: Namespace) -> int:
    """Print the rates; return the exit code, 0 where the best of them is as high as it has to be."""
    from twisted.internet import reactor

    base = options.output.parent if options.output else None
    with tempfile.TemporaryDirectory(dir=base) as folder:
        rates = {each: _rate(reactor, Path(folder) / f"{each}.db", each) for each in AT_ONCE}
    for each, rate in rates.items():
        print(f"{each:4} at once: {rate:7.0f} events/s")
    print(f"asked for: {WANTED} events/s")
    return 0 if max(rates.values()) >= WANTED else 1


def _rate(reactor: Any, path: Path, at_once: int) -> float:
    store = Store(path, reactor.callFromThread)
    store.start()
    ledger = Ledger(store, _NoFiles(), reactor)
    ledger.use(Events())
    bus = AuditBus(keeper=ledger)
    uploads = min(UPLOADS, 200 * at_once)
    left = iter(range(uploads))

    async def client() -> None:
        for number in left:
            name = f"/inbox/{number}"
            who = Who("s", "alice", "192.0.2.7", "explicit:21")
            event = FileStored(who, name, 1000, 0.01, 0, Result.COMPLETE, sha256="0" * 64)
            trace = Trace(b"/srv/ftpsd/alice" + name.encode(), 1, number, 1000, number)
            await bus.publish_kept(event, await bus.intend(event, trace))

    began = time.perf_counter()
    done = DeferredList([Deferred.fromCoroutine(client()) for _ in range(at_once)], fireOnOneErrback=True)
    found: list[object] = []
    done.addBoth(found.append)
    if not reactor.running:
        reactor.startRunning(installSignalHandlers=False)
    while not found:
        reactor.iterate(0.001)
    seconds = time.perf_counter() - began
    numbers: list[int] = []
    store.run(last_number).addCallback(numbers.append)
    while not numbers:
        reactor.iterate(0.001)
    store.stop()
    assert numbers == [uploads], (numbers, found)
    return uploads / seconds


class _NoFiles:
    """Workers that are never asked."""

    def run(self, *_: Any, **__: Any) -> Any:
        """Raise."""
        raise AssertionError("nothing is looked at")
