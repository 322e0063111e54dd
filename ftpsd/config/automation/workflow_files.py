"""The checks of `workflows` and `mail`, and the files that they name, read. Blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from ftpsd.config.automation.sink_files import (
    SinkFiles,
    faults_of_program,
    faults_of_webhook,
    files_of_webhook,
    read_authority,
    read_secret,
    why_not_recorded,
)
from ftpsd.config.automation.workflow_rules import (
    ACTIONS,
    OF_FILES,
    WITHOUT_FILE,
    PGPStep,
    Workflow,
    WorkflowStep,
)
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError, Key

MAIL = "mail"
STEPS = "steps"
ON_FAILURE = "on_failure"


def steps_of(workflow: Workflow) -> Iterator[tuple[str, int, WorkflowStep]]:
    """Yield each step with the key of its list and its place there."""
    for name, steps in ((STEPS, workflow.steps), (ON_FAILURE, workflow.on_failure)):
        for at, step in enumerate(steps):
            yield name, at, step


def file_key(workflow: str, phase: str, at: int) -> str:
    """Return the key of the files of a step; no sink has a dot in its name."""
    return f"{own_prefix(workflow)}{phase}.{at}"


def own_prefix(workflow: str) -> str:
    """Return the beginning of the keys of all files of *workflow*."""
    return f"workflow.{workflow}."


def look_at_workflows(config: Config, trusted: frozenset[int]) -> Iterator[ConfigError]:
    """
    Yield all that is wrong with `workflows` and `mail`, but for the contents of their files.

    *trusted* are the numbers of the users who may own programs.
    """
    if config.workflows and config.events is None:
        yield config.complaint(("workflows",), "workflows begin with events that are kept; write the section `events`")
    seen: set[str] = set()
    for number, workflow in enumerate(config.workflows):
        key: Key = ("workflows", number)
        if workflow.name in seen:
            yield config.complaint(
                (*key, "name"), f"another workflow is called {workflow.name}; give each its own name"
            )
        seen.add(workflow.name)
        yield from _conditions(config, key, workflow)
        for phase, at, step in steps_of(workflow):
            yield from _step(config, (*key, phase, at), workflow, step, trusted)
    if config.mail is not None:
        yield from _mail(config)


def read_workflow_files(config: Config) -> tuple[Mapping[str, SinkFiles], list[ConfigError]]:
    """Read the files that steps and `mail` name; return them by `file_key`, with the complaints about them."""
    found: dict[str, SinkFiles] = {}
    errors: list[ConfigError] = []
    for number, workflow in enumerate(config.workflows):
        for phase, at, step in steps_of(workflow):
            if step.webhook is not None:
                key: Key = ("workflows", number, phase, at)
                found[file_key(workflow.name, phase, at)] = files_of_webhook(config, key, step, errors)
    mail = config.mail
    if mail is not None:
        password = authority = None
        if mail.password_file is not None:
            password = read_secret(config, (MAIL, "password_file"), mail.password_file, errors)
            if password is not None and not password.strip():
                errors.append(config.complaint((MAIL, "password_file"), f"{mail.password_file} is empty"))
        if mail.authority is not None:
            authority = read_authority(config, (MAIL, "authority"), mail.authority, errors)
        found[MAIL] = SinkFiles(() if password is None else (password.strip(),), authority)
    return found, errors


def _conditions(config: Config, key: Key, workflow: Workflow) -> Iterator[ConfigError]:
    for at, name in enumerate(workflow.on):
        if config.events is not None and (fault := why_not_recorded(config, name)):
            yield config.complaint((*key, "on", at), fault)
    if workflow.min_size is not None and workflow.max_size is not None and workflow.min_size > workflow.max_size:
        yield config.complaint((*key, "min_size"), "is above max_size, so that nothing fits")


def _step(
    config: Config, key: Key, workflow: Workflow, step: WorkflowStep, trusted: frozenset[int]
) -> Iterator[ConfigError]:
    actions = step.actions
    if len(actions) != 1:
        message = f"a step is one of {', '.join(ACTIONS)}, and this has {' and '.join(actions) or 'none'}"
        yield config.complaint(key, message)
        return
    without = sorted(WITHOUT_FILE.intersection(workflow.on))
    if step.action in OF_FILES and without:
        message = f"behind {without[0]} there is no file to {step.action}; give that event a workflow of its own"
        yield config.complaint((*key, step.action), message)
    yield from faults_of_webhook(config, key, step)
    if step.program is not None:
        yield from faults_of_program(config, (*key, "program", 0), step.program[0], trusted)
    if step.push is not None and step.push.partner not in [partner.name for partner in config.partners]:
        message = f"there is no partner {step.push.partner}; write one into `partners`"
        yield config.complaint((*key, "push", "partner"), message)
    if step.mail is not None and config.mail is None:
        yield config.complaint((*key, "mail"), "there is no server to send it by; write the section `mail`")
    if step.pgp is not None:
        yield from _pgp(config, (*key, "pgp"), step.pgp)


def _pgp(config: Config, key: Key, step: PGPStep) -> Iterator[ConfigError]:
    if bool(step.encrypt_to) == step.decrypt:
        yield config.complaint(key, "says neither or both of encrypt_to and decrypt: true; write one of them")
    if step.sign_with is not None and not step.encrypt_to:
        yield config.complaint((*key, "sign_with"), "goes with encrypt_to alone")
    if step.verify_from and not step.decrypt:
        yield config.complaint((*key, "verify_from"), "goes with decrypt: true alone")
    if config.uploads.mode == "direct":
        yield config.complaint(
            key, "needs uploads.mode: atomic, for nothing may be published before gpg has ended well"
        )


def _mail(config: Config) -> Iterator[ConfigError]:
    mail = config.mail
    assert mail is not None
    if (mail.user is None) != (mail.password_file is None):
        yield config.complaint((MAIL,), "a user needs a password_file, and a password_file a user; write both or none")
    if mail.security == "none":
        if mail.user is not None:
            yield config.complaint(
                (MAIL, "user"), "without TLS the password would go in clear; write security: starttls"
            )
        if not _is_here(mail.server):
            message = "without TLS mail may go to this machine alone (127.0.0.1); write security: starttls"
            yield config.complaint((MAIL, "security"), message)


def _is_here(server: str) -> bool:
    try:
        return ip_address(server).is_loopback
    except ValueError:
        return server == "localhost"
