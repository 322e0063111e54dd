"""Deaths and what follows; how a process is started."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from ftpsd.processes.child import DELAYS, MINUTE, Deaths, command
from tests.tools import ROOT


def test_a_place_is_filled_later_and_later_and_then_no_more() -> None:
    """The fifth death in a minute is one too many."""
    deaths = Deaths(Clock().seconds)
    assert [deaths.delay_after() for _ in range(5)] == [*DELAYS, None]


def test_deaths_are_forgotten_after_a_minute() -> None:
    """A process that dies once an hour is replaced at once for ever."""
    clock = Clock()
    deaths = Deaths(clock.seconds)
    for _ in range(20):
        assert deaths.delay_after() == DELAYS[0]
        clock.advance(MINUTE)


def test_nothing_is_imported_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon's working directory may hold what clients have written."""
    monkeypatch.chdir(tmp_path)
    assert command("{}") == [sys.executable, "-P", "-m", "ftpsd.processes", "{}"]


def test_a_checkout_finds_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server was started as `python -m ftpsd` in a checkout, its processes start there too."""
    monkeypatch.chdir(ROOT)
    assert "-P" not in command("{}")
    assert os.getcwd() == str(ROOT)
