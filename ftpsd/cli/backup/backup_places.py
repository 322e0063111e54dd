"""Where backups are, as the options say: a directory, or what a job names; a partner is called for the time of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ftpsd.cli.terminal import complain

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from ftpsd.backups.repository import Repository
    from ftpsd.config.automation.job_sections import BackupJob, Job
    from ftpsd.config.model import Config
    from ftpsd.service.load import Loaded


def job_called(loaded: Loaded, name: str | None) -> Job:
    """Return the backup job called *name*, or the only one."""
    found = [job for job in loaded.config.jobs if job.backup is not None and name in (None, job.name)]
    if name is not None and not found:
        fail(f"there is no backup called {name} among the jobs")
    if len(found) != 1:
        several = ", ".join(job.name for job in found) or "none"
        fail(f"say which: --job NAME, or a directory; the backups among the jobs are: {several}")
    return found[0]


@contextmanager
def repository_in(directory: Path, *, makes: bool) -> Iterator[Repository]:
    """Open the repository in *directory*, alone where it is to be changed."""
    from ftpsd.backups.repository import DirectoryRepository

    repository = DirectoryRepository(directory)
    if not makes:
        if not (directory / "backups").is_dir():
            fail(f"{directory} holds no backups")
        yield repository
        return
    repository.make()
    with repository.alone():
        yield repository


@contextmanager
def repository_of(loaded: Loaded, backup: BackupJob, *, makes: bool) -> Iterator[Repository]:
    """Open the repository of *backup*. Raises: PartnerError."""
    if backup.directory is not None:
        with repository_in(backup.directory, makes=makes) as found:
            yield found
        return
    from ftpsd.backups.partner_repository import PartnerRepository
    from ftpsd.partners.ftps_client import FTPSClient
    from ftpsd.partners.partner_session import contact_of

    partner = next(each for each in loaded.config.partners if each.name == backup.partner)
    client = FTPSClient(contact_of(partner, loaded.partner_files[partner.name]))
    client.open()
    try:
        assert backup.target is not None
        repository = PartnerRepository(client, backup.target)
        if not makes:
            yield repository
            return
        repository.make()
        with repository.alone():
            yield repository
    finally:
        client.close()


def place_of(backup: BackupJob) -> str:
    """Return where *backup* goes, as the state file and the audit log have it."""
    if backup.directory is not None:
        return os.path.realpath(backup.directory)
    return f"{backup.partner}:{backup.target}"


def signing_key_of(config: Config) -> tuple[Ed25519PrivateKey | None, bool]:
    """Return the key that signs backups, and whether it was made now; None where there is no place for one."""
    from ftpsd.backups.list_signatures import KeyTrouble, signing_key

    file = config.key_of_backups
    if file is None:
        return None, False
    try:
        return signing_key(file)
    except KeyTrouble as trouble:
        fail(f"{trouble}; it signs what is backed up; run this as the daemon's user, or as root")


def fail(sentence: str) -> NoReturn:
    """End with *sentence*."""
    complain([sentence])
