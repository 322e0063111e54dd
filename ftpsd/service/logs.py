"""
The daemon's own log: one line an event on standard error, where systemd's journal and people read it.

What clients do is the audit log's business. Twisted's own chatter (every port that starts to listen) is left out.
"""

from __future__ import annotations

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

from ftpsd.config.document import ConfigError

# When a file server is down, thousands of homes are missing at once.
MOST_WARNINGS = 20

log = Logger()


def warn(warnings: Sequence[ConfigError]) -> None:
    """Log what was found in the configuration that does not keep it from being served."""
    for warning in warnings[:MOST_WARNINGS]:
        log.warn("{warning}", warning=warning)
    if len(warnings) > MOST_WARNINGS:
        log.warn("and {count} warnings more; `ftpsd check` has them all", count=len(warnings) - MOST_WARNINGS)


def begin(level: str, stream: TextIO | None = None, *, process: str = "") -> None:
    """Send log events of *level* and above to *stream*, standard error by default; *process* stands in every line."""

    def format_line(event: LogEvent) -> str | None:
        return format_event(event, f"{process}: " if process else "")

    observer = FileLogObserver(stream or sys.stderr, format_line)
    globalLogBeginner.beginLoggingTo([filtered(observer, LogLevel.lookupByName(level))], redirectStandardIO=False)


def filtered(observer: ILogObserver, level: NamedConstant) -> ILogObserver:
    """Return *observer* behind a filter: our events from *level* on, Twisted's from `warn` on."""

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        own = event.get("log_level", LogLevel.info)
        namespace = str(event.get("log_namespace", ""))
        is_foreign = namespace.partition(".")[0] != "ftpsd"
        if own >= level and (not is_foreign or own >= LogLevel.warn):
            observer(event)

    result: ILogObserver = observe
    return result


def format_event(event: LogEvent, prefix: str = "") -> str | None:
    """Return "time level text", *prefix* before the text, with the traceback of a failure behind it."""
    level = event.get("log_level")
    # A client's text must not begin a line of its own.
    text = formatEvent(event).replace("\r", "\\r").replace("\n", "\\n")
    failure = event.get("log_failure")
    if failure is not None:
        text = f"{text}\n{failure.getTraceback()}"
    return f"{formatTime(event.get('log_time'))} {level.name if level else 'info'} {prefix}{text}\n"
