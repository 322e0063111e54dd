"""The daemon's own log: a line an event, ours from the level on, Twisted's from warn on."""

from __future__ import annotations

from typing import cast

import pytest
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from ftpsd.config.parsing.document import ConfigError
from ftpsd.service.outside.logs import MOST_WARNINGS, filtered, format_event, use_level, warn


def passes(level: str, namespace: str, threshold: str) -> bool:
    """Tell whether an event gets through the filter."""
    seen: list[LogEvent] = []
    observer = filtered(cast(ILogObserver, seen.append), LogLevel.lookupByName(threshold))
    observer({"log_level": LogLevel.lookupByName(level), "log_namespace": namespace})
    return bool(seen)


@pytest.mark.parametrize(
    ("level", "namespace", "threshold", "expected"),
    [
        ("info", "ftpsd.service.daemon", "info", True),
        ("debug", "ftpsd.service.daemon", "info", False),
        ("debug", "ftpsd.service.daemon", "debug", True),
        ("warn", "ftpsd.data.active", "error", False),
        ("critical", "ftpsd.control.dispatch", "error", True),
        ("info", "twisted.internet.tcp", "info", False),
        ("info", "twisted.internet.tcp", "debug", False),
        ("warn", "twisted.internet.tcp", "info", True),
        ("warn", "twisted.internet.tcp", "error", False),
        ("critical", "twisted.internet.defer", "info", True),
    ],
)
def test_what_is_logged(level: str, namespace: str, threshold: str, expected: bool) -> None:
    """Twisted's chatter about every port is left out, its warnings are not."""
    assert passes(level, namespace, threshold) is expected


def test_the_level_can_change() -> None:
    """A reload takes it over."""
    seen: list[LogEvent] = []
    observer = filtered(cast(ILogObserver, seen.append))
    event = {"log_level": LogLevel.debug, "log_namespace": "ftpsd.service.daemon"}
    try:
        for level in ("info", "debug", "error"):
            use_level(level)
            observer({**event, "level": level})
    finally:
        use_level("info")
    assert [event["level"] for event in seen] == ["debug"]


def test_another_package_is_not_ours() -> None:
    """A namespace that merely begins alike is somebody else's."""
    assert not passes("info", "ftpsdlike.module", "info")


def test_many_warnings() -> None:
    """Thousands of homes that are missing at once do not fill the log."""
    seen: list[LogEvent] = []
    observer = cast(ILogObserver, seen.append)
    globalLogPublisher.addObserver(observer)
    try:
        warn([ConfigError("users.yaml", number, 1, "home", "missing", "warning") for number in range(1, 5001)])
    finally:
        globalLogPublisher.removeObserver(observer)
    texts = [formatEvent(event) for event in seen]
    assert texts[0] == "users.yaml:1:1: warning: home: missing"
    assert (len(texts), texts[-1]) == (MOST_WARNINGS + 1, "and 4980 warnings more; `ftpsd check` has them all")


def test_an_event_is_one_line() -> None:
    """Time, level, text."""
    line = format_event({"log_level": LogLevel.warn, "log_format": "port {port}", "port": 21, "log_time": 0.0})
    assert line is not None
    assert line.endswith(" warn port 21\n")
    assert line.count("\n") == 1


def test_a_failure_brings_its_traceback() -> None:
    """For the operator who reports it."""
    try:
        raise ValueError("odd")
    except ValueError:
        failure = Failure()
    line = format_event(
        {"log_level": LogLevel.critical, "log_format": "failed", "log_failure": failure, "log_time": 0.0}
    )
    assert line is not None
    assert "ValueError: odd" in line


def test_a_client_cannot_forge_a_line() -> None:
    """A line end in a value does not begin an event of its own."""
    line = format_event(
        {"log_level": LogLevel.info, "log_format": "{name} failed", "name": "x\n1970-01-01 info ok", "log_time": 0.0}
    )
    assert line is not None
    assert line.count("\n") == 1


def test_a_client_says_nothing_to_a_terminal() -> None:
    """Escape codes, C1 ones too, are written out."""
    line = format_event(
        {"log_level": LogLevel.info, "log_format": "{name}", "name": "\x1b[2J\x9b1mé\r", "log_time": 0.0}
    )
    assert line is not None
    assert line.endswith(" info \\x1b[2J\\x9b1mé\\r\n")
