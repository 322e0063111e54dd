"""`ftpsd plan`: what a changed configuration allows that was not allowed before."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftpsd.cli.terminal import EXIT_FINE, EXIT_PROBLEM, FILE, shown, with_config

if TYPE_CHECKING:
    from ftpsd.config.model import Config


@click.command()
@click.argument("file", type=FILE)
@with_config
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list for the server, and one for each user.")
def plan(file: Path, config: Path, as_json: bool) -> None:
    """
    Say what FILE, a changed ftpsd.yaml with its users, allows that --config does not: before a reload.

    Ends with 1 where there is anything. Rights that go are not told; `ftpsd check` says whether FILE is good.
    """
    from ftpsd.auth.loosening import loosened
    from ftpsd.config.reading import load_config

    before, after = load_config(config), load_config(file)
    server = list(loosened(before, after))
    people = dict(_people(before, after))
    if as_json:
        click.echo(json.dumps({"server": server, "users": people}, indent=2))
    else:
        for line in server:
            click.echo(f"server: {shown(line)}")
        for name, lines in people.items():
            for line in lines:
                click.echo(f"{shown(name)}: {shown(line)}")
        if not server and not people:
            click.echo("nothing is allowed that was not allowed before", err=True)
    sys.exit(EXIT_PROBLEM if server or people else EXIT_FINE)


def _people(before: Config, after: Config) -> Iterator[tuple[str, list[str]]]:
    """Yield each user, with the virtual host where that is not the default one, and what is new."""
    from ftpsd.auth.widening import Server, widened, widened_by_sources
    from ftpsd.service.inspecting.everybody import People

    def server(config: Config, people: People, host: str) -> Server:
        return Server(people.authentication.get(host, config.authentication), host in people.needing, config.limits)

    old, new = People.of(before), People.of(after)
    for host, users in new.hosts.items():
        known = old.hosts.get(host)
        servers = server(before, old, host), server(after, new, host)
        found = {
            name: list(widened(None if known is None else known.users.get(name), user, *servers))
            for name, user in users.users.items()
        }
        if set(_accounts(after, host)) - {"file"}:
            found |= widened_by_sources(known, users, *servers)
        for name, lines in found.items():
            if lines:
                yield f"{name}@{host}" if host else name, lines


def _accounts(config: Config, host: str) -> tuple[str, ...]:
    return next((section.accounts for section in config.virtual_hosts if section.names[0] == host), config.accounts)
