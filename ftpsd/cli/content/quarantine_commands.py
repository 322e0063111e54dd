"""`ftpsd quarantine`: the files that the gate has refused, through the control socket of the running server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ftpsd.cli.asking import NoServer, Refused, Server, fail, socket_options
from ftpsd.cli.running.live_commands import ask
from ftpsd.cli.terminal import counted, print_list, shown
from ftpsd.values.text import moment

HEADER = ("incident", "time (UTC)", "user", "path", "bytes", "verdict", "found")
# Seconds for a release, which copies the file.
PATIENCE = 3600.0


@click.group()
def quarantine() -> None:
    """Look at the files that were refused, publish or remove them."""


@quarantine.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a file.")
@socket_options
def list_held(as_json: bool, config: Path | None, path: Path | None) -> None:
    """List the refused files, the oldest first."""
    answer = ask(Server(config, path), "quarantine-list")
    words = {"empty": "the quarantine is empty", "noun": "file", "others": "older than these"}
    print_list(answer["files"], answer["total"], _row, as_json=as_json, header=HEADER, **words)


@quarantine.command("show")
@click.argument("incident")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object.")
@socket_options
def show_held(incident: str, as_json: bool, config: Path | None, path: Path | None) -> None:
    """Tell what is known of one refused file."""
    found = ask(Server(config, path), "quarantine-show", incident=incident)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    told = {**found, "time": f"{moment(found['time'])} UTC"}
    width = max(map(len, told))
    for name, value in told.items():
        click.echo(f"{shown(name):{width}}  {shown(str('' if value is None else value))}")


@quarantine.command("release")
@click.argument("incident")
@click.option("--reason", required=True, metavar="TEXT", help="Why the file may be published; for the audit log.")
@click.option("--force", is_flag=True, help="Replace also a file that has come there since.")
@socket_options
def release(incident: str, reason: str, force: bool, config: Path | None, path: Path | None) -> None:
    """Publish a refused file where it was to be stored; no engine is asked again."""
    arguments = {"incident": incident, "reason": reason, "force": "yes" if force else None}
    try:
        found = Server(config, path).ask("quarantine-release", PATIENCE, **arguments)
    except (NoServer, Refused) as problem:
        fail(problem)
    click.echo(f"published {shown(found['path'])} of {shown(found['owner'])}")


@quarantine.command("purge")
@click.argument("incident", metavar="INCIDENT|all")
@socket_options
def purge(incident: str, config: Path | None, path: Path | None) -> None:
    """Remove a refused file, or all of them, for good."""
    answer = ask(Server(config, path), "quarantine-purge", incident=incident)
    click.echo(f"removed {counted(answer['purged'], 'file')}")
    if answer["held"]:
        click.echo(f"{counted(answer['held'], 'file')} kept by legal holds; see `ftpsd hold list`", err=True)


def _row(found: dict[str, Any]) -> tuple[str, ...]:
    return (
        found["incident"],
        moment(found["time"]),
        found["owner"],
        found["path"],
        str(found["bytes"]),
        found["verdict"],
        found["found"],
    )
