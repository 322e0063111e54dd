"""`ftpsd expect`: the table on a terminal and elsewhere, and proposals out of logs, also compressed ones."""

from __future__ import annotations

import gzip
import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from ftpsd.cli.automation.due_table import print_due
from ftpsd.cli.program import main
from ftpsd.config.model import Config
from ftpsd.events.awaited.due_today import Due

EXPECTED = {"name": "pay", "path": "/inbox/pay-*.csv", "user": "acme", "by": "24:00", "days": ["wed"]}
DUE = Due("pay", "acme", "/in/a\x1b[2J", "2026-12-02", "2026-12-02T00:00", "2026-12-03T00:00", "missing", 0, 1, None)


def run(folder: Path, *arguments: str, **sections: Any) -> Result:
    """Run the command."""
    keys = {"expectations": [EXPECTED], "events": {}, "state": str(folder / "state.db"), **sections}
    (folder / "ftpsd.yaml").write_text(json.dumps(keys))
    return CliRunner().invoke(main, ["expect", "--config", str(folder / "ftpsd.yaml"), *arguments])


def test_a_day_is_listed_without_a_daemon(tmp_path: Path) -> None:
    """The calendar alone answers; a date that is none is said so."""
    found = run(tmp_path, "--day", "2100-12-01", "--json")
    (due,) = json.loads(found.stdout)
    assert (due["expectation"], due["due"], due["state"]) == ("pay", "2100-12-02T00:00+00:00", "upcoming")
    plain = run(tmp_path, "--day", "2100-12-01").stdout.splitlines()
    assert plain[1].split("\t") == [
        *("2100-12-02 00:00+00:00", "pay", "acme", "/inbox/pay-*.csv", "upcoming", "0/1", "")
    ]
    assert run(tmp_path, "--day", "2100-12-02").stderr == "nothing is due\n"
    assert "is no date" in run(tmp_path, "--day", "tomorrow").stderr


class Terminal(io.StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_the_table_of_a_terminal_has_colours_of_ours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state has a colour, and a name that holds an escape is shown as text."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    for name, value in (("TERM", "xterm"), ("COLUMNS", "200"), ("FORCE_COLOR", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_due([DUE])
    text = terminal.getvalue()
    assert re.search(r"\x1b\[[0-9;]*31m *missing", text) is not None
    assert "\x1b[2J" not in text
    assert "/in/a\\x1b[2J" in text


def test_learning_from_logs(tmp_path: Path) -> None:
    """Out of a log and one that is compressed; what is printed is a configuration."""
    now = datetime.now(UTC).replace(hour=7, minute=0, second=0, microsecond=0)
    lines = []
    for day in range(20, 0, -1):
        moment = now - timedelta(days=day)
        fields = {"event": "file-stored", "user": "acme", "path": f"/inbox/pay-{moment:%Y%m%d}.csv", "bytes": 500}
        line = {"time": moment.strftime("%Y-%m-%dT%H:%M:%S.000000Z"), **fields, "offset": 0, "result": "complete"}
        lines.append(json.dumps(line) + "\n")
    (tmp_path / "old.gz").write_bytes(gzip.compress("".join(lines[:10]).encode()))
    (tmp_path / "log").write_text("".join(lines[10:]))
    found = run(tmp_path, "learn", str(tmp_path / "old.gz"), str(tmp_path / "log"), "--zone", "Europe/Berlin")
    assert found.exit_code == 0, found.output
    assert "it came on 20 days" in found.stdout
    (each,) = Config.model_validate({**yaml.safe_load(found.stdout), "events": {}}).expectations
    assert (each.path, each.zone) == ("/inbox/pay-*.csv", "Europe/Berlin")
    (proposal,) = json.loads(run(tmp_path, "learn", "--json", audit={"log": str(tmp_path / "log")}).stdout)
    assert proposal["section"]["user"] == "acme"
    assert run(tmp_path, "learn", "--days", "1", str(tmp_path / "old.gz")).stderr.startswith("nothing came regularly")
    for arguments, words in (
        (("learn",), "The audit log is no file"),
        (("learn", "--zone", "Mars/Olympus"), "knows no time zone"),
        (("learn", str(tmp_path / "missing")), "cannot be read"),
    ):
        failed = run(tmp_path, *arguments)
        assert failed.exit_code != 0, arguments
        assert words in failed.stderr
