"""
Whether the files that a configuration names are there, readable, and closed to others; with doubts about the values in
them (`doubts.py`), the homes (`home_layout.py`) and the owners of the files (`ownership.py`).

Every complaint stands at the key that names the file and ends with the command to run. Nothing is changed, and the
contents of keys and certificates are not looked at: they are the business of `ftpsd.tls`.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ftpsd.config.accept.role_rules import look_at_role_rules
from ftpsd.config.automation.expectation_files import look_at_expectations
from ftpsd.config.automation.job_rules import look_at_jobs
from ftpsd.config.automation.partner_files import (
    PartnerFiles,
    look_at_partners,
    read_partner_files,
)
from ftpsd.config.automation.sink_files import SinkFiles, look_at_events, read_sink_files
from ftpsd.config.automation.workflow_files import look_at_workflows, read_workflow_files
from ftpsd.config.checks.doubts import doubts_about, doubts_about_users
from ftpsd.config.checks.home_layout import OBJECTS, overlapping
from ftpsd.config.checks.owner import trusted_owners
from ftpsd.config.checks.ownership import weaknesses
from ftpsd.config.checks.port_clashes import clashes
from ftpsd.config.checks.secret_names import secrets_named
from ftpsd.config.checks.unit import Unit, installed_unit
from ftpsd.config.client_certificates import sections
from ftpsd.config.control_socket import unknown_groups
from ftpsd.config.encrypting.encryption import files_of_keys, look_at_people
from ftpsd.config.encrypting.master_keys import MasterKeys, fetch_master_keys
from ftpsd.config.evidence.evidence_files import EvidenceFiles, read_evidence_files
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError, ConfigErrors, Key
from ftpsd.config.reading import in_order
from ftpsd.config.receipts.receipt_files import SigningFiles, look_at_receipts, read_signing_files
from ftpsd.config.sources.source_files import SourceFiles, look_at_sources, read_source_files
from ftpsd.config.users import Users, load_users
from ftpsd.config.virtual_hosts import PairFiles, main_pairs, named_pairs, repeated_names


@dataclass(frozen=True, slots=True)
class Findings:
    """
    The findings; *users* None means that the users file cannot be used.

    *of_one_user* are those of the complaints that keep one user out and concern no other, such as a missing home.
    *hosts* are the users of each virtual host, in the order of the configuration, *source_files* what the other sources
    of users name, *sink_files* what sinks of events and workflows name, *evidence_files* what the audit log needs,
    *master_keys* the keys of encrypted trees.
    """

    complaints: tuple[ConfigError, ...]
    users: Users | None
    of_one_user: frozenset[ConfigError] = frozenset()
    hosts: tuple[Users | None, ...] = ()
    source_files: SourceFiles = field(default_factory=SourceFiles)
    sink_files: Mapping[str, SinkFiles] = field(default_factory=dict)
    evidence_files: EvidenceFiles = field(default_factory=EvidenceFiles)
    master_keys: MasterKeys = field(default_factory=MasterKeys)
    partner_files: Mapping[str, PartnerFiles] = field(default_factory=dict)
    signing_files: SigningFiles | None = None

    @property
    def everybody(self) -> list[Users]:
        """The users files that could be read, each once."""
        return list({id(users): users for users in (self.users, *self.hosts) if users is not None}.values())


def check_files(config: Config) -> tuple[ConfigError, ...]:
    """Return every complaint, and warning, about the files that *config* names. Blocks."""
    return examine(config).complaints


def examine(config: Config, trusted: frozenset[int] | None = None, unit: Unit | None = None) -> Findings:
    """
    Look at every file that *config* names, and read the users files. Blocks.

    *trusted* are the numbers of the users who may own these files, *unit* is the systemd unit that runs the daemon.
    """
    own = [config.complaint(key, message) for key, message in (*clashes(config), *repeated_names(config))]
    own += [error for files in certificate_files(config) for error in _certificate(config, files)]
    own += _audit_log(config)
    own += _groups(config)
    own += doubts_about(config, installed_unit() if unit is None else unit)
    own += _ownership(config, trusted_owners() if trusted is None else trusted)
    files: dict[Path, Users | None] = {}
    asks = [(config.users, config.accounts), *((host.users, host.accounts) for host in config.virtual_hosts)]
    shared = {path for path, order in asks if set(order) != {"file"}}
    theirs: list[ConfigError] = []
    of_one_user: list[ConfigError] = []
    for key, path in users_files(config):
        own += _users_mode(config, key, path)
        if path not in files:
            files[path], errors, missing = _users(path, is_alone=path not in shared)
            theirs += in_order([*errors, *missing])
            of_one_user += (error for error in missing if error.severity == "error")
    theirs += overlapping([users for users in files.values() if users is not None], _secrets(config))
    hosts = tuple(files[host.users] for host in config.virtual_hosts)
    source_files, unreadable = read_source_files(config)
    orders = [(config.accounts, files[config.users])]
    orders += ((host.accounts, users) for host, users in zip(config.virtual_hosts, hosts, strict=True))
    evidence_files, missing = read_evidence_files(config)
    sink_files, unread = read_sink_files(config)
    partner_files, unreadable_partners = read_partner_files(config)
    own += [*unreadable_partners, *look_at_partners(config)]
    names = ("", *(host.names[0] for host in config.virtual_hosts))
    own += look_at_jobs(config, [*zip(names, (files[config.users], *hosts), strict=True)])
    step_files, not_read = read_workflow_files(config)
    sink_files = {**sink_files, **step_files}
    own += [*unreadable, *look_at_sources(config, orders), *missing, *unread, *not_read]
    for look in (look_at_events, look_at_workflows):
        own += look(config, trusted_owners() if trusted is None else trusted)
    signing_files, unsigned = read_signing_files(config)
    own += unsigned
    theirs += look_at_receipts(config, [users for users in files.values() if users is not None])
    own += look_at_expectations(config, files[config.users], hosts)
    master_keys, unusable = fetch_master_keys(config)
    own += unusable
    theirs += look_at_role_rules(config, [users for users in files.values() if users is not None])
    theirs += look_at_people(config, [users for users in files.values() if users is not None])
    found = (*in_order(own), *by_file(theirs))
    files_read = source_files, sink_files, evidence_files, master_keys, partner_files, signing_files
    return Findings(found, files[config.users], frozenset(of_one_user), hosts, *files_read)


def by_file(errors: list[ConfigError]) -> list[ConfigError]:
    """Sort complaints by their place, those of one file after those of another, each of them once."""
    files = list(dict.fromkeys(error.file for error in errors))
    return [error for file in files for error in in_order([each for each in errors if each.file == file])]


def users_files(config: Config) -> list[tuple[Key, Path]]:
    """Return the users files of *config*, each with the key that names it, the default host's first."""
    hosts = enumerate(config.virtual_hosts)
    return [(("users",), config.users), *((("virtual_hosts", number, "users"), host.users) for number, host in hosts)]


def needs_certificate(config: Config) -> bool:
    """Return whether any section asks for TLS, so that a certificate is required."""
    if config.tls.require != "none" or any(listener.mode == "implicit" for listener in config.listeners):
        return True
    # A client that asks for none of their names gets the main one, and no pair stands alone beside it.
    return bool(config.tls.also) or any(True for _ in named_pairs(config))


def certificate_files(config: Config) -> list[PairFiles]:
    """Return the files of every certificate, the main one's first; none where the server does without."""
    if not needs_certificate(config) and not config.tls.certificate.exists():
        return []
    return [*main_pairs(config), *named_pairs(config)]


def _users(path: Path, *, is_alone: bool) -> tuple[Users | None, list[ConfigError], list[ConfigError]]:
    """Read a users file; return it, None where it cannot be used, with complaints about it and about single users."""
    # A file that cannot be read is reported at the key that names it.
    if _file_problem(path) is not None:
        return None, [], []
    try:
        users = load_users(path)
    except ConfigErrors as problem:
        return None, list(problem.errors), []
    return users, [], [*_directories(users), *doubts_about_users(users, is_alone=is_alone)]


def _secrets(config: Config) -> list[Path]:
    """Return the files that no user may see."""
    own = [Path(config.file)] if config.file else []
    own += (path for _, path in (*users_files(config), *secrets_named(config)))
    own += (files.private_key for files in certificate_files(config))
    if config.state is not None:
        own.append(config.state)
    own += files_of_keys(config)
    sinks = config.events.sinks if config.events is not None else ()
    own += (sink.file for sink in sinks if sink.file is not None)
    own.append(config.quarantine.directory)
    own += (job.backup.directory / OBJECTS for job in config.jobs if job.backup and job.backup.directory is not None)
    if config.control_socket is not None:
        own.append(config.control_socket)
    return [*own, *(log for log in (config.audit.log, config.audit.xferlog) if isinstance(log, Path))]


def _ownership(config: Config, trusted: frozenset[int]) -> Iterator[ConfigError]:
    """Look for other users who can change the configuration, the users, the keys and the authorities of clients."""
    seen: set[Path] = set()
    for key, path in users_files(config):
        for weakness in weaknesses(path, trusted, seen=seen):
            # The mode of the users file itself is checked by _users_mode, more strictly.
            if weakness.path != Path(os.path.realpath(path)) or weakness.is_foreign:
                yield config.complaint(key, weakness.message, weakness.severity)
    for files in certificate_files(config):
        for weakness in weaknesses(files.private_key, trusted, seen=seen, is_shared=True):
            yield config.complaint((*files.key, "private_key"), weakness.message, weakness.severity)
    for key, section in sections(config).items():
        # An account that can write them can let itself in, or let a lost certificate in again.
        for name, file in (("authorities", section.authorities), ("crl", section.crl)):
            for weakness in weaknesses(file, trusted, seen=seen) if file is not None else ():
                yield config.complaint((*key, name), weakness.message, weakness.severity)
    for key, path in secrets_named(config):
        for weakness in weaknesses(path, trusted, seen=seen, is_shared=True):
            yield config.complaint(key, weakness.message, weakness.severity)
    if config.file:
        for weakness in weaknesses(Path(config.file), trusted, seen=seen):
            yield ConfigError(config.file, 0, 0, "", weakness.message, weakness.severity)


def _certificate(config: Config, files: PairFiles) -> Iterator[ConfigError]:
    key = files.private_key
    for name, path in (("certificate", files.certificate), ("private_key", key)):
        if problem := _file_problem(path):
            yield config.complaint((*files.key, name), problem)
    mode = _mode(key)
    if mode is not None and mode & stat.S_IROTH:
        message = f"{key} can be read by every user of this machine; run: {_closing(key)}"
        yield config.complaint((*files.key, "private_key"), message, "warning")


def _audit_log(config: Config) -> Iterator[ConfigError]:
    for key, log in (("log", config.audit.log), ("xferlog", config.audit.xferlog)):
        if log is None or isinstance(log, str):
            continue
        if log.is_dir():
            yield config.complaint(("audit", key), f"{log} is a directory; name a file in it")
        elif not log.parent.is_dir():
            folder = shlex.quote(str(log.parent))
            yield config.complaint(("audit", key), f"the directory {log.parent} does not exist; run: mkdir -p {folder}")
    if config.audit.xferlog is not None and config.audit.xferlog == config.audit.log:
        yield config.complaint(("audit", "xferlog"), "that is the audit log; name another file")


def _groups(config: Config) -> Iterator[ConfigError]:
    groups = config.control_groups
    for key, sentence in unknown_groups([("viewer", groups.viewer), ("operator", groups.operator)]):
        yield config.complaint(("control_groups", key), sentence, "warning")


def _users_mode(config: Config, key: Key, path: Path) -> Iterator[ConfigError]:
    if problem := _file_problem(path):
        yield config.complaint(key, problem)
    mode = _mode(path)
    if mode is None:
        return
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        who = "every user of this machine" if mode & stat.S_IWOTH else "its group"
        yield config.complaint(key, f"{path} can be changed by {who}; run: {_closing(path)}")
    elif mode & stat.S_IROTH:
        message = f"{path} can be read by every user of this machine; run: {_closing(path)}"
        yield config.complaint(key, message, "warning")


def _directories(users: Users) -> Iterator[ConfigError]:
    """Look at every home and every mounted directory."""
    for user in users.users.values():
        keys: list[tuple[Path, Key]] = [(user.home, ("home",))]
        keys += [(mount.directory, ("mounts", number, "directory")) for number, mount in enumerate(user.mounts)]
        for path, key in keys:
            if problem := _directory_problem(path):
                # A disabled user cannot log in, with a home or without.
                yield users.complaint(("users", user.name, *key), problem, "error" if user.enabled else "warning")


def _directory_problem(path: Path) -> str | None:
    """Report the faults of a directory that a user is to see."""
    try:
        is_directory = stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return f"{path} does not exist; run: mkdir -p {shlex.quote(str(path))}"
    except OSError as error:
        return f"{path} cannot be looked at ({error.strerror}); check the permissions on the way to it"
    return None if is_directory else f"{path} is not a directory; name one, or move the file away and run mkdir -p"


def _file_problem(path: Path) -> str | None:
    """Open *path* as the daemon will and report the obstacle; never wait for a writer of a FIFO."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return f"{path} does not exist; make it, or correct the path"
    except PermissionError:
        return f"{path} cannot be read by user id {os.geteuid()}; run: chown {os.geteuid()} {shlex.quote(str(path))}"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            return f"{path} is a directory, not a file"
    finally:
        os.close(descriptor)
    return None


def _mode(path: Path) -> int | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return stat.S_IMODE(status.st_mode) if stat.S_ISREG(status.st_mode) else None


def _closing(path: Path) -> str:
    """Return the command that closes *path* to others; the group may read on where the daemon reads it by its group."""
    mode = "600" if os.stat(path).st_uid == os.geteuid() else "640"
    return f"chmod {mode} {shlex.quote(str(path))}"
