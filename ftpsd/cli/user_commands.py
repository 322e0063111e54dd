"""`ftpsd user`: the users in users.yaml."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftpsd.cli.enrol_command import enrol_user, forget_user
from ftpsd.cli.running.ending_users import end_now, now_option, require_server
from ftpsd.cli.terminal import (
    FILE,
    RELOAD,
    Function,
    ask_password,
    config_option,
    counted,
    given_or_default,
    hashed,
    host_option,
    named_account,
    password_option,
    print_table,
    users_file,
)

if TYPE_CHECKING:
    from ftpsd.config.checks.owner import Account
    from ftpsd.config.people.user_entries import UserEntry
    from ftpsd.config.users import UserRecord


@click.group()
def user() -> None:
    """Change or list the users in users.yaml; the running server takes them over on SIGHUP."""


user.add_command(enrol_user)


def users_options(command: Function) -> Function:
    """Add the two ways to name the users file."""
    command = host_option(command)
    command = click.option("--users", type=FILE, metavar="FILE", help="The users file, users.yaml.")(command)
    return config_option(command)


@user.command("add")
@click.argument("name")
@click.option("--home", type=FILE, metavar="DIR", help="The directory the user sees as /; else that of group or role.")
@click.option("--group", help="A group of the file.")
@click.option("--role", help="A role of the file; without one, and without one of the group, everything is allowed.")
@click.option(
    "--source", type=click.Choice(["ldap", "pam", "http"]), help="One of this source; no password is asked for."
)
@click.option("--create-home", is_flag=True, help="Make the directory, for the daemon's user only.")
@click.option("--owner", metavar="USER", help="The daemon's user, whose the new home is; else it is found out.")
@password_option
@users_options
def add_user(
    name: str,
    home: Path | None,
    group: str | None,
    role: str | None,
    source: str | None,
    create_home: bool,
    owner: str | None,
    password_stdin: bool,
    config: Path | None,
    users: Path | None,
    host: str | None,
) -> None:
    """
    Add the user NAME.

    With --source it is one whose password, home and rights a source of users says; the file has a second factor and
    limits for such a user: `ftpsd user otp NAME`, `ftpsd user set NAME`.
    """
    from ftpsd.config.editing.edit import locked

    if source is not None:
        if any((home, group, role, create_home, owner, password_stdin)):
            raise click.UsageError("With --source there is nothing else to say: the source says it.")
        path = users_file(config, users, host)
        with locked(path) as file:
            file.add(name, {"source": source})
            if users is None:
                _forget_earlier(config, name, host)
            file.save()
        click.echo(f"added {name} of {source} to {path}; {RELOAD}")
        return
    account = named_account(owner)
    if account is not None and not create_home:
        raise click.UsageError("--owner goes with --create-home, which makes something to own.")
    if home is None and group is None and role is None:
        raise click.UsageError("--home is missing, and there is no --group or --role that could have one.")
    path = users_file(config, users, host)
    said = {"home": None if home is None else str(home.absolute()), "group": group, "role": role}
    settings = {key: value for key, value in said.items() if value is not None}
    # Tried before the password is asked for, so that the operator types none in vain; the lock is not held by a prompt.
    with locked(path) as file:
        file.add(name, settings)
    password = hashed(ask_password(password_stdin))
    with locked(path) as file:
        file.add(name, {"password": password, **settings})
        home = file.user(name).home
        files = [path] if users is not None else [given_or_default(config), path]
        made = _made(home, account, files) if create_home else ""
        if users is None:
            _forget_earlier(config, name, host)
        file.save()
    click.echo(f"added {name} to {path}")
    click.echo(RELOAD, err=True)
    if not home.is_dir():
        click.echo(f"{home} does not exist yet; run: mkdir -p {shlex.quote(str(home))}", err=True)
    elif made:
        click.echo(made, err=True)


def _forget_earlier(config: Path | None, name: str, host: str | None) -> None:
    """Forget the pins of an earlier user *name*, whom an editor took out of the file."""
    try:
        forget_user(config, name, host)
    except click.UsageError as error:
        of_host = "" if host is None else f" --host {shlex.quote(host)}"
        run = f"ftpsd user enrol {shlex.quote(name)} --forget all{of_host}"
        click.echo(f"certificates of an earlier {name} may be left: {error.message} Then run: {run}", err=True)


def _made(home: Path, account: Account | None, files: list[Path]) -> str:
    """Make *home* for *account*, else for the user of the daemon that reads *files*; return what to say of it."""
    from ftpsd.config.checks.owner import account_of
    from ftpsd.config.editing.making import make_home, owner_of_homes

    account = account or owner_of_homes(home, files)
    try:
        is_new = make_home(home, account)
        there = account_of(home.stat().st_uid)
    except OSError as error:
        raise click.UsageError(f"{home} cannot be made: {error.strerror}.") from None
    if is_new:
        return f"{home} belongs to {there.name}, as whom the daemon runs; --owner names another"
    if there.uid == account.uid:
        return f"{home} was there, and belongs to {there.name}, as whom the daemon runs"
    run = f"chown {account.name}: {shlex.quote(str(home))}"
    return f"{home} was there and belongs to {there.name}, but the daemon runs as {account.name}; run: {run}"


@user.command("password")
@click.argument("name")
@password_option
@users_options
def set_password(name: str, password_stdin: bool, config: Path | None, users: Path | None, host: str | None) -> None:
    """Set the password of the user NAME."""
    from ftpsd.config.editing.edit import locked

    path = users_file(config, users, host)
    # Tried before the password is asked for, as above.
    with locked(path) as file:
        file.require(name)
    password = hashed(ask_password(password_stdin))
    with locked(path) as file:
        file.set_password(name, password)
        file.save()
    click.echo(f"changed the password of {name} in {path}; {RELOAD}")


@user.command("remove")
@click.argument("name")
@now_option
@users_options
def remove_user(name: str, now: bool, config: Path | None, users: Path | None, host: str | None) -> None:
    """Remove the user NAME; the files in the home stay."""
    from ftpsd.config.editing.edit import locked

    if now:
        require_server(users)
    path = users_file(config, users, host)
    with locked(path) as file:
        file.remove(name)
        file.save()
    if users is None:
        forget_user(config, name, host)
    click.echo(f"removed {name} from {path}; the home was left as it is; {RELOAD}")
    if now:
        end_now(name, config, path)


@user.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a user.")
@users_options
def list_users(as_json: bool, config: Path | None, users: Path | None, host: str | None) -> None:
    """List the users."""
    from ftpsd.config.users import load_users

    found = load_users(users_file(config, users, host))
    described_users = [*map(described, found.users.values())]
    described_users += [_described_of_source(name, entry) for name, entry in found.from_sources.items()]
    if as_json:
        click.echo(json.dumps(described_users, indent=2))
        return
    words: dict[object, str] = {True: "yes", False: "no", None: "never"}
    rows = [
        [words.get(value) or str(value) for value in {**row, "home": row["home"] or "-"}.values()]
        for row in described_users
    ]
    print_table(("name", "home", "access", "enabled", "expires"), rows)


def described(record: UserRecord) -> dict[str, Any]:
    """Return the facts of a user that may be printed: no hash."""
    return {
        "name": record.name,
        "home": str(record.home),
        "access": "full" if record.rules is None else counted(len(record.rules), "rule"),
        "enabled": record.enabled,
        "expires": None if record.expires is None else record.expires.isoformat(),
    }


def _described_of_source(name: str, entry: UserEntry) -> dict[str, Any]:
    return {
        "name": name,
        "home": None,
        "access": f"as {entry.source} says",
        "enabled": entry.enabled,
        "expires": None if entry.expires is None else entry.expires.isoformat(),
    }
