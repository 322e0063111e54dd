"""From a workflow as it is configured to the receiver of its events, with the actions of its steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ftpsd.audit.events import Event
from ftpsd.config.automation.event_sinks import EventSink
from ftpsd.config.automation.partner_files import PartnerFiles
from ftpsd.config.automation.partner_sections import Partner
from ftpsd.config.automation.sink_files import SinkFiles
from ftpsd.config.automation.workflow_files import MAIL, ON_FAILURE, STEPS, file_key, own_prefix
from ftpsd.config.automation.workflow_rules import Mail, Workflow, WorkflowStep
from ftpsd.durable.store import Store
from ftpsd.events.sinks.program_sink import Program
from ftpsd.events.workflows.actions import Action, FileAction, MailAction, SinkAction
from ftpsd.events.workflows.push_action import PushAction
from ftpsd.events.workflows.user_trees import Trees
from ftpsd.events.workflows.workflow_run import WorkflowRuns
from ftpsd.storage.pgp.key_home import KeyHome
from ftpsd.workers import WorkerPool, Workers

# Keys of a step that are those of a sink.
_OF_WEBHOOKS = ("webhook", "secret_file", "authority", "allow_private", "networks")


@dataclass(frozen=True, slots=True)
class Workflows:
    """
    The workflows of a configuration, and what they need of it: its *mail* server, its *key_home*, its *partners* with
    their files, and the *trees* of users.
    """

    each: tuple[Workflow, ...] = ()
    mail: Mail | None = None
    key_home: KeyHome | None = None
    trees: Trees | None = None
    partners: Mapping[str, tuple[Partner, PartnerFiles]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Means:
    """
    The means of the process for workflows: *names* looks names up, *tell* and *count* are those of WorkflowRuns.

    *under_way* are the runs that a process is at, also those of a workflow that a reload has replaced.
    """

    store: Store
    reactor: Any
    names: Workers
    tell: Callable[[Event], object]
    count: Callable[[str, str, str], object]
    under_way: set[tuple[str, str]] = field(default_factory=set)


def make_workflow(
    workflow: Workflow, workflows: Workflows, files: Mapping[str, SinkFiles], means: Means, trees: Callable[[], Trees]
) -> WorkflowRuns:
    """Return the receiver of the events of *workflow*, one of *workflows*; *files* are those that it names."""
    call = means.reactor.callFromThread
    pool = WorkerPool(f"workflow-{workflow.name}", workflow.at_once, workflow.at_once * 4, call)
    pool.start()

    def action(step: WorkflowStep, own: SinkFiles) -> Action:
        if step.program is not None:
            return SinkAction(Program(_as_sink(workflow, step, "program"), call), pool)
        if step.webhook is not None:
            # Imported where it is wanted: its package is an extra.
            from ftpsd.events.sinks.webhook import Webhook

            sink = _as_sink(workflow, step, *_OF_WEBHOOKS)
            return SinkAction(Webhook(sink, own, means.reactor, means.names), pool)
        if step.push is not None:
            return PushAction(step.push, *workflows.partners[step.push.partner], pool, means.reactor)
        if step.mail is not None:
            assert workflows.mail is not None, "the configuration was checked, and there is a server"
            of_mail = files.get(MAIL, SinkFiles())
            password = of_mail.secrets[0].decode("utf-8", "replace") if of_mail.secrets else None
            return MailAction(step.mail, workflows.mail, password, of_mail.authority, pool)
        return FileAction(step, pool, workflows.key_home)

    def actions(phase: str, steps: tuple[WorkflowStep, ...]) -> list[Action]:
        keys = (file_key(workflow.name, phase, at) for at in range(len(steps)))
        return [action(step, files.get(key, SinkFiles())) for step, key in zip(steps, keys, strict=True)]

    return WorkflowRuns(
        workflow,
        actions(STEPS, workflow.steps),
        actions(ON_FAILURE, workflow.on_failure),
        trees,
        means.store,
        means.reactor,
        means.tell,
        means.count,
        means.under_way,
        pool,
    )


def files_of(workflow: Workflow, files: Mapping[str, SinkFiles]) -> dict[str, SinkFiles]:
    """Return those of *files* that *workflow* names."""
    prefix = own_prefix(workflow.name)
    return {name: found for name, found in files.items() if name.startswith(prefix) or name == MAIL}


def _as_sink(workflow: Workflow, step: WorkflowStep, *keys: str) -> EventSink:
    given = {key: getattr(step, key) for key in keys}
    return EventSink.model_validate(
        {"name": workflow.name, **given, "timeout": step.timeout, "at_once": workflow.at_once}
    )
