"""
The ledger of events, and the workflows behind them: what was given up, and what waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from sqlite3 import Connection

from ftpsd.config.model import Config
from ftpsd.doctor.finding import Finding, ok, warning
from ftpsd.durable.opening import state_opened
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.events.progress_tables import State, undelivered
from ftpsd.events.workflows.runs import sink_of

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
                yield from _about(sink.name, *_counts(connection, sink.name))
            for workflow in config.workflows:
                yield from _about_workflow(workflow.name, *_counts(connection, sink_of(workflow.name)))
    except StateTrouble:
        return


def _counts(connection: Connection, sink: str) -> tuple[int, int]:
    """Return how many events were given up, and how many wait."""
    dead, waiting = (undelivered(connection, sink, {state}, MOST) for state in (State.DEAD, State.WAITING))
    return len(dead), len(waiting)


def _about_workflow(name: str, dead: int, waiting: int) -> Iterator[Finding]:
    if dead:
        text = f"{dead} runs of the workflow {name} have failed"
        yield warning(text, f"ftpsd workflows history --workflow {name} --phase failed, then ftpsd workflows retry ID")
    if waiting:
        text = f"{waiting} runs of the workflow {name} wait for another attempt"
        yield warning(text, f"ftpsd workflows history --workflow {name} --phase steps shows why")
    if not dead and not waiting:
        yield ok(f"the workflow {name} does what it is to do")


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
