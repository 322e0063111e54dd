"""`ftpsd retention` and `ftpsd hold`: the files whose time is over, and those that are to stay all the same."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

import click

from ftpsd.cli.asking import Server, socket_options
from ftpsd.cli.running.live_commands import ask
from ftpsd.cli.terminal import counted, print_table, shown

FILES = ("user", "path", "days", "bytes", "rule", "action")
HOLDS = ("hold", "paths", "users", "since", "by", "reason")


@click.command()
@click.option("--dry-run", is_flag=True, help="Change nothing; print what would go, and why.")
@click.option("--confirm", is_flag=True, help="Go on also under rules that were stopped for going too far at once.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object.")
@socket_options
def retention(dry_run: bool, confirm: bool, as_json: bool, config: Path | None, path: Path | None) -> None:
    """Let go the files whose time is over by the `retention` rules, now instead of within the hour."""
    if dry_run and confirm:
        raise click.UsageError("--dry-run changes nothing, so there is nothing to confirm.")
    server = Server(config, path)
    answer = ask(server, "retention-dry") if dry_run else ask(server, "retention", confirm="yes" if confirm else None)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if dry_run and answer["files"]:
        print_table(FILES, [[shown(str(each[name])) for name in FILES] for each in answer["files"]])
    for rule in answer["rules"]:
        told = f"{rule['rule']}: {rule['overdue']} of {counted(rule['files'], 'file')} overdue, {rule['held']} held"
        click.echo(told + ("; stopped, too many at once: see --confirm" if rule["stopped"] else ""), err=dry_run)
    for text in answer["unseen"]:
        click.echo(f"not looked at: {shown(text)}", err=True)
    if not dry_run:
        click.echo(f"{counted(answer['gone'], 'file')} gone")


@click.group()
def hold() -> None:
    """Legal holds: what `retention` leaves alone until they are removed."""


@hold.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a hold.")
@socket_options
def list_holds(as_json: bool, config: Path | None, path: Path | None) -> None:
    """List the holds, the oldest first."""
    found = ask(Server(config, path), "holds")["holds"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        print_table(HOLDS, [[_cell(each[name]) for name in HOLDS] for each in found])
    else:
        click.echo("no holds", err=True)


@hold.command("add")
@click.option("--path", "paths", multiple=True, metavar="PATTERN", help="Paths as users see them, such as /outbox/**.")
@click.option("--user", "users", multiple=True, metavar="NAME", help="The files of this user alone.")
@click.option("--reason", required=True, metavar="TEXT", help="The case, for the audit log.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object.")
@socket_options
def add(
    paths: tuple[str, ...], users: tuple[str, ...], reason: str, as_json: bool, config: Path | None, path: Path | None
) -> None:
    """Hold files: on paths, of users, or both. It is in force when this command has ended."""
    arguments = {"paths": "\n".join(paths) or None, "users": "\n".join(users) or None}
    made = ask(Server(config, path), "hold", reason=reason, by=_operator(), **arguments)
    click.echo(json.dumps(made) if as_json else f"added hold {made['hold']}")


@hold.command("remove")
@click.argument("name", metavar="HOLD")
@click.option("--reason", required=True, metavar="TEXT", help="The reason, for the audit log.")
@socket_options
def remove(name: str, reason: str, config: Path | None, path: Path | None) -> None:
    """End a hold. Files that are overdue then go with the next sweep."""
    ask(Server(config, path), "release", name=name, reason=reason, by=_operator())
    click.echo(f"removed hold {shown(name)}")


def _operator() -> str:
    """Return who says so; the `ordered` event has who it was, as the kernel knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _cell(value: Any) -> str:
    return shown(", ".join(value) or "all") if isinstance(value, list) else shown(str(value))
