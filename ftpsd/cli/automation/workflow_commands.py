"""
`ftpsd workflows`: what workflows have done behind which event, and orders to go on with a run.

The commands read and write the state file themselves, so they work with a daemon that runs (which sees an order within
a second or so) and with one that does not.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftpsd.cli.event_commands import MOST, fail, ledger
from ftpsd.cli.terminal import counted, print_list, with_config
from ftpsd.values.text import moment

if TYPE_CHECKING:
    from ftpsd.config.model import Config
    from ftpsd.events.workflows.runs import Run

OF_WORKFLOWS = ("workflow", "on", "steps", "done", "superseded", "failed", "waiting", "reason")
OF_RUNS = ("id", "changed (UTC)", "workflow", "phase", "step", "attempts", "path", "reason")
# All that there is was listed.
LIST: dict[str, str] = {"noun": "", "others": ""}
PHASES = ("steps", "on-failure", "done", "superseded", "failed")


@click.group()
def workflows() -> None:
    """Look at the workflows and at what they have done; have a run gone on with."""


name_option = click.option("--workflow", "name", metavar="NAME", help="This workflow alone.")


@workflows.command("list")
@with_config
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a workflow.")
def list_workflows(config: Path, as_json: bool) -> None:
    """List the workflows, with how many of their runs are done, have failed, or wait for another attempt."""
    from ftpsd.events.workflows import runs
    from ftpsd.events.workflows.runs import Phase

    rows = []
    with ledger(config) as (connection, found):
        for each in found.workflows:
            counts = runs.counts(connection, each.name)
            under_way = runs.latest(connection, each.name, [Phase.STEPS, Phase.ON_FAILURE], MOST)
            rows.append(
                {
                    "workflow": each.name,
                    "on": list(each.on),
                    "steps": [step.action for step in each.steps],
                    **{phase: counts.get(phase, 0) for phase in ("done", "superseded", "failed")},
                    "waiting": len(under_way),
                    "reason": next((run.reason for run in under_way[::-1] if run.reason), None),
                }
            )
    print_list(rows, len(rows), _cells_of_workflow, as_json=as_json, header=OF_WORKFLOWS, empty="no workflows", **LIST)


@workflows.command()
@with_config
@name_option
@click.option("--phase", type=click.Choice(PHASES), help="Runs that are there.")
@click.option("--limit", type=click.IntRange(1, MOST), default=100, show_default=True, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a run.")
def history(config: Path, name: str | None, phase: str | None, limit: int, as_json: bool) -> None:
    """List runs, the one that has changed last at the end."""
    from ftpsd.events.workflows import runs

    with ledger(config) as (connection, found):
        _of_workflows(found, name)
        rows = [_row(run) for run in runs.latest(connection, name, [phase] if phase else [], limit)]
    print_list(rows, len(rows), _cells_of_run, as_json=as_json, header=OF_RUNS, empty="no runs", **LIST)


@workflows.command()
@with_config
@click.argument("id")
def show(config: Path, id: str) -> None:
    """Print the runs behind the event with that ID, with each step that was done or has failed, as JSON."""
    from ftpsd.events.workflows import runs

    with ledger(config) as (connection, _):
        found = runs.of_event(connection, id)
    if not found:
        fail(f"there is no run behind an event {id}; `ftpsd workflows history` shows what is there")
    click.echo(json.dumps([{**_row(run), "history": [_line(line) for line in run.history]} for run in found], indent=2))


@workflows.command()
@with_config
@name_option
@click.option("--failed", is_flag=True, help="All runs that have failed.")
@click.option("--from-start", is_flag=True, help="Do all steps again, with the file where it is.")
@click.argument("ids", nargs=-1, metavar="[ID]...")
def retry(config: Path, name: str | None, failed: bool, from_start: bool, ids: tuple[str, ...]) -> None:
    """Go on with runs behind these events, or with all that have failed, at the step that is not finished."""
    from ftpsd.events.workflows import runs
    from ftpsd.events.workflows.runs import Phase

    if failed == bool(ids):
        raise click.UsageError("Name events by their ids, or give --failed, one of the two.")
    count = 0
    with ledger(config) as (connection, found):
        known = _of_workflows(found, name)
        if failed:
            chosen = runs.latest(connection, name, [Phase.FAILED], MOST)
        else:
            chosen = [run for id in ids for run in _of(runs.of_event(connection, id), id, name)]
        for run in chosen:
            # A finished step is not done again, unless that is said.
            if run.workflow in known and (from_start or run.phase not in (Phase.DONE, Phase.SUPERSEDED)):
                runs.retry(connection, run, time.time(), from_start=from_start)
                count += 1
    click.echo(f"{counted(count, 'run')} to be gone on with")


def _cells_of_workflow(row: dict[str, Any]) -> list[str]:
    told = {**row, "on": ", ".join(row["on"]), "steps": ", ".join(row["steps"]), "reason": row["reason"] or ""}
    return [str(told[key]) for key in OF_WORKFLOWS]


def _cells_of_run(row: dict[str, Any]) -> list[str]:
    told = {**row, "changed (UTC)": row["changed"]}
    return [str(told[key] or "") for key in OF_RUNS]


def _of(found: list[Run], id: str, name: str | None) -> list[Run]:
    chosen = [run for run in found if name in (None, run.workflow)]
    if not chosen:
        fail(f"there is no run behind an event {id}; nothing was changed")
    return chosen


def _of_workflows(config: Config, name: str | None) -> list[str]:
    """Return the names of the workflows. Raises: UsageError when *name* is not among them."""
    names = [workflow.name for workflow in config.workflows]
    if name is not None and name not in names:
        raise click.UsageError(f"There is no workflow {name}; the workflows are {', '.join(names) or 'none'}.")
    return names


def _row(run: Run) -> dict[str, Any]:
    return {
        "workflow": run.workflow,
        "id": run.id,
        "user": run.user,
        "begun": moment(run.begun),
        "changed": moment(run.changed),
        "phase": str(run.phase),
        "step": run.step,
        "attempts": run.attempts,
        "path": run.path,
        "failed_step": run.failed_step or None,
        "reason": run.reason or None,
    }


def _line(line: dict[str, Any]) -> dict[str, Any]:
    return {**line, "time": moment(line["time"])}
