"""The files that the sinks of events name, read and checked, and what their keys must have together. Blocks."""

from __future__ import annotations

import base64
import binascii
import os
import shlex
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509

from ftpsd.config.automation.event_sinks import OUTCOMES, PUBLISHED_LATER, Broker, EventSink
from ftpsd.config.automation.workflow_rules import WorkflowStep
from ftpsd.config.checks.ownership import weaknesses
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError, Key

# A bundle of all authorities of the web has 250 KiB.
MAX_FILE: Final = 1 << 20
# Brought by the extra `http`.
PACKAGES: Final = ("treq", "standardwebhooks")
# Brought by the extra `brokers`: the name of the import, and of the package.
PACKAGES_OF_BROKERS: Final = {
    "nats": ("nats", "nats-py"),
    "amqp": ("aio_pika", "aio-pika"),
    "kafka": ("aiokafka", "aiokafka"),
}
PREFIX: Final = "whsec_"
# Bytes of a secret, by Standard Webhooks.
SHORTEST: Final = 24
LONGEST: Final = 64
Webhook = EventSink | WorkflowStep
MAKE_ONE: Final = 'printf "whsec_%s\\n" "$(openssl rand -base64 32)"'


@dataclass(frozen=True, slots=True)
class SinkFiles:
    """The content of a sink's files: the *secrets* it signs with, the newest first, and its *authority* in PEM form."""

    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    authority: bytes | None = None


def look_at_events(config: Config, trusted: frozenset[int]) -> Iterator[ConfigError]:
    """
    Yield all that is wrong with the section `events`, but for the contents of its files.

    *trusted* are the numbers of the users who may own its programs.
    """
    events = config.events
    if events is None:
        return
    if config.state is None:
        yield config.complaint(("events",), "events are kept in the state file; name one in `state`")
    seen: set[str] = set()
    for number, sink in enumerate(events.sinks):
        key: Key = ("events", "sinks", number)
        if sink.name in seen:
            yield config.complaint((*key, "name"), f"another sink is called {sink.name}; give each a name of its own")
        seen.add(sink.name)
        yield from _kind(config, key, sink, trusted)
        for name in sink.only or ():
            if fault := why_not_recorded(config, name):
                yield config.complaint((*key, "only"), fault)


def why_not_recorded(config: Config, name: str) -> str | None:
    """Return why the event *name* never comes into the ledger, None for one that may."""
    if name in OUTCOMES:
        return None if config.expectations else f"{name} never happens without the section `expectations`"
    record = () if config.events is None else config.events.record
    is_upload = name in PUBLISHED_LATER and "file-stored" in record
    if config.events is not None and name not in record and not is_upload:
        return f"{name} is not recorded; add it to events.record"
    return None


def read_sink_files(config: Config) -> tuple[Mapping[str, SinkFiles], list[ConfigError]]:
    """Read the files that sinks name; return them by the names of the sinks, with the complaints about them."""
    found: dict[str, SinkFiles] = {}
    errors: list[ConfigError] = []
    for number, sink in enumerate(config.events.sinks if config.events is not None else ()):
        key: Key = ("events", "sinks", number)
        if sink.broker is None:
            found[sink.name] = files_of_webhook(config, key, sink, errors)
        else:
            found[sink.name] = _files_of_broker(config, (*key, "broker"), sink.broker, errors)
    return found, errors


def files_of_webhook(config: Config, key: Key, hook: Webhook, errors: list[ConfigError]) -> SinkFiles:
    """Read the files of the *hook* at *key*; complaints about them are added to *errors*."""
    secrets: tuple[bytes, ...] = ()
    authority = None
    if hook.secret_file is not None:
        data = read_secret(config, (*key, "secret_file"), hook.secret_file, errors)
        secrets = _secrets(data or b"")
        if data is not None and not secrets:
            message = f"{hook.secret_file} holds no secret in the form of Standard Webhooks; make one: {MAKE_ONE}"
            errors.append(config.complaint((*key, "secret_file"), message))
    if hook.authority is not None:
        authority = read_authority(config, (*key, "authority"), hook.authority, errors)
    return SinkFiles(secrets, authority)


def read_secret(config: Config, key: Key, path: Path, errors: list[ConfigError]) -> bytes | None:
    """Return the content of the secret file at *path*, which has to be closed to others."""
    data = _read(config, key, path, errors)
    if data is not None and os.stat(path).st_mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        message = f"{path} is open to others on this machine; run: chmod o-rwx,g-w {shlex.quote(str(path))}"
        errors.append(config.complaint(key, message))
    return data


def read_authority(config: Config, key: Key, path: Path, errors: list[ConfigError]) -> bytes | None:
    """Return the certificates in the file at *path*."""
    authority = _read(config, key, path, errors)
    try:
        x509.load_pem_x509_certificates(authority or b"")
    except ValueError:
        message = f"{path} holds no certificate in PEM form"
        errors += [] if authority is None else [config.complaint(key, message)]
    return authority


def _kind(config: Config, key: Key, sink: EventSink, trusted: frozenset[int]) -> Iterator[ConfigError]:
    kinds = [name for name in ("webhook", "program", "file", "broker") if getattr(sink, name) is not None]
    if len(kinds) != 1:
        message = f"{sink.name} needs one of webhook, program, file and broker, and has {' and '.join(kinds) or 'none'}"
        yield config.complaint(key, message)
        return
    yield from faults_of_webhook(config, key, sink)
    if sink.program is not None:
        yield from faults_of_program(config, (*key, "program", 0), sink.program[0], trusted)
    if sink.broker is not None:
        yield from _faults_of_broker(config, (*key, "broker"), sink.broker)
    if sink.file is not None:
        folder = sink.file.parent
        if not folder.is_dir():
            yield config.complaint(
                (*key, "file"), f"the directory {folder} does not exist; run: mkdir -p {shlex.quote(str(folder))}"
            )
        elif sink.file.is_dir():
            yield config.complaint((*key, "file"), f"{sink.file} is a directory; name a file in it")


def _files_of_broker(config: Config, key: Key, broker: Broker, errors: list[ConfigError]) -> SinkFiles:
    password = authority = None
    if broker.password_file is not None:
        password = read_secret(config, (*key, "password_file"), broker.password_file, errors)
        if password is not None and not password.strip():
            errors.append(config.complaint((*key, "password_file"), f"{broker.password_file} is empty"))
    if broker.authority is not None:
        authority = read_authority(config, (*key, "authority"), broker.authority, errors)
    return SinkFiles(() if password is None else (password.strip(),), authority)


def _faults_of_broker(config: Config, key: Key, broker: Broker) -> Iterator[ConfigError]:
    package, wheel = PACKAGES_OF_BROKERS[broker.kind]
    if find_spec(package) is None:
        message = f'it needs the package {wheel}, which is not installed; run: pip install "ftpsd[brokers]"'
        yield config.complaint(key, message)
    if (broker.user is None) != (broker.password_file is None):
        yield config.complaint(key, "a user needs a password_file, and a password_file a user; write both or none")
    if not broker.tls and not all(map(_is_here, broker.servers)):
        message = "without TLS events may go to this machine alone (127.0.0.1); leave tls: false out"
        yield config.complaint((*key, "tls"), message)
    for name in ("exchange", "virtual_host"):
        if broker.kind != "amqp" and name in broker.model_fields_set:
            yield config.complaint((*key, name), f"{name} belongs to amqp; remove it")


def _is_here(server: str) -> bool:
    host = server.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def faults_of_webhook(config: Config, key: Key, hook: Webhook) -> Iterator[ConfigError]:
    """Yield what is wrong with the keys of a webhook at *key*, or that there is none they could belong to."""
    if hook.webhook is None:
        for name in ("secret_file", "authority", "networks"):
            if getattr(hook, name):
                yield config.complaint((*key, name), f"{name} belongs to a webhook; remove it")
        return
    if hook.secret_file is None:
        message = f"what is sent is signed; make a secret ({MAKE_ONE} > FILE) and name its file in secret_file"
        yield config.complaint((*key, "webhook"), message)
    for package in PACKAGES:
        if find_spec(package) is None:
            message = f'a webhook needs the package {package}, which is not installed; run: pip install "ftpsd[http]"'
            yield config.complaint((*key, "webhook"), message)


def faults_of_program(config: Config, key: Key, program: str, trusted: frozenset[int]) -> Iterator[ConfigError]:
    """Yield why *program*, named at *key*, cannot be run, or could be changed by others than *trusted* users."""
    if not program.startswith("/") or "{" in program:
        yield config.complaint(key, f"{program} is not the whole path of a program; write it out")
    elif shutil.which(program) is None:
        yield config.complaint(key, f"{program} is not there, or cannot be run; see ls -l")
    else:
        for weakness in weaknesses(Path(program), trusted, seen=set()):
            yield config.complaint(key, weakness.message, weakness.severity)


def _read(config: Config, key: Key, path: Path, errors: list[ConfigError]) -> bytes | None:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        errors.append(config.complaint(key, f"{path} cannot be read: {error.strerror or 'not a file'}"))
        return None
    if len(data) > MAX_FILE:
        errors.append(config.complaint(key, f"{path} is longer than {MAX_FILE} bytes"))
        return None
    return data


def _secrets(data: bytes) -> tuple[bytes, ...]:
    """Return the secrets in *data*, one a line, () where one of them is none."""
    found: list[bytes] = []
    for line in data.decode("ascii", "replace").split():
        try:
            secret = base64.b64decode(line.removeprefix(PREFIX), validate=True)
        except (ValueError, binascii.Error):
            return ()
        if not line.startswith(PREFIX) or not SHORTEST <= len(secret) <= LONGEST:
            return ()
        found.append(secret)
    return tuple(found)
