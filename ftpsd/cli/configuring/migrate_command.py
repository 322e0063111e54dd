"""`ftpsd migrate`: the configuration of another server as ftpsd.yaml and users.yaml."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ftpsd.cli.terminal import EXIT_WRONG, FILE, counted, refuse_without_effect

if TYPE_CHECKING:
    from ftpsd.migrating.migration import Migration

FROM: Final = ("vsftpd", "proftpd", "pure-ftpd", "filezilla", "sftpgo", "pyftpdlib")
_OPEN: Final = 0o644
_CLOSED: Final = 0o600


@click.command()
@click.argument("program", metavar="FROM", type=click.Choice(FROM))
@click.argument("path", type=FILE)
@click.option("--output", type=FILE, metavar="DIR", help="Write both files there; else they are printed.")
@click.option("--root", type=FILE, default=Path("/"), metavar="DIR", help="Where the / of the other machine is.")
@click.option("--passwd", type=FILE, metavar="FILE", help="Users of the machine: /etc/passwd, or lines of NAME:HASH.")
@click.option("--shadow", type=FILE, metavar="FILE", help="Their hashes: /etc/shadow.")
def migrate(
    program: str, path: Path, output: Path | None, root: Path, passwd: Path | None, shadow: Path | None
) -> None:
    """
    Make ftpsd.yaml and users.yaml of another server's configuration.

    FROM is the server, PATH its configuration file; the files that this names are read, too. Settings that could not
    be carried over or mean something else are comments in the result, and the summary on standard error counts them.
    No file is ever replaced.
    """
    from ftpsd.migrating.all_servers import WITHOUT_ACCOUNTS, migrated
    from ftpsd.migrating.old_machine import MigrationError
    from ftpsd.migrating.pages import server_page, users_page

    if program in WITHOUT_ACCOUNTS:
        refuse_without_effect(f"goes without {program}, whose users are in its own files", "passwd", "shadow")
    try:
        made = migrated(program, path, root, passwd, shadow)
    except MigrationError as error:
        click.echo(f"{error}", err=True)
        raise SystemExit(EXIT_WRONG) from None
    pages = (("ftpsd.yaml", server_page(made), _OPEN), ("users.yaml", users_page(made), _CLOSED))
    if output is None:
        for name, page, _ in pages:
            click.echo(f"# ---- {name}\n{page}", nl=False)
    else:
        for name, page, mode in pages:
            _write(output / name, page, mode)
    _summary(made)


def _write(file: Path, page: str, mode: int) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Made anew or not at all, and closed before the first byte of it is there.
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(opened, "w", encoding="utf-8") as stream:
            stream.write(page)
    except OSError as error:
        click.echo(f"{file}: {error.strerror}; nothing was replaced.", err=True)
        raise SystemExit(EXIT_WRONG) from None


def _summary(made: Migration) -> None:
    from ftpsd.migrating.migration import Fate

    told = ", ".join(f"{made.count(fate)} {fate}" for fate in Fate)
    off = sum(1 for person in made.people.values() if person.values.get("enabled") is False)
    people = counted(len(made.people), "user") + (f" ({off} disabled)" if off else "")
    click.echo(f"{made.program}: settings: {told}; {people}.", err=True)
    for note in made.notes:
        if note.fate is not Fate.CARRIED:
            click.echo(f"  {note}", err=True)
    click.echo("Make the homes, put the certificate in its place, then: ftpsd check --config ftpsd.yaml", err=True)
