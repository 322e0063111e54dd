"""
`ftpsd expect`: what is due today and how far it is; `ftpsd expect learn` proposes what could be expected.

The commands read the state file themselves, so they answer with a daemon that runs and without one.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftpsd.cli.automation.due_table import print_due
from ftpsd.cli.event_commands import fail
from ftpsd.cli.terminal import EXIT_FINE, FILE, with_config

if TYPE_CHECKING:
    from ftpsd.config.model import Config
    from ftpsd.events.awaited.due_today import Due


@click.group(invoke_without_command=True)
@with_config
@click.option("--day", metavar="DATE", help="This day, such as 2026-12-24, instead of today.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object for each that is due.")
@click.pass_context
def expect(ctx: click.Context, config: Path, day: str | None, as_json: bool) -> None:
    """List the files that are to come today, by whom and by when, and how far they are."""
    ctx.obj = config
    if ctx.invoked_subcommand is not None:
        return
    from ftpsd.config.reading import load_config

    found = _due(load_config(config), _day(day))
    if as_json:
        click.echo(json.dumps([asdict(due) for due in found], indent=2))
    else:
        print_due(found)
    sys.exit(EXIT_FINE)


@expect.command()
@click.pass_obj
@click.argument("logs", nargs=-1, type=FILE)
@click.option("--days", type=click.IntRange(1, 400), default=60, show_default=True, help="Look back so many days.")
@click.option("--zone", metavar="ZONE", default="UTC", show_default=True, help="The time zone of the times of day.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: each proposal, and why it is one.")
def learn(config: Path, logs: tuple[Path, ...], days: int, zone: str, as_json: bool) -> None:
    """
    Propose expectations in YAML from the uploads of the audit log, and explain each.

    LOGS are files of the audit log, the one of the configuration where none is named; older ones may be compressed
    (.gz). Nothing is changed.
    """
    from ftpsd.config.people.timetable import zone_called
    from ftpsd.config.reading import load_config
    from ftpsd.events.awaited.learning import in_yaml
    from ftpsd.events.awaited.learning import learn as learned

    clock = zone_called(zone)
    if clock is None:
        raise click.UsageError(f"--zone: this system knows no time zone {zone}; write one such as Europe/Berlin.")
    if not logs:
        log = load_config(config).audit.log
        if not isinstance(log, Path):
            raise click.UsageError("The audit log is no file; name the files to learn from.")
        logs = (log,)
    found = learned(_lines(logs), clock, zone, time.time() - days * 86400.0)
    if as_json:
        click.echo(json.dumps([asdict(proposal) for proposal in found], indent=2))
    elif found:
        click.echo(in_yaml(found), nl=False)
    else:
        click.echo("nothing came regularly: a file has to come on three days at least", err=True)


def _due(config: Config, day: date | None) -> list[Due]:
    from ftpsd.durable.opening import state_opened
    from ftpsd.durable.state_trouble import StateTrouble
    from ftpsd.events.awaited.due_today import due_on

    now = time.time()
    if config.state is None or not config.state.exists():
        return due_on(None, config.expectations, day, now)
    try:
        with state_opened(config.state) as connection:
            return due_on(connection, config.expectations, day, now)
    except StateTrouble as trouble:
        fail(f"{config.state}: {trouble}")


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise click.UsageError(f"--day: {text} is no date; write one such as 2026-12-24.") from None


def _lines(logs: tuple[Path, ...]) -> Iterator[bytes]:
    import gzip

    for path in logs:
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                yield from file
        except (OSError, EOFError) as error:
            fail(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not whole'}")
