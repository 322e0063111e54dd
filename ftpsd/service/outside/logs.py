"""
The daemon's own log: one line an event on standard error, where systemd's journal and people read it.

Acts of clients are the audit log's business. Twisted's own chatter (every port that starts to listen) is left out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TextIO

from constantly import NamedConstant
from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    formatEvent,
    formatTime,
    globalLogBeginner,
)
from zope.interface import provider

from ftpsd.audit.journal import CRITICAL, DEBUG, ERROR, INFO, WARNING, leads_to_journal, marked
from ftpsd.config.parsing.document import ConfigError

STANDARD_ERROR = 2
# When a file server is down, thousands of homes are missing at once.
MOST_WARNINGS = 20

PRIORITIES = {
    LogLevel.debug: DEBUG,
    LogLevel.info: INFO,
    LogLevel.warn: WARNING,
    LogLevel.error: ERROR,
    LogLevel.critical: CRITICAL,
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

log = Logger()

_level: NamedConstant = LogLevel.info


def warn(warnings: Sequence[ConfigError]) -> None:
    """Log the findings about the configuration that do not keep it from being served."""
    for warning in warnings[:MOST_WARNINGS]:
        log.warn("{warning}", warning=warning)
    if len(warnings) > MOST_WARNINGS:
        log.warn("and {count} warnings more; `ftpsd check` has them all", count=len(warnings) - MOST_WARNINGS)


def begin(level: str, stream: TextIO | None = None, *, process: str = "") -> None:
    """Send log events of *level* and above to *stream*, standard error by default; *process* stands in every line."""

    is_journal = stream is None and leads_to_journal(STANDARD_ERROR)

    def format_line(event: LogEvent) -> str | None:
        text = format_event(event, f"{process}: " if process else "")
        return marked(text, PRIORITIES[event.get("log_level") or LogLevel.info]) if is_journal else text

    use_level(level)
    observer = FileLogObserver(stream or sys.stderr, format_line)
    globalLogBeginner.beginLoggingTo([filtered(observer)], redirectStandardIO=False)


def use_level(level: str) -> None:
    """Log events of *level* and above from now on."""
    global _level
    _level = LogLevel.lookupByName(level)


def tell_error(line: object) -> None:
    """Write *line* to standard error, for the operator of a server that does not start."""
    text = str(line)
    print(marked(text, ERROR) if leads_to_journal(STANDARD_ERROR) else text, file=sys.stderr)


def filtered(observer: ILogObserver, level: NamedConstant | None = None) -> ILogObserver:
    """Return *observer* behind a filter: our events from *level* (or `use_level`'s) on, Twisted's from `warn` on."""

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        own = event.get("log_level", LogLevel.info)
        namespace = str(event.get("log_namespace", ""))
        is_foreign = namespace.partition(".")[0] != "ftpsd"
        if own >= (level or _level) and (not is_foreign or own >= LogLevel.warn):
            observer(event)

    result: ILogObserver = observe
    return result


def format_event(event: LogEvent, prefix: str = "") -> str:
    """Return "time level text", *prefix* before the text, with the traceback of a failure behind it."""
    level = event.get("log_level")
    # A client's text must neither begin a line of its own nor control a terminal.
    text = _CONTROL.sub(lambda match: ascii(match[0])[1:-1], formatEvent(event))
    failure = event.get("log_failure")
    if failure is not None:
        text = f"{text}\n{failure.getTraceback()}"
    return f"{formatTime(event.get('log_time'))} {level.name if level else 'info'} {prefix}{text}\n"
