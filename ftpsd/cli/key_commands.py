"""`ftpsd keys`: the OpenPGP keys of `pgp` rules, in the key home beside the state file."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftpsd.cli.terminal import FILE, counted, print_table, shown, with_config

if TYPE_CHECKING:
    from ftpsd.storage.pgp.key_home import KeyHome
    from ftpsd.storage.pgp.keyring import PublicKey

HEADER = ("fingerprint", "user", "encrypt", "sign", "secret", "expires")


@click.group()
def keys() -> None:
    """The OpenPGP keys of `pgp` rules."""


@keys.command("list")
@with_config
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a key.")
def list_keys(config: Path, as_json: bool) -> None:
    """List the keys, and until when they can be used."""
    from ftpsd.storage.pgp.keyring import keys_in

    with _told():
        found = keys_in(_home(config))
    rows = [_told_of(key) for key in found]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        print_table(HEADER, [[_cell(row[name]) for name in HEADER] for row in rows])
    else:
        click.echo("no keys", err=True)


@keys.command("import")
@with_config
@click.argument("file", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the fingerprints.")
def import_from(config: Path, file: Path, as_json: bool) -> None:
    """
    Import the keys in FILE, public or secret; - reads standard input.

    A secret key must have no passphrase, for nobody is there to type it. New uploads use a key at once.
    """
    from ftpsd.storage.pgp.keyring import LONGEST_IMPORT, import_keys

    home = _home(config)
    try:
        with nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as source:
            text = source.read(LONGEST_IMPORT)
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}.") from None
    with _told():
        found = import_keys(home, text)
        _give_to_daemon(home)
    if as_json:
        click.echo(json.dumps(found))
    else:
        click.echo(f"imported {counted(len(found), 'key')}: {', '.join(found)}")


@keys.command("remove")
@with_config
@click.argument("key")
def remove(config: Path, key: str) -> None:
    """Remove KEY, a fingerprint, with its secret part. Files that were encrypted to it stay encrypted to it."""
    from ftpsd.config.keeping_rules import check_key_id
    from ftpsd.storage.pgp.keyring import remove_key

    try:
        name = check_key_id(key)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    home = _home(config)
    with _told():
        remove_key(home, name)
        _give_to_daemon(home)
    click.echo(f"removed {name}")


class _told:
    """Turn trouble with gpg into a line and exit code 2."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, where: object) -> None:
        from ftpsd.storage.pgp.key_home import NoGnuPG
        from ftpsd.storage.pgp.keyring import KeyTrouble

        if isinstance(error, (NoGnuPG, KeyTrouble, OSError)):
            raise click.UsageError(f"{shown(str(error))}.") from None


def _home(config: Path) -> KeyHome:
    from ftpsd.config.reading import load_config
    from ftpsd.storage.pgp.key_home import KeyHome

    directory = load_config(config).key_home
    if directory is None:
        raise click.UsageError("There is no key home: name a state file in `state`, beside which it is.")
    return KeyHome(directory)


def _give_to_daemon(home: KeyHome) -> None:
    """Give what root has made to the daemon's user: that of the state file's folder, as systemd makes it."""
    from ftpsd.storage.pgp.keyring import give_to

    if os.geteuid() == 0:
        owner = home.directory.parent.stat()
        give_to(home, owner.st_uid, owner.st_gid)


def _told_of(key: PublicKey) -> dict[str, object]:
    now = time.time()
    ends = [end for ability in "es" if (end := key.expiry(ability, now)) > now]
    first = min(ends, default=key.parts[0].expires or now)
    return {
        "fingerprint": key.fingerprint,
        "user": key.user,
        "encrypt": key.fault("e", now) is None,
        "sign": key.fault("s", now) is None,
        "secret": key.has_secret,
        "expires": None if math.isinf(first) else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(first)),
    }


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "never" if value is None else shown(str(value))
