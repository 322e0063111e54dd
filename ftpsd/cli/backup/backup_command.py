"""`ftpsd backup`: configuration, users, keys, state and homes, to a directory or to another server."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ftpsd.cli.backup.backup_places import fail, job_called, place_of, repository_in, repository_of, signing_key_of
from ftpsd.cli.encrypting.encrypted import Records, account
from ftpsd.cli.terminal import (
    EXIT_FINE,
    EXIT_PROBLEM,
    FILE,
    counted,
    is_drawn_on,
    refuse_without_effect,
    shown,
    with_config,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ftpsd.backups.backing_up import Copied, Scope
    from ftpsd.backups.repository import Repository
    from ftpsd.backups.stored_backups import Verified
    from ftpsd.config.automation.job_sections import BackupJob
    from ftpsd.service.load import Loaded

# Behind the server, for processor and disk.
NICE: Final = 10
# Seconds between two lines.
TELL: Final = 60.0
TELL_DAEMON: Final = 0.5


@click.command()
@click.option("--job", metavar="NAME", help="As this one of `jobs`; the only backup among them where left out.")
@click.option("--to", "directory", type=FILE, metavar="DIR", help="To this directory, whatever `jobs` says.")
@click.option("--verify", is_flag=True, help="Make none: read all that is stored there, and put aside what is damaged.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object at the end.")
@click.option("--lines", is_flag=True, help="Print how far it is as lines of JSON: how the daemon runs it.")
@with_config
def backup(job: str | None, directory: Path | None, verify: bool, as_json: bool, lines: bool, config: Path) -> None:
    """
    Make a backup; clients go on meanwhile.

    Files that have not changed since the last one are not read again. Run it as the daemon's user, or as root.
    Ends with 1 where something could not be read, and with 2 where there is no backup.

    With --verify every file of every backup is read there, and compared with its SHA-256: what is damaged is put aside
    (NAME.damaged), so that the next backup stores it anew. Ends with 1 where there was such a file.
    """
    if verify:
        refuse_without_effect("goes without --verify", "lines")
    if lines and as_json:
        raise click.UsageError("Say --json or --lines, one of the two.")
    import sqlite3

    from ftpsd.audit.events import DAEMON
    from ftpsd.audit.topics.automation.backup_events import BackupMade
    from ftpsd.backups.list_signatures import public_file
    from ftpsd.backups.manifest import Damaged
    from ftpsd.backups.repository import Busy
    from ftpsd.config.automation.job_sections import BackupJob
    from ftpsd.partners.contact import PartnerError
    from ftpsd.service.load import load

    if job is not None and directory is not None:
        raise click.UsageError("Say --job or --to, one of the two.")
    os.umask(0o077)
    with suppress(OSError):  # inside of the unit it may not
        os.nice(NICE)
    loaded = load(config)
    found = job_called(loaded, job).backup if directory is None else BackupJob(directory=directory.absolute())
    assert found is not None
    if found.directory is not None and not verify:
        _require_out_of_homes(loaded, found.directory)
    records = None if verify else Records.of(loaded)
    try:
        if records is None:
            _verify(_changing(loaded, found), as_json)
            return
        copied = _made(loaded, found, _teller(lines, as_json))
    except (Busy, Damaged, PartnerError, sqlite3.Error) as problem:
        fail(str(problem))
    except OSError as error:
        fail(f"{error.filename or 'the backup'}: {error.strerror}")
    for trouble in copied.troubles:
        click.echo(shown(trouble), err=True)
    place = place_of(found)
    told = copied.files, copied.bytes, copied.stored, len(copied.troubles), account()
    records.add(BackupMade(DAEMON, copied.name, place, *told))
    if as_json:
        click.echo(json.dumps(asdict(copied), indent=2))
    elif not lines:
        text = f"backup {copied.name}: {counted(copied.files, 'file')}, {counted(copied.bytes, 'byte')}"
        click.echo(f"{text}; {copied.stored} of them stored, {counted(copied.copied, 'byte')}")
        if key := loaded.config.key_of_backups:
            click.echo(f"number {copied.sequence} there, signed; see {public_file(key)}")
        if copied.removed:
            click.echo(f"{counted(copied.removed, 'older backup')} removed")
    sys.exit(EXIT_PROBLEM if copied.troubles else EXIT_FINE)


def _require_out_of_homes(loaded: Loaded, directory: Path) -> None:
    """End where a user would see the backup, which has the users files and everybody's files."""
    from ftpsd.config.checks.home_layout import OBJECTS, overlapping

    for complaint in overlapping([loaded.users, *loaded.hosts], [directory / OBJECTS]):
        if complaint.severity == "error":
            fail(complaint.message)


def _changing(loaded: Loaded, found: BackupJob) -> AbstractContextManager[Repository]:
    if found.directory is None:
        return repository_of(loaded, found, makes=True)
    return repository_in(found.directory, makes=True)


def _made(loaded: Loaded, found: BackupJob, tell: object) -> Copied:
    from ftpsd.backups.backing_up import Backup, LastMade
    from ftpsd.backups.last_made import last_made, remember
    from ftpsd.backups.list_signatures import shown_key
    from ftpsd.backups.stored_backups import thin_out

    state, place = loaded.config.state, place_of(found)
    key, is_new = signing_key_of(loaded.config)
    if is_new and key is not None:
        text = f"{loaded.config.key_of_backups} was made, which signs backups from now on; it is in none of them"
        click.echo(f"{text}. On another machine `ftpsd restore` asks for it, so keep this line elsewhere:", err=True)
        click.echo(f"--signer {shown_key(key.public_key())}", err=True)
    if key is None:
        click.echo("there is neither backup_key nor a state file, so this backup is not signed", err=True)
    with _changing(loaded, found) as repository:
        before = last_made(state, place)
        work = Backup(scope_of(loaded, found), repository, tell, key=key, before=before)  # type: ignore[arg-type]
        copied = work.make()
        remember(state, place, LastMade(copied.name, copied.sequence))
        copied.removed = thin_out(repository, found.keep, found.keep_for, time.time())
        return copied


def _verify(changing: AbstractContextManager[Repository], as_json: bool) -> None:
    """Verify what is stored, and end."""
    from ftpsd.backups.stored_backups import verify_all

    with changing as repository:
        found = verify_all(repository, _verify_teller(as_json))
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
    else:
        for text in (*found.lists, *found.files):
            click.echo(f"damaged  {shown(text)}")
        text = f"{counted(found.objects, 'stored file')}, {counted(found.bytes, 'byte')} verified"
        click.echo(f"{text}; {found.damaged} of them damaged or missing, {counted(len(found.lists), 'damaged list')}")
    sys.exit(EXIT_PROBLEM if found.damaged or found.lists else EXIT_FINE)


def _verify_teller(is_quiet: bool) -> Callable[[Verified], None]:
    last = time.monotonic()

    def tell(found: Verified) -> None:
        nonlocal last
        if not is_quiet and time.monotonic() - last >= TELL:
            last = time.monotonic()
            click.echo(f"{counted(found.objects, 'stored file')}, {counted(found.bytes, 'byte')} so far", err=True)

    return tell


def scope_of(loaded: Loaded, found: BackupJob) -> Scope:
    """Return what is backed up: to another server no keys, unless that is asked for."""
    from ftpsd.backups.backing_up import Scope
    from ftpsd.backups.backup_scope import config_files, key_files, key_trees, never_in, trees_of

    config = loaded.config
    has_keys = found.keys if found.keys is not None else found.directory is not None
    files = [("config", path) for path in config_files(config)]
    trees = []
    if has_keys:
        files += [("keys", path) for path in key_files(config)]
        trees += [("keys", path) for path in key_trees(config)]
    if found.homes:
        trees += [("homes", path) for path in trees_of(loaded.known(), found.also)]
    never = [*never_in(config), *([found.directory] if found.directory is not None else [])]
    if not has_keys:
        # A tree of `also`, such as /etc/ftpsd, has them perhaps.
        never += [*key_files(config), *key_trees(config)]
    return Scope(tuple(files), tuple(trees), config.state, has_keys, frozenset(map(os.path.realpath, never)))


def _teller(lines: bool, is_quiet: bool) -> object:
    """Return what tells how far a backup is: the daemon, a terminal, or in a line now and then."""
    last = time.monotonic()
    if not lines and not is_quiet and is_drawn_on(sys.stderr):
        from rich.console import Console

        status = Console(stderr=True).status("")
        status.start()

        def show(copied: Copied) -> None:
            text = f"{counted(copied.files, 'file')}, {counted(copied.copied, 'byte')} stored: {copied.now}"
            status.update(shown(text).replace("[", "\\["))

        return show

    def tell(copied: Copied) -> None:
        nonlocal last
        if time.monotonic() - last < (TELL_DAEMON if lines else TELL):
            return
        last = time.monotonic()
        if lines:
            _line(copied)
        elif not is_quiet:
            click.echo(f"{counted(copied.files, 'file')}, {counted(copied.bytes, 'byte')} so far", err=True)

    return tell


def _line(copied: Copied) -> None:
    told = {"files": copied.files, "bytes": copied.bytes, "copied": copied.copied, "files_left": 0, "now": copied.now}
    click.echo(json.dumps(told))
