"""How a reload ended, as it is told to whoever asked for it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsd.service.outside.outcome import FILE, NoAnswer, Outcome, ask_for_reload, read_outcome, runtime_directory

SERVER = 4711


class Server:
    """A server that is sent signals, and answers when somebody has looked *looks* times."""

    def __init__(self, answer: Callable[[float], None], looks: int = 2) -> None:
        self.signals: list[int] = []
        self._answer = answer
        self._looks = looks

    def kill(self, pid: int, number: int) -> None:
        assert pid == SERVER
        self.signals.append(number)

    def pause(self, _seconds: float) -> None:
        self._looks -= 1
        if not self._looks:
            self._answer(time.monotonic())


def test_an_outcome_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Whole, and nothing else is left in the directory."""
    Outcome(1.5, ("one", "two"), SERVER).write(tmp_path)
    assert read_outcome(tmp_path) == Outcome(1.5, ("one", "two"), SERVER)
    assert os.listdir(tmp_path) == [FILE]


def test_there_may_be_none(tmp_path: Path) -> None:
    """Nobody has reloaded yet."""
    assert read_outcome(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"began": "x", "problems": [], "pid": 1}'])
def test_one_that_is_no_outcome(tmp_path: Path, text: str) -> None:
    """A sentence, no traceback."""
    (tmp_path / FILE).write_text(text)
    with pytest.raises(NoAnswer, match=r"reload\.json cannot be read"):
        read_outcome(tmp_path)


def test_a_reload_is_asked_for_and_waited_for(tmp_path: Path) -> None:
    """One SIGHUP, and what it came to."""
    server = Server(lambda now: Outcome(now, ("bad",), SERVER).write(tmp_path))
    assert ask_for_reload(SERVER, tmp_path, 20, server.kill, server.pause).problems == ("bad",)
    assert server.signals == [signal.SIGHUP, 0, 0]


def test_one_that_began_earlier_does_not_count(tmp_path: Path) -> None:
    """It may have read the files before they were changed; nor does one of another server, later or not."""
    Outcome(time.monotonic(), ("earlier",), SERVER).write(tmp_path)
    server = Server(lambda now: Outcome(now, (), SERVER).write(tmp_path))
    assert ask_for_reload(SERVER, tmp_path, 20, server.kill, server.pause).problems == ()
    Outcome(time.monotonic() + 1e6, ("other",), SERVER + 1).write(tmp_path)
    server = Server(lambda now: Outcome(now, (), SERVER).write(tmp_path))
    assert ask_for_reload(SERVER, tmp_path, 20, server.kill, server.pause).problems == ()


def test_a_server_that_says_nothing(tmp_path: Path) -> None:
    """The wait has an end."""
    with pytest.raises(NoAnswer, match="has not said"):
        ask_for_reload(SERVER, tmp_path, 0.0, lambda pid, number: None)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(ProcessLookupError, "is not running"), (PermissionError, "as root or as the server's user")],
)
def test_a_server_that_cannot_be_asked(tmp_path: Path, error: type[OSError], sentence: str) -> None:
    """Why, at once."""

    def kill(_pid: int, _number: int) -> None:
        raise error

    with pytest.raises(NoAnswer, match=sentence):
        ask_for_reload(SERVER, tmp_path, 20, kill)


@pytest.mark.parametrize(
    ("environ", "directory"),
    [({}, None), ({"RUNTIME_DIRECTORY": ""}, None), ({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, Path("/run/a"))],
)
def test_where_it_is_told(environ: dict[str, str], directory: Path | None) -> None:
    """In the first directory that systemd has made."""
    assert runtime_directory(environ) == directory
