"""`ftpsd rekey`: encrypted files take the newest key, while clients work."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftpsd.cli.terminal import EXIT_FINE, EXIT_PROBLEM, counted, shown, with_config

if TYPE_CHECKING:
    from ftpsd.service.load import Loaded
    from ftpsd.storage.sealing.vault import Vault
    from ftpsd.storage.sealing.walks.rewrapping import Progress

# Behind the server, for processor and disk.
NICE = 10
# Seconds between two lines of progress.
TELL = 2.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object at the end.")
@click.option("--seal-plain", is_flag=True, help="Encrypt the plain files too that are in encrypted trees.")
@click.option(
    "--moved", nargs=2, metavar="OLD NEW", help="First let the keys of the directory OLD be those of NEW, moved there."
)
@with_config
def rekey(as_json: bool, seal_plain: bool, moved: tuple[str, str] | None, config: Path) -> None:
    """
    Wrap the keys of all encrypted files by the newest master key, which must be the first of its set.

    The contents are not encrypted anew, and clients go on meanwhile. A run that was interrupted is begun again and does
    what is left. At the end older master keys are needed no more: also the data keys that older backups need are
    wrapped by the newest. Run it as the daemon's user, or as root. Ends with 1 where files were left out, or
    are plain under another name (hard link) elsewhere.
    """
    from ftpsd.cli.encrypting.encrypted import Records, account, loaded_with_vault

    loaded, vault = loaded_with_vault(config)
    records = Records.of(loaded)
    if moved is not None:
        from ftpsd.storage.sealing.trees import holder_of

        number = vault.move(holder_of(Path(moved[0])), holder_of(Path(moved[1])))
        click.echo(f"{counted(number, 'data key')} of {moved[0]} {'is' if number == 1 else 'are'} now of {moved[1]}")
        if not number:
            sys.exit(EXIT_PROBLEM)
    os.nice(NICE)
    sealed, unsealed, left_plain = _seal_plain(loaded, vault, as_json) if seal_plain else (0, [], [])
    progress, renewed = _rewrap(loaded, vault, as_json)
    for text in unsealed:
        progress.trouble(text)

    from ftpsd.audit.events import DAEMON
    from ftpsd.audit.topics.encryption_events import Rekeyed

    records.add(Rekeyed(DAEMON, progress.done + sealed, progress.failed, account()))
    _tell(progress, sealed, renewed, left_plain, as_json)
    left = progress.failed or progress.busy or left_plain or (progress.plain and not as_json)
    sys.exit(EXIT_PROBLEM if left else EXIT_FINE)


def _rewrap(loaded: Loaded, vault: Vault, as_json: bool) -> tuple[Progress, int]:
    from ftpsd.service.building.vaults import encrypted_trees
    from ftpsd.storage.sealing.walks.rewrapping import Rewrapping

    work = Rewrapping(vault, encrypted_trees(loaded.known()))
    told = time.monotonic()
    for progress in work.run():
        if not as_json and time.monotonic() - told >= TELL:
            told = time.monotonic()
            click.echo(f"looked at {progress.looked}, rekeyed {progress.done}", err=True)
    return work.progress, work.renew_data_keys() if work.progress.is_complete else 0


def _seal_plain(loaded: Loaded, vault: Vault, as_json: bool) -> tuple[int, list[str], list[str]]:
    """Return how many files were sealed, what went wrong, and which have names elsewhere that stay plain."""
    from ftpsd.service.building.vaults import encrypted_trees
    from ftpsd.storage.sealing.walks.sealing_plain import Links, seal_plain_files
    from ftpsd.storage.uploads.policy import UploadPolicy

    policy = UploadPolicy(umask=loaded.config.uploads.umask, digests=loaded.config.audit.sha256)
    sealed, failed, links = 0, [], Links()
    for directory, keys in sorted(encrypted_trees(loaded.known()).items(), reverse=True):
        for trouble in seal_plain_files(directory, keys, vault, policy, links):
            if trouble is None:
                sealed += 1
            else:
                failed.append(trouble)
    if not as_json:
        click.echo(f"encrypted {counted(sealed, 'plain file')}", err=True)
    return sealed, failed, list(links.left())


def _tell(progress: Progress, sealed: int, renewed: int, left_plain: list[str], as_json: bool) -> None:
    if as_json:
        answer: dict[str, Any] = {**asdict(progress), "sealed": sealed, "data_keys": renewed}
        answer["complete"] = progress.is_complete
        answer["plain_links"] = left_plain
        click.echo(json.dumps(answer, indent=2))
        return
    for trouble in (*progress.troubles, *left_plain):
        click.echo(shown(trouble), err=True)
    click.echo(
        f"{counted(progress.looked, 'file')}: {progress.done} rekeyed, {progress.current} had the newest key, "
        f"{progress.failed} failed"
    )
    if progress.busy:
        click.echo(f"{counted(progress.busy, 'upload')} under way: run this again when they are over")
    if progress.plain:
        click.echo(
            f"{counted(progress.plain, 'plain file')} in encrypted trees: clients get 451 for them; "
            "run ftpsd rekey --seal-plain"
        )
    if left_plain:
        click.echo(f"{counted(len(left_plain), 'file')} encrypted here, and plain under another name elsewhere")
    if renewed:
        click.echo(f"{counted(renewed, 'older data key')} wrapped by the newest master key")
    if progress.is_complete:
        click.echo("older master keys are needed no more, but for backups of the data keys")
