"""The walk of the tour: keys, stops that fail, stops that the machine has no program for. Nothing is served here."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsd.demo.demonstration import Demo
from ftpsd.demo.tour.ground import Failed, Ground
from ftpsd.demo.tour.guide import walk
from ftpsd.demo.tour.screen import Screen
from ftpsd.demo.tour.stop import Stop

ABOUT = ("one line", "another line")


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """A ground on which nothing runs."""
    (tmp_path / "audit.log").touch()
    demo = Demo(tmp_path, ("127.0.0.1",), 1, 2, 3, "demo", "secret", tmp_path / "ca.pem", "")
    return Ground(demo, Screen(waits=False), lambda words: None, "secret", tmp_path / "received")


def taken(ground: Ground, *shows: Callable[[Ground], None], needs: tuple[str, ...] = ()) -> None:
    walk(ground, [Stop(f"stop {number}", ABOUT, show, needs) for number, show in enumerate(shows, 1)])


def test_a_stop_that_fails_is_told_and_the_next_is_taken(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    """A claim that does not hold, something that does not come, a server that is gone: each is counted."""

    def wrong(ground: Ground) -> None:
        ground.screen.claim(False, "two and two are five")

    def absent(ground: Ground) -> None:
        raise Failed("it did not come")

    def gone(ground: Ground) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    def right(ground: Ground) -> None:
        ground.screen.claim(True, "two and two are four")

    taken(ground, wrong, absent, gone, right)
    assert ground.screen.failures == 3
    shown = capsys.readouterr().out
    for line in ("NOT OK  this was not seen: two and two are five", "NOT OK  it did not come", "Connection refused"):
        assert line in shown
    assert "  ok  two and two are four" in shown


def test_a_stop_without_its_program_is_left_out(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said what is missing, and it is no failure."""

    def never(ground: Ground) -> None:
        raise AssertionError("it was taken")

    taken(ground, never, needs=("no-such-program", "sh"))
    assert "Left out: no-such-program cannot be found on this machine." in capsys.readouterr().out
    assert ground.screen.failures == 0


class Pressing(io.StringIO):
    """A standard output at which somebody sits, who presses *key* as soon as that is asked for."""

    def __init__(self, keys: int) -> None:
        super().__init__()
        self._keys = keys
        self.key = b""

    def write(self, text: str) -> int:
        if "[Enter" in text:
            os.write(self._keys, self.key)
        return super().write(text)


def test_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter and others go on; q, Ctrl-D and a terminal that is gone end it."""
    keys, terminal = pty.openpty()
    out = Pressing(keys)
    monkeypatch.setattr("sys.stdout", out)
    with open(terminal, "rb", buffering=0) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        screen = Screen(waits=True)
        for key, goes_on in {b"\n": True, b"\r": True, b" ": True, b"q": False, b"Q": False, b"\x04": False}.items():
            out.key = key
            assert screen.goes_on() is goes_on, key
        os.close(keys)
        monkeypatch.setattr("sys.stdout", io.StringIO())
        assert Screen(waits=True).goes_on() is False
    assert Screen(waits=False).goes_on() is True


def test_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tabs are columns, the line below a table is none of it, no control character passes, and no line is broken."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    screen = Screen(waits=False)
    screen.output("user\tpath\nalice\t/a\nall of them are there, of whom there was one\n")
    screen.replies(["226 Done.", "550 \x1b[2JNo."])
    screen.command("curl " + "x" * 300)
    assert out.getvalue().splitlines() == [
        "  user   path",
        "  alice  /a",
        "  all of them are there, of whom there was one",
        "  < 226 Done.",
        "  < 550 \\x1b[2JNo.",
        "$ curl " + "x" * 300,
    ]
