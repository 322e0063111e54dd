"""`ftpsd shred`: the data keys of a user are destroyed, so that no copy of the files can be read any more."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ftpsd.cli.terminal import EXIT_FINE, EXIT_PROBLEM, EXIT_WRONG, complain, counted, host_option, shown, with_config

if TYPE_CHECKING:
    from ftpsd.config.users import UserRecord, Users
    from ftpsd.service.load import Loaded

STAYS: Final = {
    "plain": "not encrypted: anybody with the disk or a backup can read what is there",
    "other-key": "encrypted with the key of another directory, or of before: the key stays where it is not destroyed",
}


@dataclass(frozen=True, slots=True)
class Tree:
    """An encrypted directory of the user, and the *others* who have it too."""

    directory: str
    others: tuple[str, ...]


@click.command()
@click.argument("name", metavar="USER")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--shared", is_flag=True, help="Also the keys of directories that other users have.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; needs --yes.")
@host_option
@with_config
def shred(name: str, yes: bool, shared: bool, as_json: bool, host: str | None, config: Path) -> None:
    """
    Destroy the data keys of USER: nobody can read the user's encrypted files any more, in backups neither.

    There is no way back. Backups of the data keys have to be destroyed, too. The files stay where they are, unreadable,
    and an upload afterwards gets a new key; disable or remove the user first. Ends with 1 where there was no key, or
    where files there are readable all the same: plain ones, and those encrypted with other keys.
    """
    from ftpsd.audit.events import DAEMON
    from ftpsd.audit.topics.encryption_events import DataKeysDestroyed
    from ftpsd.cli.encrypting.encrypted import Records, account, loaded_with_vault

    if as_json and not yes:
        raise click.UsageError("--json needs --yes, for nothing is asked then.")
    loaded, vault = loaded_with_vault(config)
    users = loaded.users if host is None else _users_of(loaded, host)
    user = None if users is None else users.users.get(name)
    if user is None:
        raise click.UsageError(f"There is no user {shown(name)}; `ftpsd user list` shows who is there.")
    trees = _trees(user, loaded.known())
    if not trees:
        click.echo(f"{shown(name)} has no encrypted directory", err=True)
        sys.exit(EXIT_PROBLEM)
    audit = Records.of(loaded)
    chosen = [tree for tree in trees if shared or not tree.others]
    for tree in trees:
        if tree not in chosen:
            told = f"{tree.directory} is also of {', '.join(map(shown, tree.others[:5]))}: its keys stay (--shared)"
            click.echo(told, err=True)
    _refuse_held(loaded, [tree.directory for tree in chosen])
    keys = {tree.directory: vault.holding([tree.directory]) for tree in chosen}
    if not yes:
        for directory, records in keys.items():
            click.echo(f"{counted(len(records), 'data key')} of {directory}", err=True)
        if click.prompt(f"This cannot be undone. Type the user's name ({shown(name)}) to destroy them") != name:
            click.echo("nothing was done", err=True)
            sys.exit(EXIT_WRONG)
    tombs = vault.files.tombs()
    stays = {
        directory: stays_readable(directory, tombs | {record.id for record in records})
        for directory, records in keys.items()
    }
    destroyed = {}
    with vault.files.locked():
        vault.files.finish_destroying()
        for directory in keys:
            records = vault.holding([directory])
            for each in records:
                vault.files.destroy(each, account())
            destroyed[directory] = len(records)
            if records:
                audit.add(DataKeysDestroyed(DAEMON, name, directory, len(records), account()))
    if as_json:
        answer = {"user": name, "destroyed": destroyed, "stays": {place: each for place, each in stays.items() if each}}
        click.echo(json.dumps(answer, indent=2))
    else:
        for directory, number in destroyed.items():
            click.echo(f"destroyed {counted(number, 'data key')} of {directory}")
        for directory, counts in stays.items():
            for what, number in counts.items():
                click.echo(f"{directory}: {counted(number, 'file')} {STAYS[what]}", err=True)
        click.echo("destroy backups of the directory of data keys, too")
    sys.exit(EXIT_PROBLEM if any(stays.values()) or not any(destroyed.values()) else EXIT_FINE)


def stays_readable(directory: str, destroyed: set[str]) -> dict[str, int]:
    """Return how many files of *directory* are readable without the keys *destroyed*, by what they are."""
    from ftpsd.storage.sealing.damage import DamagedError
    from ftpsd.storage.sealing.header import data_keys_of
    from ftpsd.storage.sealing.layout import MAGIC
    from ftpsd.storage.sealing.walks.survey import headers_in

    found: Counter[str] = Counter()
    for _, raw in headers_in(directory):
        try:
            ids = {number.hex() for _, _, number in data_keys_of(raw)}
        except DamagedError:
            found["plain"] += not raw.startswith(MAGIC)
        else:
            found["other-key"] += bool(ids) and destroyed.isdisjoint(ids)
    return dict(+found)


def _refuse_held(loaded: Loaded, directories: list[str]) -> None:
    """End where a legal hold is about anything in *directories*."""
    from ftpsd.durable.state_trouble import StateTrouble
    from ftpsd.service.retaining.holds_in_force import held_places

    for directory in directories:
        try:
            hold = held_places(loaded.config.state, loaded.known()).inside(os.path.realpath(directory))
        except StateTrouble as trouble:
            complain([f"nothing was done, for the legal holds are in the state file, {loaded.config.state}: {trouble}"])
        if hold is not None:
            complain(
                [
                    f"nothing was done: the legal hold {hold.name} ({shown(hold.reason)}) is about files in "
                    f"{directory}; see `ftpsd hold list`"
                ]
            )


def _users_of(loaded: Loaded, host: str) -> Users | None:
    """Return the users of the virtual host called *host*."""
    sections = zip(loaded.config.virtual_hosts, loaded.hosts, strict=True)
    return next((users for section, users in sections if host in section.names), None)


def _trees(user: UserRecord, everybody: list[UserRecord]) -> list[Tree]:
    """Return the encrypted directories of *user*."""
    from ftpsd.config.encrypting.encryption import trees_of
    from ftpsd.storage.sealing.trees import holder_of

    mine = list(dict.fromkeys(holder_of(path) for _, path, keys, _ in trees_of(user) if keys is not None))
    others: dict[str, list[str]] = {directory: [] for directory in mine}
    for other in everybody:
        if other is not user:
            for _, path, _, _ in trees_of(other):
                if (directory := holder_of(path)) in others:
                    others[directory].append(other.name)
    return [Tree(directory, tuple(dict.fromkeys(names))) for directory, names in others.items()]
