"""
The sources of users, each asked about a user that there is not: whether it answers, and if not why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from twisted.python.failure import Failure

from ftpsd.auth.credentials import LoginDenied
from ftpsd.auth.hashing.passwords import VerifiedCache
from ftpsd.auth.hashing.queue import LoginQueue
from ftpsd.auth.sources.assembly import Assembly
from ftpsd.config.sources.source_files import order_of
from ftpsd.doctor.finding import Finding, ok, problem
from ftpsd.service.load import Loaded
from ftpsd.workers import WorkerPool

# A name that is unlikely to be a user's; when it is one, the source has answered all the same.
NOBODY: Final = "ftpsd-doctor"


async def ask_each(loaded: Loaded, reactor: Any) -> dict[str, str]:
    """Return why each source that a host of *loaded* asks does not answer, "" where it does."""
    names = WorkerPool("lookup", 2, 10, reactor.callFromThread)
    names.start()
    assembly = Assembly(loaded.config, loaded.source_files, reactor, names, LoginQueue(names), VerifiedCache(reactor))
    asked = [name for name in order_of(loaded.config) if name != "file"]
    answers = [assembly.questions(name).source.find(NOBODY, "").addCallbacks(lambda _: "", _why) for name in asked]
    try:
        return dict(zip(asked, [await answer for answer in answers], strict=True))
    finally:
        names.stop(patience=0)


def look_at_sources(answers: Mapping[str, str]) -> Iterator[Finding]:
    """Yield a finding for each source of `ask_each`."""
    for name, why in answers.items():
        if why:
            remedy = f"its users cannot log in until it does; see the section {name}, and its server"
            yield problem(f"the source {name} does not answer: {why}", remedy)
        else:
            yield ok(f"the source {name} answers")


def _why(failure: Failure) -> str:
    return "" if failure.check(LoginDenied) else failure.getErrorMessage()
