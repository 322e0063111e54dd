"""`ftpsd user set|enable|disable|generate`: changes of one user."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, Final

import click

from ftpsd.cli.running.ending_users import end_now, now_option, require_server
from ftpsd.cli.terminal import RELOAD, hashed, users_file
from ftpsd.cli.user_commands import users_options

# Letters that nobody takes for each other, also read out; 25 of them are 120 bits.
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS: Final = 5
_IN_GROUP: Final = 5
# Keys whose values nobody should see in a list of processes or the history of a shell.
_SECRET: Final = {
    "password": "ftpsd user password NAME, or ftpsd user generate NAME",
    "second_factor": "ftpsd user otp NAME (`required` is written into users.yaml, mostly for a role or group)",
}


@click.command("set")
@click.argument("name")
@click.argument("settings", metavar="KEY=VALUE...", nargs=-1, required=True)
@users_options
def set_keys(name: str, settings: tuple[str, ...], config: Path | None, users: Path | None, host: str | None) -> None:
    """
    Set keys of the user NAME, as users.yaml spells them.

    KEY= takes a key out, so that the group or role decides. All of them are set, or none.

    \b
    ftpsd user set alice expires=2027-03-31 sessions=2
    ftpsd user set alice 'networks=[192.0.2.0/24]' role=
    ftpsd user set alice 'hours={days: [mon-fri], from: "06:00", to: "20:00", zone: Europe/Berlin}'
    """
    from ftpsd.config.editing.edit import locked

    changes = dict(_change(setting) for setting in settings)
    if len(changes) < len(settings):
        raise click.UsageError("A key is there twice.")
    path = users_file(config, users, host)
    with locked(path) as file:
        file.set(name, changes)
        if file.is_changed:
            file.save()
    click.echo(f"changed {', '.join(changes)} of {name} in {path}; {RELOAD}")


def _change(setting: str) -> tuple[str, Any]:
    from ftpsd.config.editing.settings import REMOVED
    from ftpsd.config.parsing.complaints import nearest
    from ftpsd.config.parsing.document import ConfigErrors, parse, shown_name
    from ftpsd.config.people.user_entries import UserEntry

    key, equals, text = setting.partition("=")
    known = [each for each in UserEntry.model_fields if each not in _SECRET]
    if not equals:
        raise click.UsageError(f"{shown_name(key)} has no value; write KEY=VALUE, or KEY= to take the key out.")
    if key in _SECRET:
        raise click.UsageError(f"{key} is no argument, which everybody on this machine could read: {_SECRET[key]}.")
    if key not in known:
        guess = nearest(key, known)
        hint = f"did you mean {guess}?" if guess else f"the keys are {', '.join(known)}."
        raise click.UsageError(f"{shown_name(key)} is not a key of a user; {hint}")
    if not text:
        return key, REMOVED
    try:
        document = parse(text, key)
    except ConfigErrors as problem:
        raise click.UsageError("; ".join(f"{key}: {error.message}" for error in problem.errors)) from None
    if document.errors:
        raise click.UsageError("; ".join(f"{key}: {error.message}" for error in document.errors))
    return key, document.root.value


@click.command("enable")
@click.argument("name")
@users_options
def enable(name: str, config: Path | None, users: Path | None, host: str | None) -> None:
    """Let the user NAME log in again."""
    _switch(name, True, users_file(config, users, host))


@click.command("disable")
@click.argument("name")
@now_option
@users_options
def disable(name: str, now: bool, config: Path | None, users: Path | None, host: str | None) -> None:
    """Keep the user NAME out; sessions that are there end with the reload."""
    if now:
        require_server(users)
    path = users_file(config, users, host)
    _switch(name, False, path)
    if now:
        end_now(name, config, path)


def _switch(name: str, is_enabled: bool, path: Path) -> None:
    from ftpsd.config.editing.switching import set_enabled

    word = "enabled" if is_enabled else "disabled"
    if set_enabled(path, name, is_enabled):
        click.echo(f"{word} {name} in {path}; {RELOAD}")
    else:
        click.echo(f"{name} was {word} already")


@click.command("generate")
@click.argument("name")
@users_options
def generate(name: str, config: Path | None, users: Path | None, host: str | None) -> None:
    """
    Give the user NAME a strong random password, and print it: once, on standard output, and nowhere else.
    """
    from ftpsd.config.editing.edit import locked

    path = users_file(config, users, host)
    with locked(path) as file:
        file.require(name)
    password = new_password()
    stored = hashed(password)
    with locked(path) as file:
        file.set_password(name, stored)
        file.save()
    click.echo(password)
    click.echo(f"changed the password of {name} in {path}; {RELOAD}", err=True)


def new_password() -> str:
    """Return a random password that can be read out."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_IN_GROUP)) for _ in range(_GROUPS))
    return "-".join(groups)
