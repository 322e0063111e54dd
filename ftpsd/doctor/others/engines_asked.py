"""
The engines that look at uploads, each shown an empty file: whether it answers, with which signatures, and how old these
are.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import Final

from ftpsd.config.model import Config
from ftpsd.config.users import UserRecord
from ftpsd.doctor.finding import Finding, ok, problem, warning
from ftpsd.scanning.engines.engine_probe import verdict_on_nothing
from ftpsd.scanning.verdict import EngineFailed

# Seconds for an answer.
PATIENCE: Final = 10.0
# Days; ClamAV has new signatures every day.
OLD: Final = 3
# ClamAV 1.4.6/27833/Mon Nov 24 08:57:02 2026
_CLAMAV_DATE: Final = re.compile(r"/[A-Z][a-z]{2} ([A-Z][a-z]{2} +[0-9]{1,2} [0-9:]{8} [0-9]{4})")


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
            yield _about_age(f"the engine {address} answers: {verdict.signatures}", verdict.signatures, time.time())


def _about_age(told: str, signatures: str, now: float) -> Finding:
    """Return what is to be said of an engine that answers, by the date in its *signatures*, where there is one."""
    match = _CLAMAV_DATE.search(signatures)
    if match is None:
        return ok(told)
    try:
        made = time.mktime(time.strptime(match[1], "%b %d %H:%M:%S %Y"))
    except (ValueError, OverflowError):
        return ok(told)
    days = int((now - made) // 86400)
    if days > OLD:
        return warning(f"{told}, {days} days old", "see to its updates: systemctl status clamav-freshclam")
    return ok(told)
