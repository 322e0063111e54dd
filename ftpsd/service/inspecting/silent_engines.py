"""Engines of the accept rules that do not answer: every upload to their paths is refused until they do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError
from ftpsd.scanning.engines.engine_probe import verdict_on_nothing
from ftpsd.scanning.verdict import EngineFailed

# Seconds; people wait for it.
PATIENCE: Final = 3.0


def silent_engines(config: Config) -> Iterator[ConfigError]:
    """Yield a warning for each engine that does not answer, at the first rule that names it. Blocks."""
    asked = set()
    for number, rule in enumerate(config.accept):
        for place, address in enumerate(rule.scan):
            if address in asked:
                continue
            asked.add(address)
            try:
                verdict_on_nothing(address, PATIENCE)
            except EngineFailed as error:
                message = (
                    f"{address} does not answer ({error}), and what it has not seen is refused; "
                    "start it, and let the daemon's user reach it"
                )
                yield config.complaint(("accept", number, "scan", place), message, "warning")
