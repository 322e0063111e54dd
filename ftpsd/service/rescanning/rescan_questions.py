"""The questions of the control socket about rescans. One process of a server answers them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ftpsd.service.operating.caller import Role
from ftpsd.service.operating.question import Question


def questions_about_rescans(ask: Callable[..., object]) -> dict[str, Question]:
    """Return the questions; *ask* takes the name of one of `Rescans.answers`, and its arguments."""

    def rescan(account: str, dry: str | None = None, everything: str | None = None) -> object:
        return ask("rescan", account=account, dry=dry, everything=everything)

    return {
        "rescan": Question(Role.OPERATOR, rescan, tells_caller=True),
        "rescan-progress": Question(Role.VIEWER, partial(ask, "rescan-progress")),
        "rescan-stop": Question(Role.OPERATOR, partial(ask, "rescan-stop")),
    }
