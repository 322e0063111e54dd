"""`ftpsd plan`: what a changed configuration allows that was not allowed before."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ftpsd.cli.terminal import EXIT_FINE, EXIT_PROBLEM, FILE, shown, with_config

if TYPE_CHECKING:
    from ftpsd.config.model import Config

# Keys whose change can let in more, with the order of their values: what comes later protects less.
_ORDERS: Final[dict[str, tuple[object, ...]]] = {
    "tls.require": ("control-and-data", "control", "none"),
    "tls.minimum_version": ("1.3", "1.2"),
    "tls.data_session_reuse": ("required", "offered"),
    "tls.allow_ccc": (False, True),
    "tls.client_certificates.request": ("required", "optional", "never"),
    "penalties.enabled": (True, False),
    "active.enabled": (False, True),
    "second_factor.required": (True, False),
    "metrics.sessions": (False, True),
    "audit.sha256": (True, False),
}


@click.command()
@click.argument("file", type=FILE)
@with_config
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list for the server, and one for each user.")
def plan(file: Path, config: Path, as_json: bool) -> None:
    """
    Say what FILE, a changed ftpsd.yaml with its users, allows that --config does not: before a reload.

    Ends with 1 where there is anything. Rights that go are not told; `ftpsd check` says whether FILE is good.
    """
    from ftpsd.config.reading import load_config

    before, after = load_config(config), load_config(file)
    server = list(_server(before, after))
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


def _server(before: Config, after: Config) -> Iterator[str]:
    """Yield a sentence for each way in which the server as a whole allows more."""
    for key, order in _ORDERS.items():
        old, new = _value(before, key), _value(after, key)
        if old in order and new in order and order.index(new) > order.index(old):
            yield f"{key} is {_word(new)}, before {_word(old)}"
    known = {_entrance(listener) for listener in before.listeners}
    for listener in after.listeners:
        if _entrance(listener) not in known:
            yield f"it listens at another place: {_entrance(listener)}"
    rules = {tuple(map(str, rule.paths)): rule for rule in before.accept}
    now = {tuple(map(str, rule.paths)): rule for rule in after.accept}
    for paths, rule in rules.items():
        if paths not in now:
            yield f"the accept rule of {', '.join(paths)} is gone"
        elif now[paths] != rule:
            yield f"the accept rule of {', '.join(paths)} has changed; read it"
    if set(after.penalties.exempt) - set(before.penalties.exempt):
        yield "more addresses are exempt from penalties"


def _people(before: Config, after: Config) -> Iterator[tuple[str, list[str]]]:
    """Yield each user, with the virtual host where that is not the default one, and what is new."""
    from ftpsd.auth.widening import widened
    from ftpsd.service.inspecting.everybody import People

    old, new = People.of(before), People.of(after)
    for host, users in new.hosts.items():
        known = old.hosts[host].users if host in old.hosts else {}
        for name, user in users.users.items():
            lines = list(widened(known.get(name), user))
            if lines:
                yield f"{name}@{host}" if host else name, lines


def _entrance(listener: Any) -> str:
    return f"{listener.mode} on {listener.socket or f'{listener.address} port {listener.port}'}"


def _value(config: Config, key: str) -> object:
    found: Any = config
    for part in key.split("."):
        found = getattr(found, part, None)
    return found


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
