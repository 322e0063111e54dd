"""`ftpsd jobs`: what is due, what runs, what has been done, and orders to run now."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from ftpsd.cli.asking import Server, socket_options
from ftpsd.cli.running.live_commands import ask
from ftpsd.cli.terminal import EXIT_FINE, EXIT_PROBLEM, counted, is_drawn_on, print_table, shown
from ftpsd.values.text import moment

HEADER: Final = ("job", "kind", "at", "next (UTC)", "last run (UTC)", "result", "files", "bytes")
RUNS: Final = ("started (UTC)", "job", "trigger", "result", "seconds", "files", "bytes", "attempts", "reason")
# Seconds between two looks at a run, and between two lines about it where there is no terminal.
LOOK: Final = 0.25
LINE: Final = 60.0


@click.group()
def jobs() -> None:
    """Jobs: pulls from partners, pushes to them, and backups."""


@jobs.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a job.")
@socket_options
def list_jobs(as_json: bool, config: Path | None, path: Path | None) -> None:
    """List the jobs: when each is due, and how its last run went."""
    found = ask(Server(config, path), "jobs")["jobs"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        print_table(HEADER, [_row(each) for each in found])
    else:
        click.echo("no jobs", err=True)


@jobs.command()
@click.argument("job", required=False)
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a run.")
@socket_options
def history(job: str | None, limit: int, as_json: bool, config: Path | None, path: Path | None) -> None:
    """List the last runs of JOB, or of all jobs, the newest first."""
    found = ask(Server(config, path), "job-history", job=job)["runs"][:limit]
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        print_table(RUNS, [_run(each) for each in found])
    else:
        click.echo("no runs", err=True)


@jobs.command()
@click.argument("job")
@click.option("--no-wait", is_flag=True, help="Do not wait for the end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object at the end.")
@socket_options
def run(job: str, no_wait: bool, as_json: bool, config: Path | None, path: Path | None) -> None:
    """
    Run JOB now, and wait for its end; a run that is under way is waited for.

    Ends with 0 when all was done and with 1 when not. Ctrl-C ends the waiting alone, not the run.
    """
    server = Server(config, path)
    begun = ask(server, "job-run", job=job)["run"]
    if no_wait or not begun:
        click.echo(json.dumps(begun) if as_json else f"run {begun.get('run', 'of another process')} is under way")
        return
    ended = _waited(server, job, begun["run"], is_quiet=as_json)
    if as_json:
        click.echo(json.dumps(ended, indent=2))
    else:
        click.echo(_sentence(ended))
    sys.exit(EXIT_FINE if ended["state"] == "done" else EXIT_PROBLEM)


def _waited(server: Server, job: str, number: str, *, is_quiet: bool) -> dict[str, Any]:
    """Wait for the end of a run, and show how far it is."""
    if is_quiet or not is_drawn_on(sys.stderr):
        told = time.monotonic()
        while True:
            found = _found(server, job, number)
            if found["state"] != "running":
                return found
            if not is_quiet and time.monotonic() - told >= LINE:
                told = time.monotonic()
                click.echo(_sentence(found), err=True)
            time.sleep(LOOK)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(job, total=None)
        while True:
            found = _found(server, job, number)
            done, left = found["bytes"], found.get("bytes_left", 0)
            name = shown(found.get("now", "") or job)
            progress.update(task, completed=done, total=(done + left) or None, description=name)
            if found["state"] != "running":
                return found
            time.sleep(LOOK)


def _found(server: Server, job: str, number: str) -> dict[str, Any]:
    runs = ask(server, "job-history", job=job)["runs"]
    found: dict[str, Any] | None = next((each for each in runs if each["run"] == number), None)
    if found is None:
        raise click.ClickException(f"run {number} of {job} is on record no more")
    return found


def _sentence(run: dict[str, Any]) -> str:
    text = f"{run['job']}: {run['state']}, {counted(run['files'], 'file')}, {counted(run['bytes'], 'byte')}"
    return shown(f"{text}: {run['reason']}" if run["reason"] else text)


def _row(job: dict[str, Any]) -> list[str]:
    last = job["last"] or {}
    return [
        shown(str(each))
        for each in (
            job["job"],
            job["kind"],
            f"{job['at']} ({job['time_zone']})" if job["at"] else "by order, or on an event",
            moment(job["next"]) if job["next"] else "",
            moment(last["started"]) if last else "",
            last.get("state", ""),
            last.get("files", ""),
            last.get("bytes", ""),
        )
    ]


def _run(run: dict[str, Any]) -> list[str]:
    seconds = "" if run["ended"] is None else f"{run['ended'] - run['started']:.1f}"
    values = (run["job"], run["trigger"], run["state"], seconds, run["files"], run["bytes"], run["attempts"])
    return [shown(str(each)) for each in (moment(run["started"]), *values, run["reason"] or "")]
