"""
The sections `workflows` and `mail` of ftpsd.yaml: what is done with a file behind an event, step by step.

No secret is in them: those stand in files that they name.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, PlainValidator, StrictStr, WithJsonSchema

from ftpsd.config.automation.event_sinks import OUTCOMES, Arguments, Names
from ftpsd.config.automation.name_templates import NameTemplate, PathTemplate, TextTemplate
from ftpsd.config.automation.partner_sections import PartnerName
from ftpsd.config.fields import (
    Count,
    Duration,
    FilePath,
    NetworkField,
    NotEmpty,
    Port,
    Room,
    Section,
    Switch,
    Threads,
    check_filled,
)
from ftpsd.config.keeping_rules import Fingerprint, KeyId, NonEmptyText, Patterns
from ftpsd.config.sources.source_sections import URL
from ftpsd.config.units import describe

# RFC 5321's local part and domain, as far as people write them; no line end can be in it.
_MAILBOX: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_FILE_NAME: Final = re.compile(r"[^/\x00-\x1f\x7f-\x9f]{1,255}")
ACTIONS: Final = ("move", "copy", "rename", "pgp", "push", "program", "webhook", "mail")
# Those that need the file of the event.
OF_FILES: Final = frozenset({"move", "copy", "rename", "pgp", "push"})
# Events behind which there is none at its path.
WITHOUT_FILE: Final = frozenset({"file-deleted", "upload-refused", "login-refused"}) | OUTCOMES


def check_mailbox(value: object) -> str:
    """Accept the address of a mailbox."""
    if isinstance(value, str) and _MAILBOX.fullmatch(value):
        return value
    raise ValueError(f"{describe(value)} is not the address of a mailbox; write one such as ops@example.com")


def check_file_name(value: object) -> str:
    """Accept a pattern of file names."""
    if isinstance(value, str) and _FILE_NAME.fullmatch(value):
        return value
    raise ValueError(f"{describe(value)} is no pattern of file names; write one such as *.pdf")


Mailbox = Annotated[
    str, PlainValidator(check_mailbox), WithJsonSchema({"type": "string", "pattern": "^[^@ ]+@[^@ ]+$"})
]
Mailboxes = Annotated[tuple[Mailbox, ...], AfterValidator(check_filled), NotEmpty]
FileName = Annotated[
    str, PlainValidator(check_file_name), WithJsonSchema({"type": "string", "pattern": "^[^/]{1,255}$"})
]
# With the prefix of its deliveries it is a label of a metric.
WorkflowName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,37}$")]
HostName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$")]


class Mail(Section):
    """The server that takes mail of workflows."""

    server: HostName
    port: Port | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Mailbox
    user: NonEmptyText | None = None
    password_file: FilePath | None = None
    authority: FilePath | None = None
    timeout: Duration = 60.0


class MailStep(Section):
    """A mail about the event."""

    to: Mailboxes
    subject: TextTemplate = "{workflow}: {event} {path} of {user}"
    text: TextTemplate | None = None


class PGPStep(Section):
    """The way of a file through gpg; the result is a file of its own."""

    to: PathTemplate | None = None
    keep: Switch = True
    encrypt_to: tuple[KeyId, ...] = ()
    sign_with: KeyId | None = None
    armor: Switch = False
    decrypt: Switch = False
    verify_from: tuple[Fingerprint, ...] = ()
    max_expansion: Count = 100


class PushStep(Section):
    """The way of the file to another server."""

    partner: PartnerName
    to: PathTemplate = "/"


class WorkflowStep(Section):
    """One step: one action, with the keys that belong to it."""

    move: PathTemplate | None = None
    copy_to: PathTemplate | None = Field(default=None, alias="copy")
    rename: NameTemplate | None = None
    pgp: PGPStep | None = None
    push: PushStep | None = None
    program: Arguments | None = None
    webhook: URL | None = None
    secret_file: FilePath | None = None
    authority: FilePath | None = None
    allow_private: Switch = False
    networks: tuple[NetworkField, ...] = ()
    mail: MailStep | None = None
    timeout: Duration | None = None

    @property
    def actions(self) -> tuple[str, ...]:
        """The names of its actions; there has to be one."""
        given = {"copy": self.copy_to, **{name: getattr(self, name) for name in ACTIONS if name != "copy"}}
        return tuple(name for name in ACTIONS if given[name] is not None)

    @property
    def action(self) -> str:
        """The name of its action."""
        return self.actions[0]


Steps = Annotated[tuple[WorkflowStep, ...], AfterValidator(check_filled), NotEmpty]


class Workflow(Section):
    """The steps behind an event that fulfils all conditions."""

    name: WorkflowName
    on: Names = ("file-stored",)
    users: tuple[NonEmptyText, ...] = ()
    roles: tuple[NonEmptyText, ...] = ()
    paths: Patterns = ("/**",)
    names: tuple[FileName, ...] = ()
    min_size: Room | None = None
    max_size: Room | None = None
    steps: Steps
    on_failure: tuple[WorkflowStep, ...] = ()
    attempts: Count = 20
    longest_pause: Duration = 900.0
    at_once: Threads = 4


def mark_of(step: WorkflowStep) -> str:
    """Return a mark of *step*, another one when anything of it has changed."""
    written = step.model_dump_json(exclude_defaults=True)
    return hashlib.sha256(written.encode()).hexdigest()[:16]
