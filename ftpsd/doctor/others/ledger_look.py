"""
The ledger of events: what was given up, and what waits.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftpsd.config.model import Config
from ftpsd.doctor.finding import Finding, ok, warning
from ftpsd.durable.opening import state_opened
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.events.progress_tables import State, undelivered

# More are not counted.
MOST = 10_000


def look_at_events(config: Config) -> Iterator[Finding]:
    """Count what each sink has not taken; trouble with the file is told elsewhere."""
    # A file that is not there is not made, least of all by another user than the daemon's.
    if config.events is None or config.state is None or not config.state.exists():
        return
    try:
        with state_opened(config.state) as connection:
            for sink in config.events.sinks:
                dead = len(undelivered(connection, sink.name, {State.DEAD}, MOST))
                waiting = len(undelivered(connection, sink.name, {State.WAITING}, MOST))
                yield from _about(sink.name, dead, waiting)
    except StateTrouble:
        return


def _about(name: str, dead: int, waiting: int) -> Iterator[Finding]:
    if dead:
        text = f"{dead} events were given up for the sink {name}"
        remedy = f"ftpsd events list --sink {name} --state dead, then ftpsd events replay --sink {name} --dead"
        yield warning(text, remedy)
    if waiting:
        text = f"{waiting} events wait for another attempt to deliver them to the sink {name}"
        yield warning(text, f"ftpsd events list --sink {name} --state waiting shows why")
    if not dead and not waiting:
        yield ok(f"the sink {name} takes what it gets")
