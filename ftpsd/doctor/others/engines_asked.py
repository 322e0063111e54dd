"""
The engines that look at uploads, each shown an empty file: whether it answers, and with which signatures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ftpsd.config.model import Config
from ftpsd.config.users import UserRecord
from ftpsd.doctor.finding import Finding, ok, problem
from ftpsd.scanning.engines.engine_probe import verdict_on_nothing
from ftpsd.scanning.verdict import EngineFailed

# Seconds for an answer.
PATIENCE: Final = 10.0


def look_at_engines(config: Config, known: Sequence[UserRecord]) -> Iterator[Finding]:
    """Yield a finding for each engine of the accept rules, of *config* and of the *known* users' roles. Blocks."""
    rules = (*config.accept, *dict.fromkeys(rule for user in known for rule in user.accept))
    for address in dict.fromkeys(address for rule in rules for address in rule.scan):
        try:
            verdict = verdict_on_nothing(address, PATIENCE)
        except EngineFailed as error:
            remedy = "start it, and let the daemon's user reach its socket; uploads to its paths are refused until then"
            yield problem(f"the engine {address} does not answer: {error}", remedy)
        else:
            yield ok(f"the engine {address} answers: {verdict.signatures}")
