"""The rules between keys of `jobs`, and between them and the rest of the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ftpsd.config.automation.job_sections import BackupJob, Job, Moving
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError, Key
from ftpsd.config.users import Users


def look_at_jobs(config: Config, users: Sequence[tuple[str, Users | None]]) -> Iterator[ConfigError]:
    """Yield all that is wrong with the jobs; *users* are the first names of the hosts, and the users in their files."""
    if config.jobs and config.state is None:
        yield config.complaint(("jobs",), "what they have done is kept in the state file; name one in `state`")
    seen: set[str] = set()
    for number, job in enumerate(config.jobs):
        key: Key = ("jobs", number)
        if job.name in seen:
            yield config.complaint((*key, "name"), f"another job is called {job.name}; give each a name of its own")
        seen.add(job.name)
        yield from _job(config, key, job, dict(users))


def _job(config: Config, key: Key, job: Job, users: dict[str, Users | None]) -> Iterator[ConfigError]:
    kinds = [name for name in ("pull", "push", "backup") if getattr(job, name) is not None]
    if len(kinds) != 1:
        message = f"{job.name} needs one of pull, push and backup, and has {' and '.join(kinds) or 'none'}"
        yield config.complaint(key, message)
        return
    if job.on is not None:
        recorded = config.events.record if config.events is not None else ()
        for name in job.on.events:
            if name not in recorded:
                yield config.complaint((*key, "on"), f"{name} is not recorded; add it to events.record")
    if job.moving is not None:
        yield from _moving(config, (*key, job.kind), job.moving, users)
    elif job.backup is not None:
        yield from _backup(config, (*key, "backup"), job.backup)


def _moving(config: Config, key: Key, moving: Moving, users: dict[str, Users | None]) -> Iterator[ConfigError]:
    yield from _partner(config, key, moving.partner)
    if (moving.after == "archive") != (moving.archive is not None):
        yield config.complaint((*key, "archive"), "goes with after: archive; write both, or none")
    elif moving.archive is not None and moving.archive == moving.source:
        yield config.complaint((*key, "archive"), "is the directory that the files are taken from; name another")
    if moving.host not in users:
        yield config.complaint((*key, "host"), "is the first name of no virtual host")
        return
    known = users[moving.host]
    if known is not None and moving.user not in known.users:
        # Another source may have the user.
        orders = {"": config.accounts, **{host.names[0]: host.accounts for host in config.virtual_hosts}}
        severity = "error" if set(orders[moving.host]) == {"file"} else "warning"
        message = f"{moving.user} is not in the users file; correct the name, or add the user"
        yield config.complaint((*key, "user"), message, "error" if severity == "error" else "warning")


def _backup(config: Config, key: Key, backup: BackupJob) -> Iterator[ConfigError]:
    if (backup.directory is None) == (backup.partner is None):
        yield config.complaint(key, "needs one of directory and partner; write one of them")
    if backup.partner is not None:
        yield from _partner(config, key, backup.partner)
    if (backup.partner is None) != (backup.target is None):
        yield config.complaint((*key, "target"), "is the directory on the partner; write both, or none")


def _partner(config: Config, key: Key, name: str) -> Iterator[ConfigError]:
    if name not in {partner.name for partner in config.partners}:
        known = ", ".join(partner.name for partner in config.partners) or "none"
        yield config.complaint((*key, "partner"), f"there is no partner {name}; those in `partners` are: {known}")
