"""
The questions of the control socket about retention and holds. One process of a server answers them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ftpsd.service.operating.caller import Role
from ftpsd.service.operating.question import Question
from ftpsd.service.orders import Answers

# Seconds for a look at all files.
PATIENCE = 55.0


def questions_about_keeping(ask: Callable[..., object]) -> dict[str, Question]:
    """Return the questions; *ask* takes the name of one of `answers_about_keeping`, and its arguments."""

    def hold(reason: str, by: str, paths: str | None = None, users: str | None = None) -> object:
        return ask("hold", reason=reason, by=by, paths=paths, users=users)

    def release(name: str, reason: str, by: str) -> object:
        return ask("release", name=name, reason=reason, by=by)

    def retention(confirm: str | None = None) -> object:
        return ask("retention", confirm=confirm)

    return {
        "holds": Question(Role.VIEWER, partial(ask, "holds")),
        "hold": Question(Role.OPERATOR, hold),
        "release": Question(Role.OPERATOR, release),
        "retention-dry": Question(Role.VIEWER, lambda: ask("retention", dry="yes")),
        "retention": Question(Role.OPERATOR, retention),
    }


def asked_of(answers: Answers) -> Callable[..., object]:
    """Return the `ask` of a server of one process."""
    return lambda question, **arguments: answers[question](**arguments)
