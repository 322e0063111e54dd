"""
The questions of the control socket about the quarantine, answered by a process that serves: a release is an upload, so
it needs the counts and turns of those. Work on files is done by the upkeep's workers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from ftpsd.audit.events import DAEMON
from ftpsd.audit.topics.accept_events import QuarantinePurged, QuarantineReleased
from ftpsd.scanning.judgements import RELEASED, Judgement
from ftpsd.scanning.quarantine import Quarantine, Record
from ftpsd.scanning.release import publish_held
from ftpsd.service.building.held_trees import content_of, tree_of
from ftpsd.service.operating.caller import Role
from ftpsd.service.operating.question import Question
from ftpsd.service.orders import Trouble
from ftpsd.service.serving import Serving
from ftpsd.storage.base import Kind, StorageError

# Records in one answer, the newest; the answer has the number of all.
MOST_RECORDS = 5000
# Seconds for an answer: a release copies a file.
PATIENCE = 3600.0
ALL = "all"

WHY = {
    Kind.EXISTS: "a file has come there since, or has been changed; --force replaces it",
    Kind.NOT_FOUND: "its directory is not there any more; make it first",
    Kind.HELD: "a legal hold keeps the file that is there; see `ftpsd hold list`",
    Kind.BUSY: "the file there is being changed; try again",
    Kind.NO_SPACE: "there is no space left",
    Kind.COUNTING: "what is stored there is being counted; try again in a moment",
}

Answers = Mapping[str, Callable[..., Deferred[dict[str, Any]]]]


class QuarantineDesk:
    """The answers of the process that serves *serving*."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    NAMES = ("quarantine-list", "quarantine-show", "quarantine-release", "quarantine-purge")

    @property
    def answers(self) -> Answers:
        """The questions by name."""
        return dict(zip(self.NAMES, (self._list, self._show, self._release, self._purge), strict=True))

    @property
    def quarantine(self) -> Quarantine:
        """The quarantine of the present configuration."""
        section = self._serving.loaded.config.quarantine
        return Quarantine(section.directory, section.max_size)

    def _list(self) -> Deferred[dict[str, Any]]:
        def told() -> dict[str, Any]:
            found = self.quarantine.records()
            return {"files": [asdict(record) for record in found[-MOST_RECORDS:]], "total": len(found)}

        return self._in_worker(told)

    def _show(self, incident: str) -> Deferred[dict[str, Any]]:
        return self._in_worker(lambda: asdict(self._found(incident)))

    def _release(self, incident: str, reason: str, account: str, force: str | None = None) -> Deferred[dict[str, Any]]:
        is_forced = force is not None
        if not reason.strip():
            raise Trouble("say why, with --reason")

        def tell(record: Record) -> dict[str, Any]:
            who = record.owner, record.path, record.sha256
            self._publish(QuarantineReleased(DAEMON, incident, *who, account, reason, is_forced))
            return asdict(record)

        return self._in_worker(lambda: self._released(incident, is_forced=is_forced)).addCallback(tell)

    def _released(self, incident: str, *, is_forced: bool) -> Record:
        record, quarantine = self._found(incident), self.quarantine
        if not record.tree:
            raise Trouble(f"nobody knows where {incident} comes from: copy {quarantine.directory}/{incident}.held")
        try:
            content = content_of(self._serving, Path(record.tree))
            word = Judgement("operator", "", RELEASED, int(time.time()))
            tree = tree_of(self._serving, record, content, (word,))
            held = quarantine.open(incident)
            try:
                publish_held(record, held, tree, is_forced=is_forced, content=content)
            finally:
                os.close(held)
        except StorageError as error:
            raise Trouble(f"{record.path} of {record.owner}: {WHY.get(error.kind, error.reason)}") from error
        quarantine.remove(incident)
        return record

    def _purge(self, incident: str, account: str) -> Deferred[dict[str, Any]]:
        holding = self._serving.parts.holdings.on_refused

        def purged() -> tuple[list[Record], int]:
            records = self.quarantine.records() if incident == ALL else [self._found(incident)]
            held = {each.incident: hold for each in records if (hold := holding(each)) is not None}
            if incident in held:
                raise Trouble(f"{incident} is kept by the legal hold {held[incident]}; see `ftpsd hold list`")
            going = [each for each in records if each.incident not in held]
            return [each for each in going if self.quarantine.remove(each.incident)], len(held)

        def tell(found: tuple[list[Record], int]) -> dict[str, Any]:
            records, held = found
            for each in records:
                who = each.owner, each.path, each.sha256
                self._publish(QuarantinePurged(DAEMON, each.incident, *who, account))
            return {"purged": len(records), "held": held}

        return self._in_worker(purged).addCallback(tell)

    def _found(self, incident: str) -> Record:
        record = self.quarantine.find(incident)
        if record is None:
            raise Trouble(f"there is no incident {incident:.40} in the quarantine")
        return record

    def _in_worker(self, function: Callable[[], Any]) -> Deferred[Any]:
        def work() -> Any:
            try:
                return function()
            except StorageError as error:
                raise Trouble(error.reason) from error
            except OSError as error:
                raise Trouble(f"{self.quarantine.directory}: {error.strerror}") from error

        return self._serving.parts.upkeep.run(work)

    def _publish(self, event: QuarantineReleased | QuarantinePurged) -> None:
        self._serving.parts.bus.publish(event)


def questions_about_quarantine(answers: Answers) -> dict[str, Question]:
    """Return the questions about the quarantine, which *answers* answer."""
    for_operators = ("quarantine-release", "quarantine-purge")
    return {
        name: Question(
            Role.OPERATOR if name in for_operators else Role.VIEWER, answer, tells_caller=name in for_operators
        )
        for name, answer in answers.items()
    }
