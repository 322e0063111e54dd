"""
`ftpsd events`: what is in the ledger, how far each sink is with it, and orders about that.

The commands read and write the state file themselves, so they work with a daemon that runs (which sees an order within
a second or so) and with one that does not.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ftpsd.cli.terminal import EXIT_PROBLEM, counted, print_table, shown, with_config

if TYPE_CHECKING:
    from ftpsd.config.model import Config
    from ftpsd.events.record_tables import Record

HEADER = ("id", "time (UTC)", "event", "path", "sink", "state", "attempts", "reason")
STATES = ("queued", "waiting", "dead", "delivered", "dropped")
# Events that one call looks at.
MOST = 10_000


@click.group()
def events() -> None:
    """Look at the events that are kept, and at their deliveries; have some delivered again, or never."""


# The sink that gives receipts (events/receipts/receipt_giving.py).
RECEIPTS = "receipts.signed"
sink_option = click.option("--sink", metavar="NAME", help="This sink alone.")


@events.command("list")
@with_config
@sink_option
@click.option("--state", type=click.Choice(STATES), help="Events that are so far with a sink.")
@click.option("--limit", type=click.IntRange(1, MOST), default=100, show_default=True, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object an event and sink.")
def list_events(config: Path, sink: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """List events and how far each sink is with them, the oldest first."""
    with ledger(config) as (connection, found):
        rows = _rows(connection, _sinks(found, sink), state, limit)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        print_table(HEADER, ([shown(str(row[key] or "")) for key in HEADER] for row in map(_told, rows)))
    else:
        click.echo("no events", err=True)


@events.command()
@with_config
@click.argument("id")
def show(config: Path, id: str) -> None:
    """Print the event with that ID as sinks get it, and how far each of them is, as JSON."""
    from ftpsd.events.record_tables import find
    from ftpsd.events.sinks.cloud_event import cloud_event

    with ledger(config) as (connection, found):
        record = find(connection, id)
        if record is None:
            fail(f"there is no event {id}; `ftpsd events list` shows what is there")
        event = json.loads(cloud_event(record, with_file=True))
        rows = [_row(connection, record, name) for name in _sinks(found, None)]
    sinks = {row["sink"]: {key: row[key] for key in ("state", "attempts", "reason")} for row in rows}
    click.echo(json.dumps({"event": event, "sinks": sinks}, indent=2))


@events.command()
@with_config
@sink_option
@click.option("--dead", is_flag=True, help="All events that were given up.")
@click.argument("ids", nargs=-1, metavar="[ID]...")
def replay(config: Path, sink: str | None, dead: bool, ids: tuple[str, ...]) -> None:
    """Deliver events again, with the ids they have: those with these IDs, or all that were given up."""
    from ftpsd.events import progress_tables as tables

    _one_of(dead, ids, "--dead")
    with ledger(config) as (connection, found):
        count = 0
        for name in _sinks(found, sink):
            numbers = (
                tables.undelivered(connection, name, {tables.State.DEAD}, MOST) if dead else _numbers(connection, ids)
            )
            count += tables.replay(connection, name, numbers, time.time())
    click.echo(f"{counted(count, 'event')} to be delivered again")


@events.command()
@with_config
@sink_option
@click.option("--dead", is_flag=True, help="All events that were given up.")
@click.option("--all", "everything", is_flag=True, help="All events that are not delivered.")
@click.argument("ids", nargs=-1, metavar="[ID]...")
def drop(config: Path, sink: str | None, dead: bool, everything: bool, ids: tuple[str, ...]) -> None:
    """Never deliver events: those with these IDs, all that were given up, or all that wait."""
    from ftpsd.events import progress_tables as tables

    _one_of(dead or everything, ids, "--dead or --all")
    states = {tables.State.DEAD} if not everything else {tables.State.DEAD, tables.State.WAITING, tables.State.QUEUED}
    with ledger(config) as (connection, found):
        count = 0
        for name in _sinks(found, sink):
            is_by_state = dead or everything
            numbers = tables.undelivered(connection, name, states, MOST) if is_by_state else _numbers(connection, ids)
            count += tables.drop(connection, name, numbers)
    click.echo(f"{counted(count, 'event')} dropped")


@contextmanager
def ledger(path: Path) -> Iterator[tuple[Connection, Config]]:
    """Open the state file of the configuration at *path*, in one transaction."""
    from ftpsd.config.reading import load_config
    from ftpsd.durable.opening import state_opened
    from ftpsd.durable.state_trouble import StateTrouble

    config = load_config(path)
    if config.events is None or config.state is None:
        fail(f"{path} keeps no events; see the section events in docs/configuration.md")
    if not config.state.exists():
        fail(f"there is no state file at {config.state}: the daemon makes it when it starts")
    try:
        with state_opened(config.state) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection, config
            connection.execute("COMMIT")
    except StateTrouble as trouble:
        fail(f"{config.state}: {trouble}")


def _sinks(config: Config, name: str | None) -> list[str]:
    assert config.events is not None
    names = [sink.name for sink in config.events.sinks]
    if config.receipts is not None:
        names.append(RECEIPTS)
    if name is not None and name not in names:
        raise click.UsageError(f"There is no sink {name}; the sinks are {', '.join(names) or 'none'}.")
    return names if name is None else [name]


def _rows(connection: Connection, sinks: list[str], state: str | None, limit: int) -> list[dict[str, Any]]:
    from ftpsd.events import progress_tables as tables
    from ftpsd.events.record_tables import fetch, fetch_numbers, last_number

    if state in ("queued", "waiting", "dead", "dropped"):
        found = {
            number for name in sinks for number in tables.undelivered(connection, name, {tables.State(state)}, MOST)
        }
        records = fetch_numbers(connection, sorted(found)[-limit:])
    else:
        first = max(0, last_number(connection) - limit)
        records = fetch(connection, first, limit)
    names: list[str | None] = [*sinks] or [None]
    rows = [_row(connection, record, name) for record in records for name in names]
    return [row for row in rows if state in (None, row["state"])]


def _row(connection: Connection, record: Record, sink: str | None) -> dict[str, Any]:
    from ftpsd.events.progress_tables import state_of

    data = json.loads(record.data)
    told = {
        "id": record.id,
        "time": data["time"],
        "event": record.event,
        "path": data.get("path") or data.get("new"),
        "user": data.get("user"),
        "sink": sink,
        "state": None,
        "attempts": 0,
        "reason": None,
    }
    if sink is not None:
        state, row = state_of(connection, sink, record.number)
        told["state"] = str(state)
        if row is not None:
            told |= {"attempts": row.attempts, "reason": row.reason or None}
    return told


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "time (UTC)": row["time"][:19].replace("T", " "), "attempts": row["attempts"] or ""}


def _numbers(connection: Connection, ids: tuple[str, ...]) -> list[int]:
    from ftpsd.events.record_tables import find

    numbers = []
    for id in ids:
        record = find(connection, id)
        if record is None:
            fail(f"there is no event {id}; nothing was changed")
        numbers.append(record.number)
    return numbers


def _one_of(by_state: bool, ids: tuple[str, ...], options: str) -> None:
    if by_state == bool(ids):
        raise click.UsageError(f"Name events by their ids, or give {options}, one of the two.")


def fail(problem: str) -> NoReturn:
    click.echo(shown(problem), err=True)
    sys.exit(EXIT_PROBLEM)
