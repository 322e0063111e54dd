"""`ftpsd preflight`: what works for the client of a partner that has tried, and the exceptions that it needs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ftpsd.cli.asking import Server, fail, socket_options
from ftpsd.cli.running.live_commands import ask
from ftpsd.cli.terminal import shown


@click.command()
@click.argument("user", required=False)
@click.option("--host", default="", metavar="NAME", help="USER is one of this virtual host, not of the default one.")
@click.option("--for", "name", metavar="NAME", help="The user of users.yaml that the exceptions are for; else USER.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a session.")
@socket_options
def preflight(
    user: str | None, host: str, name: str | None, as_json: bool, config: Path | None, path: Path | None
) -> None:
    """
    Tell what works for the client that has logged in as USER, an account with preflight: true.

    Without USER it tells of all such accounts. Behind what was seen come the lines for users.yaml that this client
    needs, and the order that writes them. Ends with 1 where nothing was seen since the server started.
    """
    from ftpsd.control.preflight.advice import exemptions, yaml_for
    from ftpsd.control.preflight.report import report
    from ftpsd.control.preflight.sighting import Sighting

    told = ask(Server(config, path), "preflight")["sightings"]
    found = [each for each in told if user is None or (each["user"], each["host"]) == (user, host)]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        fail("no client was seen: it logs in to an account with preflight: true in users.yaml")
    accounts: dict[tuple[str, str], list[Sighting]] = {}
    for each in found:
        accounts.setdefault((each["host"], each["user"]), []).append(Sighting.from_json(each))
    for (of_host, who), seen in accounts.items():
        click.echo(shown(f"{who} on {of_host}" if of_host else who))
        for line in report(seen):
            click.echo(shown(line))
        exceptions = exemptions(seen)
        click.echo()
        for line in yaml_for(name or who, exceptions):
            click.echo(shown(line))
        own = [f"{each.key}={each.value}" for each in exceptions if not each.is_global]
        if own:
            click.echo(shown(f"# or: ftpsd user set {name or who} {' '.join(own)}"))
        click.echo()
