"""`ftpsd rescan`: stored files are shown to engines with newer signatures, by the running server."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from ftpsd.cli.asking import Server, socket_options
from ftpsd.cli.running.live_commands import ask
from ftpsd.cli.terminal import EXIT_FINE, EXIT_PROBLEM, counted, is_drawn_on, print_table, shown

# Seconds between two looks at the server.
LOOK = 0.3
# Seconds between two lines for a log.
TELL = 10.0
FINDS = ("incident", "user", "path", "found")


@click.command()
@click.option("--dry-run", is_flag=True, help="Read and judge, change nothing; print what is found.")
@click.option("--all", "everything", is_flag=True, help="Read also what the present signatures have judged.")
@click.option("--progress", "is_look", is_flag=True, help="Begin none; tell of the one under way, or the last one.")
@click.option("--stop", "is_stop", is_flag=True, help="End the one under way; the next one goes on from there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object at the end.")
@socket_options
def rescan(
    dry_run: bool, everything: bool, is_look: bool, is_stop: bool, as_json: bool, config: Path | None, path: Path | None
) -> None:
    """
    Show stored files to the engines of the accept rules, and put into the quarantine what is found.

    Files that the present signatures have judged are passed by. The server does it while clients work, also when this
    command is interrupted. Ends with 1 where a file had no verdict, or what was found is not in the quarantine.
    """
    if is_look + is_stop + (dry_run or everything) > 1:
        raise click.UsageError("--progress and --stop go with no other option.")
    server = Server(config, path)
    if is_stop:
        ask(server, "rescan-stop")
        click.echo("ends with its next step", err=True)
        return
    if is_look:
        answer = ask(server, "rescan-progress")
        if not answer["known"]:
            click.echo("no rescan since the server was started", err=True)
            return
    else:
        flags = {"dry": "yes" if dry_run else None, "everything": "yes" if everything else None}
        answer = ask(server, "rescan", **flags)
    if answer["running"]:
        answer = _follow(server, answer)
    _tell(answer, as_json=as_json)
    sys.exit(EXIT_FINE if answer["complete"] else EXIT_PROBLEM)


def _follow(server: Server, answer: dict[str, Any]) -> dict[str, Any]:
    """Show the progress until the end: a bar on a terminal, a line from time to time elsewhere."""
    if is_drawn_on(sys.stderr):
        return _with_bar(server, answer)
    told = time.monotonic()
    while answer["running"]:
        time.sleep(LOOK)
        answer = ask(server, "rescan-progress")
        if time.monotonic() - told >= TELL:
            told = time.monotonic()
            click.echo(f"{answer['files']} of {answer['total']} files, {answer['found']} found", err=True)
    return answer


def _with_bar(server: Server, answer: dict[str, Any]) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.completed:.0f} of {task.total:.0f} files"),
        BarColumn(),
        TextColumn("{task.fields[found]} found"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=answer["total"], found=0)
        while answer["running"]:
            time.sleep(LOOK)
            answer = ask(server, "rescan-progress")
            bar.update(task, completed=answer["files"], total=answer["total"], found=answer["found"])
    return answer


def _tell(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if answer["finds"]:
        print_table(FINDS, [[shown(str(each[name])) for name in FINDS] for each in answer["finds"]])
    for text in answer["troubles"]:
        click.echo(shown(text), err=True)
    if answer["reason"]:
        click.echo(f"ended before its end: {shown(answer['reason'])}", err=True)
    click.echo(
        f"{counted(answer['files'], 'file')}: {answer['current']} judged by these signatures before, "
        f"{answer['clean']} clean, {answer['found']} found, {answer['unjudged']} without a verdict, "
        f"{answer['changed']} changed meanwhile, {answer['failed']} failed"
    )
