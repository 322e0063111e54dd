"""The questions of the control socket about jobs. The process of a server that runs them answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.jobs.job_runner import JobRunner, UnknownJob
from ftpsd.service.operating.caller import Role
from ftpsd.service.operating.question import Question
from ftpsd.service.orders import Answers, Trouble


def questions_about_jobs(ask: Callable[..., object]) -> dict[str, Question]:
    """Return the questions; *ask* takes the name of one of `answers_about_jobs`, and its arguments."""

    def history(job: str | None = None) -> object:
        return ask("job-history", job=job)

    def run(job: str) -> object:
        return ask("job-run", job=job)

    return {
        "jobs": Question(Role.VIEWER, partial(ask, "jobs")),
        "job-history": Question(Role.VIEWER, history),
        "job-run": Question(Role.OPERATOR, run),
    }


def answers_about_jobs(runner: JobRunner) -> Answers:
    """Return the answers of *runner*, by the names that processes ask each other."""

    def answered(name: str, found: Coroutine[Deferred[Any], Any, Any]) -> Deferred[dict[str, Any]]:
        def failed(failure: Failure) -> Failure:
            if failure.check(UnknownJob):
                return Failure(Trouble(f"there is no job {failure.value}; see `ftpsd jobs list`"))
            return Failure(Trouble(failure.getErrorMessage())) if failure.check(StateTrouble) else failure

        def told(value: Any) -> dict[str, Any]:
            return {name: value}

        return Deferred.fromCoroutine(found).addCallbacks(told, failed)

    return {
        "jobs": lambda: answered("jobs", runner.listed()),
        "job-history": lambda job=None: answered("runs", runner.history(job)),
        "job-run": lambda job: answered("run", runner.order(job)),
    }
