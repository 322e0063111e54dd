"""Engines of the accept rules that do not answer: every upload to their paths is refused until they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ftpsd.config.accept.accept_rules import AcceptRule
from ftpsd.config.accept.engines import EngineAddress
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError, Key
from ftpsd.config.users import Users
from ftpsd.scanning.engines.engine_probe import verdict_on_nothing
from ftpsd.scanning.verdict import EngineFailed

# Seconds; people wait for it.
PATIENCE: Final = 3.0

# Makes a complaint about the place of a key in the file where the rules are.
_Complain = Callable[[Key, str], ConfigError]


def silent_engines(config: Config, everybody: Sequence[Users] = ()) -> Iterator[ConfigError]:
    """Yield a warning for each engine that does not answer, at the first rule that names it. Blocks."""
    asked: set[EngineAddress] = set()
    for key, rules, complain in _rules(config, everybody):
        for number, rule in enumerate(rules):
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
                    yield complain((*key, number, "scan", place), message)


def _rules(config: Config, everybody: Sequence[Users]) -> Iterator[tuple[Key, tuple[AcceptRule, ...], _Complain]]:
    """Yield all accept rules, with their key in their file."""
    yield ("accept",), config.accept, lambda key, message: config.complaint(key, message, "warning")
    for users in everybody:
        for name, role in ({} if users.entries is None else users.entries.roles).items():
            told: _Complain = lambda key, message, users=users: users.complaint(key, message, "warning")  # type: ignore[misc] # noqa: E731
            yield ("roles", name, "accept"), role.accept, told
