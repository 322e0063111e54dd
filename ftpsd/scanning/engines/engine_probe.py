"""Whether an engine answers: it is shown an empty file."""

from __future__ import annotations

from time import monotonic

from ftpsd.config.accept.engines import EngineAddress
from ftpsd.scanning.accept_gate import engine_at
from ftpsd.scanning.verdict import EngineFailed, Verdict

# Seconds of each look for an answer.
LOOK = 0.2


def verdict_on_nothing(address: EngineAddress, patience: float) -> Verdict:
    """Return what the engine at *address* says within *patience* seconds. Blocks. Raises: EngineFailed."""
    started = monotonic()
    talk = engine_at(address, patience).begin()
    try:
        while (verdict := talk.answer(min(LOOK, patience))) is None:
            if monotonic() - started > patience:
                raise EngineFailed(f"silent for {patience:g} s")
        return verdict
    finally:
        talk.close()
