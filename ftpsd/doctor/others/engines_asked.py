"""
The engines that look at uploads, each shown an empty file: whether it answers, and with which signatures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ftpsd.config.model import Config
from ftpsd.doctor.finding import Finding, ok, problem
from ftpsd.scanning.engines.engine_probe import verdict_on_nothing
from ftpsd.scanning.verdict import EngineFailed

# Seconds for an answer.
PATIENCE: Final = 10.0


def look_at_engines(config: Config) -> Iterator[Finding]:
    """Yield a finding for each engine of the accept rules. Blocks."""
    for address in dict.fromkeys(address for rule in config.accept for address in rule.scan):
        try:
            verdict = verdict_on_nothing(address, PATIENCE)
        except EngineFailed as error:
            remedy = "start it, and let the daemon's user reach its socket; uploads to its paths are refused until then"
            yield problem(f"the engine {address} does not answer: {error}", remedy)
        else:
            yield ok(f"the engine {address} answers: {verdict.signatures}")
