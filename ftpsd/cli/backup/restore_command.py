"""`ftpsd restore`: what a backup would bring back, and bringing it back."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ftpsd.cli.backup.backup_places import fail, job_called, place_of, repository_in, repository_of
from ftpsd.cli.backup.trusting import show_later_one, trusted_signers, warn_of_unsigned
from ftpsd.cli.encrypting.encrypted import Records, account
from ftpsd.cli.terminal import EXIT_FINE, EXIT_PROBLEM, FILE, counted, refuse_without_effect, shown, with_config
from ftpsd.values.text import moment

if TYPE_CHECKING:
    from ftpsd.backups.repository import Repository
    from ftpsd.backups.restoring import Plan

PARTS: Final = ("config", "keys", "state", "homes")
# Files that are named one by one.
MOST_NAMED: Final = 1000


@click.command()
@click.argument("name", required=False, metavar="[BACKUP]")
@click.option("--from", "directory", type=FILE, metavar="DIR", help="The directory of the backups.")
@click.option("--job", metavar="NAME", help="The backups of this one of `jobs`.")
@click.option("--list", "lists", is_flag=True, help="List the backups, the oldest first, and change nothing.")
@click.option("--dry-run", is_flag=True, help="Verify all, say what would change, and change nothing.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there and differ.")
@click.option("--only", type=click.Choice(PARTS), multiple=True, help="This part alone; all of them where left out.")
@click.option(
    "--signer", "signers", metavar="KEY", multiple=True, help="Trust lists signed by it: ed25519:..., or a PEM file."
)
@click.option("--unsigned", is_flag=True, help="Believe the list of the backup, whoever has written it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object.")
@with_config
def restore(
    name: str | None,
    directory: Path | None,
    job: str | None,
    lists: bool,
    dry_run: bool,
    overwrite: bool,
    only: tuple[str, ...],
    signers: tuple[str, ...],
    unsigned: bool,
    as_json: bool,
    config: Path,
) -> None:
    """
    Bring back BACKUP, the newest where none is named.

    Every file of it is verified first: a damaged or unfinished backup changes nothing. What is there and differs is
    replaced with --overwrite alone; without it nothing at all is changed then. Files that are not in the backup stay.
    The list of the backup has to be signed by this server's key of backups, or by one that --signer names.
    Stop the server first. Ends with 1 where something differs or could not be done, and where there is no good backup.
    """
    from ftpsd.backups.manifest import Damaged
    from ftpsd.backups.restoring import Restore, Untrusted
    from ftpsd.partners.contact import PartnerError

    if lists:
        refuse_without_effect("goes without --list", "name", "dry_run", "overwrite", "only", "unsigned")
    is_changing = False
    try:
        with _repository(directory, job, config) as (repository, place):
            names = repository.names()
            trusted = trusted_signers(config, signers)
            show_later_one(config, place, names)
            if lists:
                _list(repository, names, trusted, as_json)
                return
            if not names:
                fail("there is no whole backup")
            parts = frozenset(only or PARTS)
            work = Restore(repository, name or names[-1], parts, None if unsigned else trusted)
            work.verify()
            plan = work.plan()
            held = _leave_held(config, plan)
            is_barred = bool(plan.replaced) and not overwrite
            _tell(plan, as_json, dry_run or is_barred)
            if plan.signer not in trusted:
                warn_of_unsigned(plan.signer)
            if dry_run:
                sys.exit(EXIT_PROBLEM if is_barred or held else EXIT_FINE)
            if is_barred:
                fail("nothing was changed: these files are there and differ; see --overwrite")
            _refuse_while_it_runs(config, plan)
            is_changing = True
            troubles = work.apply(plan)
            _record(config, plan, len(troubles))
    except Untrusted as problem:
        how = "name the key that you have kept with --signer, or see --unsigned: its writer may be anybody"
        fail(f"nothing was changed: {problem}; {how}")
    except (Damaged, PartnerError) as problem:
        done = "it is half done; run it again with --overwrite" if is_changing else "nothing was changed"
        fail(f"{done}: {problem}")
    for trouble in troubles:
        click.echo(shown(trouble), err=True)
    if not as_json:
        click.echo(f"restored {counted(len(plan.new) + len(plan.replaced) - len(troubles), 'item')}")
    sys.exit(EXIT_PROBLEM if troubles or held else EXIT_FINE)


@contextmanager
def _repository(directory: Path | None, job: str | None, config: Path) -> Iterator[tuple[Repository, str]]:
    """Open the backups that the options name, and tell their place."""
    if (directory is None) == (job is None) and directory is not None:
        raise click.UsageError("Say --job or --from, one of the two.")
    if directory is not None:
        with repository_in(directory.absolute(), makes=False) as found:
            yield found, os.path.realpath(directory)
        return
    from ftpsd.service.load import load

    loaded = load(config)
    backup = job_called(loaded, job).backup
    assert backup is not None
    with repository_of(loaded, backup, makes=False) as found:
        yield found, place_of(backup)


def _leave_held(config: Path, plan: Plan) -> int:
    """Take the files out of *plan* that a legal hold keeps as they are, and tell of them; return how many."""
    from ftpsd.config.parsing.document import ConfigErrors
    from ftpsd.durable.state_trouble import StateTrouble
    from ftpsd.service.load import load
    from ftpsd.service.retaining.holds_in_force import held_places

    if not any(item.part == "homes" for item in plan.replaced) or not config.exists():
        return 0
    try:
        loaded = load(config)
        places = held_places(loaded.config.state, loaded.known())
    except ConfigErrors:
        fail(f"nothing was changed: {config} is not whole, so legal holds are not known; restore it first, by --only")
    except StateTrouble as trouble:
        fail(f"nothing was changed: legal holds cannot be read ({trouble}); restore the state first, with --only state")
    count = 0
    for item in plan.replaced[:]:
        is_home = item.part == "homes" and item.kind != "directory"
        hold = places.on("/".join((os.path.realpath(item.root), *item.names))) if is_home else None
        if hold is not None:
            plan.replaced.remove(item)
            count += 1
            click.echo(f"{shown(item.path)}: left as it is, for the legal hold {hold.name} keeps it", err=True)
    return count


def _record(config: Path, plan: Plan, troubles: int) -> None:
    """Write the line of the audit log, of the configuration as it is now."""
    from ftpsd.audit.events import DAEMON
    from ftpsd.audit.topics.automation.backup_events import BackupRestored
    from ftpsd.config.parsing.document import ConfigErrors
    from ftpsd.service.load import load

    try:
        records = Records.of(load(config))
    except ConfigErrors:
        click.echo(f"{config} is not whole yet, so the audit log has no line of this; see ftpsd check", err=True)
        return
    made = len(plan.new), len(plan.replaced), troubles, account()
    records.add(BackupRestored(DAEMON, plan.header.name, *made))


def _list(repository: Repository, names: list[str], trusted: frozenset[str], as_json: bool) -> None:
    from ftpsd.backups.manifest import Damaged
    from ftpsd.backups.stored_backups import manifest_of

    rows: list[dict[str, Any]] = []
    for name in names:
        try:
            manifest = manifest_of(repository, name)
        except Damaged as damage:
            rows.append({"backup": name, "damage": str(damage)})
        else:
            header, files = manifest.header, [item for item in manifest.items if item.kind == "file"]
            rows.append(
                {
                    "backup": name,
                    "moment": header.moment,
                    "sequence": header.sequence,
                    "host": header.host,
                    "signer": manifest.signer,
                    "trusted": manifest.signer in trusted,
                    "files": len(files),
                    "bytes": sum(item.size for item in files),
                }
            )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        if "damage" in row:
            told = str(row["damage"])
        else:
            by = "signed" if row["trusted"] else "NOT SIGNED" if row["signer"] is None else f"signed by {row['signer']}"
            told = f"number {row['sequence']} of {row['host']}, {row['files']} files, {row['bytes']} bytes, {by}"
        click.echo(f"{row['backup']}: {shown(told)}")
    if not rows:
        click.echo("no backups", err=True)


def _tell(plan: Plan, as_json: bool, names_all: bool) -> None:
    if as_json:
        told = {
            "backup": plan.header.name,
            "moment": plan.header.moment,
            "sequence": plan.header.sequence,
            "signer": plan.signer,
            "new": [item.path for item in plan.new],
            "replaced": [item.path for item in plan.replaced],
            "same": plan.same,
            "bytes": plan.bytes,
            "unknown": plan.unknown,
        }
        click.echo(json.dumps(told, indent=2))
        return
    if names_all:
        for word, items in (("new", plan.new), ("replace", plan.replaced)):
            for item in items[:MOST_NAMED]:
                click.echo(f"{word}  {shown(item.path)}")
    counts = f"{len(plan.new)} new, {len(plan.replaced)} to replace, {plan.same} as they are, {plan.bytes} bytes"
    for text in plan.unknown:
        click.echo(shown(text), err=True)
    header = plan.header
    made = f"number {header.sequence} of {shown(header.host)}, made {moment(header.moment)} UTC"
    click.echo(f"backup {header.name}, {made}, all of it verified: {counts}")


def _refuse_while_it_runs(config: Path, plan: Plan) -> None:
    """End where the server of *config* runs and its state or configuration would change under its hands."""
    from ftpsd.cli.asking import NoServer, Refused, Server
    from ftpsd.config.parsing.document import ConfigErrors

    changes = {item.part for item in (*plan.new, *plan.replaced)}
    if "state" not in changes or not config.exists():
        return
    try:
        Server(config, None).ask("status", 5.0)
    except (NoServer, ConfigErrors):
        return
    except Refused:
        pass
    fail("nothing was changed: the server runs; stop it first, or restore with --only homes")
