"""`ftpsd user enrol`: tickets by which clients pin their certificates to users, and the pins."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftpsd.cli.terminal import (
    given_or_default,
    host_option,
    print_table,
    refuse_without_effect,
    users_file,
    with_config,
)

if TYPE_CHECKING:
    from sqlite3 import Connection

    from ftpsd.auth.certified.pins import Pin
    from ftpsd.config.model import Config

ALL = "all"
COLUMNS = ("fingerprint", "subject", "since")


@click.command("enrol")
@click.argument("name")
@click.option("--valid", default="24h", show_default=True, metavar="TIME", help="How long the ticket can be used.")
@click.option("--list", "lists", is_flag=True, help="Show the certificates that are pinned, and make no ticket.")
@click.option("--forget", metavar="FINGERPRINT|all", help="Remove one pin, or all of the user with the ticket.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@host_option
@with_config
def enrol_user(
    name: str, valid: str, lists: bool, forget: str | None, as_json: bool, host: str | None, config: Path
) -> None:
    """Print a ticket: the first login of NAME with it pins the client's certificate."""
    from ftpsd.auth.certified.pins import give_ticket
    from ftpsd.auth.certified.ticket import new_ticket
    from ftpsd.config.reading import load_config
    from ftpsd.config.units import parse_duration
    from ftpsd.config.users import load_users

    if lists and forget is not None:
        raise click.UsageError("Name one of --list and --forget.")
    if lists or forget is not None:
        refuse_without_effect("is for a new ticket, and none is made", "valid")
    if forget is not None:
        refuse_without_effect("goes without --forget", "as_json")
    loaded = load_config(given_or_default(config))
    people = load_users(users_file(config, None, host))
    record = people.users.get(name) or people.from_sources.get(name)
    account = account_in(loaded, name, host)
    if lists or forget is not None:
        with opened(loaded) as connection:
            if forget is not None:
                _forget(connection, account, name, forget)
            else:
                show_pins(pins_of(connection, account), as_json=as_json)
        return
    if record is None:
        raise click.UsageError(f"There is no user {name}; add one first: ftpsd user add {name}.")
    try:
        seconds = parse_duration(valid)
    except ValueError as error:
        raise click.UsageError(f"--valid: {error}.") from None
    ticket, until = new_ticket(), time.time() + seconds
    with opened(loaded) as connection:
        give_ticket(connection, account, ticket, until)
    method = record.authentication or _method_of_host(loaded, host)
    if as_json:
        click.echo(json.dumps({"user": name, "ticket": ticket, "until": shown_time(until), "authentication": method}))
        return
    click.echo(ticket)
    behind = "" if method == "certificate" else ", with a colon and the user's password behind it"
    click.echo(
        f"until {shown_time(until)}, once: log in as {name} with the certificate, "
        f"and with this in place of the password{behind}",
        err=True,
    )
    if method == "password":
        click.echo(
            f"{name} logs in by password, so the certificate alone opens nothing: set `authentication: certificate` or "
            "certificate-and-password",
            err=True,
        )
    if not _asks(loaded, host):
        click.echo(
            "no client is asked for a certificate: set tls.client_certificates.request to optional or required",
            err=True,
        )


def pins_of(connection: Connection, account: str) -> list[Pin]:
    """Return the certificates that are pinned to *account*."""
    from ftpsd.auth.certified.pins import pins

    return pins(connection, account)


def show_pins(found: list[Pin], *, as_json: bool) -> None:
    """Print pins."""
    if as_json:
        values = [(each.fingerprint, each.subject, shown_time(each.since)) for each in found]
        click.echo(json.dumps([dict(zip(COLUMNS, each, strict=True)) for each in values], indent=2))
    else:
        rows = [[each.fingerprint, each.subject or "-", shown_time(each.since)] for each in found]
        print_table(COLUMNS, rows)


def forget_user(config: Path | None, name: str, host: str | None) -> None:
    """Remove the pins and the ticket of a user who is removed or added: another one of that name must not have them."""
    from ftpsd.auth.certified.pins import forget
    from ftpsd.config.reading import load_config

    loaded = load_config(given_or_default(config))
    if loaded.state is not None and loaded.state.exists():
        with opened(loaded) as connection:
            forget(connection, account_in(loaded, name, host))


def account_in(config: Config, name: str, host: str | None) -> str:
    """Return the key of the user *name* of a virtual *host* in the state file."""
    from ftpsd.control.state.hosts import account_of

    if host is None:
        return name
    first = next(section.names[0] for section in config.virtual_hosts if host.lower() in section.names)
    return account_of(first, name)


@contextmanager
def opened(config: Config) -> Iterator[Connection]:
    """Open the state file for one transaction."""
    from ftpsd.durable.opening import state_opened
    from ftpsd.durable.state_trouble import StateTrouble

    if config.state is None:
        raise click.UsageError("There is no state file to keep it in: name one in `state`.")
    try:
        with state_opened(config.state) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
    except StateTrouble as trouble:
        raise click.UsageError(f"{config.state}: {trouble}.") from None


def _forget(connection: Connection, account: str, name: str, fingerprint: str) -> None:
    from ftpsd.auth.certified.pins import forget
    from ftpsd.config.people.login_keys import check_fingerprint

    try:
        which = None if fingerprint == ALL else check_fingerprint(fingerprint)
    except ValueError as error:
        raise click.UsageError(f"--forget: {error}.") from None
    count = forget(connection, account, which)
    if not count and which is not None:
        raise click.UsageError(f"{name} has no such certificate; see --list.")
    click.echo(f"removed {count} of the certificates of {name}; a reload ends the sessions that came with them")


def _method_of_host(config: Config, host: str | None) -> str:
    for section in config.virtual_hosts if host is not None else ():
        if host is not None and host.lower() in section.names and section.authentication is not None:
            return section.authentication
    return config.authentication


def _asks(config: Config, host: str | None) -> bool:
    from ftpsd.config.client_certificates import holding

    numbers = [number for number, each in enumerate(config.virtual_hosts) if host and host.lower() in each.names]
    number = numbers[0] if numbers else None
    return any(holding(config, listener, number)[0] != "never" for listener in range(len(config.listeners)))


def shown_time(seconds: float) -> str:
    """Return a Unix time for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
