"""`ftpsd bans`, `ban` and `unban`: the addresses that the running server refuses, through its control socket."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ftpsd.cli.asking import Server, socket_options
from ftpsd.cli.running.live_commands import ask
from ftpsd.cli.terminal import EXIT_PROBLEM, counted, print_list, shown
from ftpsd.values.text import moment

HEADER = ("client", "reason", "until (UTC)", "left", "in a row", "user", "words")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a ban.")
@socket_options
def bans(as_json: bool, config: Path | None, path: Path | None) -> None:
    """List the addresses, networks and users at an address that are refused now, the one that ends first first."""
    answer = ask(Server(config, path), "bans")
    words = {"empty": "no bans", "noun": "ban", "others": "which end later"}
    print_list(answer["bans"], answer["total"], _row, as_json=as_json, header=HEADER, **words)


@click.command()
@click.argument("place", metavar="ADDRESS|NETWORK")
@click.option("--for", "duration", metavar="1h", help="How long; else penalties.ban of the server.")
@click.option("--reason", metavar="TEXT", help="Words for the list of bans and the audit log.")
@socket_options
def ban(place: str, duration: str | None, reason: str | None, config: Path | None, path: Path | None) -> None:
    """
    Refuse an address or a network for some time.

    Sessions from there that have not logged in end; those that are logged in go on (see `ftpsd kick`). An IPv6 address
    stands for its /64.
    """
    made = ask(Server(config, path), "ban", place=place, duration=duration, reason=reason)
    click.echo(f"banned {shown(made['client'])} until {moment(made['until'])} UTC")


@click.command()
@click.argument("place", metavar="ADDRESS|NETWORK|all")
@socket_options
def unban(place: str, config: Path | None, path: Path | None) -> None:
    """
    End the bans of an address, of everything in a network, or all.

    The offences that led to them are forgotten, so that the next ban is a first one. Ends with 1 where there was none.
    """
    answer = ask(Server(config, path), "unban", place=place)
    for network in answer["within"]:
        wider = shown(network)
        click.echo(f"{shown(place)} is refused still, with all of {wider}: ftpsd unban {wider}", err=True)
    if not answer["ended"]:
        click.echo(f"there is no ban of {shown(place)}", err=True)
        sys.exit(EXIT_PROBLEM)
    click.echo(f"ended {counted(answer['ended'], 'ban')}")


def _row(found: dict[str, Any]) -> tuple[str, ...]:
    return (
        found["client"],
        found["reason"],
        moment(found["until"]),
        _left(found["seconds"]),
        str(found["level"]),
        found["name"] or "",
        found["detail"] or "",
    )


def _left(seconds: float) -> str:
    """Write a time as people do: in hours and minutes where it is long."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s"
