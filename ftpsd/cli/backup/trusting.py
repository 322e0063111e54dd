"""Which backups are believed: those that this server has signed, or a key that the operator has kept elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftpsd.cli.backup.backup_places import fail

if TYPE_CHECKING:
    from ftpsd.config.model import Config


def trusted_signers(config: Path, named: tuple[str, ...]) -> frozenset[str]:
    """Return the keys that are trusted: this server's own, where it is there, and those *named*."""
    from ftpsd.backups.list_signatures import KeyTrouble, public_file, signer_in

    try:
        found = {signer_in(text) for text in named}
    except KeyTrouble as trouble:
        fail(str(trouble))
    own = _config(config)
    if own is not None and own.key_of_backups is not None:
        for file in (own.key_of_backups, public_file(own.key_of_backups)):
            try:
                found.add(signer_in(str(file)))
                break
            except KeyTrouble:
                continue  # lost, or not for us to read
    return frozenset(found)


def show_later_one(config: Path, place: str, names: list[str]) -> None:
    """Tell where the last backup that this server knows to have made at *place* is not there."""
    from ftpsd.backups.last_made import last_made

    own = _config(config)
    made = None if own is None else last_made(own.state, place)
    if made is not None and made.name not in names:
        text = f"the last backup that this server has made there is {made.name}, number {made.sequence}"
        click.echo(f"CAUTION: {text}, and it is gone: what follows is older, or of somebody else", err=True)


def warn_of_unsigned(signer: str | None) -> None:
    """Tell that nobody vouches for the backup."""
    by = "not signed" if signer is None else f"signed by {signer}, a key that is not trusted here"
    click.echo(
        f"CAUTION: the list of this backup is {by}. It decides which files are written, with which contents,", err=True
    )
    click.echo(
        "owners and modes, anywhere on this machine. Read what --dry-run names, line by line, before you", err=True
    )
    click.echo("restore, and bring back configuration and users by hand.", err=True)


def _config(config: Path) -> Config | None:
    from ftpsd.config.parsing.document import ConfigErrors
    from ftpsd.config.reading import load_config

    if not config.exists():
        return None
    try:
        return load_config(config)
    except ConfigErrors:
        return None  # it is what is to be restored, perhaps
