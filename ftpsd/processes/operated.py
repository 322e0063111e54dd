"""
A server of several processes as its operator sees it: every process is asked, and the answers are put together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.processes.child import ANSWER, Child
from ftpsd.service.operating.keeping_questions import PATIENCE as KEEPING_PATIENCE
from ftpsd.service.operating.own_process import OF_RELOADS, LastReload
from ftpsd.service.operating.quarantine_desk import PATIENCE
from ftpsd.service.operating.question import MOST_SESSIONS, MOST_WATCHED
from ftpsd.service.orders import Trouble

if TYPE_CHECKING:
    from ftpsd.processes.supervisor import Supervisor

log = Logger()


class SeveralProcesses:
    """The `Operated` of *supervisor*; a process that does not answer in time is `missing` in the answers."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._last_reload = LastReload()
        supervisor.bus.subscribe(self._last_reload, *OF_RELOADS)

    def who(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""

        return self._sessions("sessions", lambda each: -each["seconds"], MOST_SESSIONS)

    def busiest(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        return self._sessions("busiest", lambda each: (each["transfer"] is None, each["idle"]), MOST_WATCHED)

    def _sessions(self, question: str, order: Callable[[Any], Any], most: int) -> Deferred[dict[str, Any]]:
        """Ask every process for sessions, and return *most* of all, in *order*."""

        def joined(answers: _Answers) -> dict[str, Any]:
            sessions = [
                {**session, "process": child.index + 1} for child, told in answers.told for session in told["sessions"]
            ]
            sessions.sort(key=order)
            return {"sessions": sessions[:most], "total": _sum(answers, "total"), "missing": answers.missing}

        return self._ask_all(question).addCallback(joined)

    def preflight(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""

        def joined(answers: _Answers) -> dict[str, Any]:
            found = [each for _, told in answers.told for each in told["sightings"]]
            return {"sightings": sorted(found, key=lambda each: each["began"]), "missing": answers.missing}

        return self._ask_all("preflight").addCallback(joined)

    def status(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        rounds = self._supervisor.rounds
        return rounds.refresh().addCallback(lambda _: self.state())

    def state(self) -> dict[str, Any]:
        """Return the same as of the last round of questions, for the status page."""
        return {**self._supervisor.status(), **self._last_reload.told()}

    def progress(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""

        def joined(answers: _Answers) -> dict[str, Any]:
            counts = {name: _sum(answers, name) for name in ("sessions", "transfers")}
            return {**counts, "is_stopping": self._supervisor.is_stopping, "missing": answers.missing}

        return self._ask_all("progress").addCallback(joined)

    def kick(self, session: str | None, user: str | None, host: str) -> Deferred[dict[str, Any]]:
        """See `Operated`."""

        def joined(answers: _Answers) -> dict[str, Any]:
            hosts = {host for _, told in answers.told for host in told["hosts"]}
            return {"ended": _sum(answers, "ended"), "hosts": sorted(hosts), "missing": answers.missing}

        return self._ask_all("kick", session=session, user=user, host=host).addCallback(joined)

    def reload(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        return self._supervisor.handing.reloads.enter().addCallback(lambda problems: {"problems": problems})

    def drain(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        # The numbers first: processes without sessions end at once.
        supervisor = self._supervisor

        def begin(told: dict[str, Any]) -> dict[str, Any]:
            supervisor.reactor.callLater(0, supervisor.reactor.callLater, 0, supervisor.drain)
            return {**told, "is_stopping": True}

        return self.progress().addCallback(begin)

    def upgrade(self) -> Deferred[dict[str, Any]]:
        """See `Operated`."""
        return self._supervisor.handover.succession.begin()

    def ask_first(self, question: str, **arguments: object) -> Deferred[Any]:
        """Ask the process that has the duties of the whole server."""
        child = next((child for child in self._supervisor.ready_children() if child.index == 0), None)
        if child is None:
            raise Trouble("the first process is being started; try again in a moment")
        return child.ask(question, KEEPING_PATIENCE, **arguments)

    def _ask_all(self, question: str, **arguments: object) -> Deferred[_Answers]:
        """Ask every process at once."""
        children = self._supervisor.ready_children()
        answers = _Answers()

        def failed(failure: Failure, child: Child) -> None:
            if self._supervisor.is_ending and failure.check(ConnectionDone, ConnectionLost):
                return  # its sessions have ended, and it has
            why = failure.getErrorMessage() or type(failure.value).__name__
            log.warn("{name} does not answer the operator: {why}", name=child.name, why=why)
            answers.missing.append(child.name)

        asked = [
            child.ask(question, ANSWER, **arguments).addCallbacks(
                lambda told, child: answers.told.append((child, told)),
                failed,
                callbackArgs=(child,),
                errbackArgs=(child,),
            )
            for child in children
        ]
        if not asked:
            return succeed(answers)
        return DeferredList(asked).addCallback(lambda _: answers)


def passed_on(supervisor: Supervisor, names: Iterable[str]) -> dict[str, Callable[..., Deferred[dict[str, Any]]]]:
    """Return answers to the questions *names* by one of the processes, whichever is ready."""

    def one(name: str) -> Callable[..., Deferred[dict[str, Any]]]:
        def ask(**arguments: object) -> Deferred[dict[str, Any]]:
            children = supervisor.ready_children()
            if not children:
                raise Trouble("no process is ready; try again in a moment")
            return children[0].ask(name, PATIENCE, **arguments)

        return ask

    return {name: one(name) for name in names}


class _Answers:
    """The answers of some processes, and the names of those without."""

    def __init__(self) -> None:
        self.told: list[tuple[Child, dict[str, Any]]] = []
        self.missing: list[str] = []


def _sum(answers: _Answers, name: str) -> int:
    numbers: Iterable[int] = (told[name] for _, told in answers.told)
    return sum(numbers)
