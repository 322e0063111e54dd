"""
The engines that look at uploads, each shown an empty file: whether it answers, and with which signatures.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Final

from ftpsd.config.model import Config
from ftpsd.doctor.finding import Finding, ok, problem
from ftpsd.scanning.accept_gate import engine_at
from ftpsd.scanning.verdict import EngineFailed

# Seconds for an answer, and of each look for it.
PATIENCE: Final = 10.0
LOOK: Final = 0.2


def look_at_engines(config: Config) -> Iterator[Finding]:
    """Yield a finding for each engine of the accept rules. Blocks."""
    for address in dict.fromkeys(address for rule in config.accept for address in rule.scan):
        started = monotonic()
        try:
            talk = engine_at(address, PATIENCE).begin()
            try:
                while talk.answer(LOOK) is None:
                    if monotonic() - started > PATIENCE:
                        raise EngineFailed(f"silent for {PATIENCE:g} s")
            finally:
                talk.close()
        except EngineFailed as error:
            remedy = "start it, and let the daemon's user reach its socket; uploads to its paths are refused until then"
            yield problem(f"the engine {address} does not answer: {error}", remedy)
        else:
            yield ok(f"the engine {address} answers: {talk.signatures}")
