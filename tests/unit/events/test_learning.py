"""Proposals out of an audit log, which the configuration takes as they are."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from ftpsd.config.model import Config
from ftpsd.events.awaited.learning import in_yaml, learn
from ftpsd.events.awaited.name_forms import form_of

BERLIN = ZoneInfo("Europe/Berlin")


def line(moment: datetime, path: str, size: int = 1000, **fields: Any) -> bytes:
    """Return a line of the audit log about an upload."""
    time = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    data = {"time": time, "event": "file-stored", "user": "acme", "path": path, "bytes": size, "offset": 0}
    return json.dumps({**data, "result": "complete", **fields}).encode() + b"\n"


def months() -> list[bytes]:
    """Return two months: a report each business day about seven, with a mark; three parts each day; noise."""
    random = Random(1)
    lines: list[bytes] = [b"no json\n", b'{"event":"file-stored"}\n']
    for number in range(60):
        day = date(2026, 9, 1) + timedelta(days=number)
        seven = datetime(day.year, day.month, day.day, 7, tzinfo=BERLIN) + timedelta(minutes=random.randint(-10, 10))
        if day.weekday() < 5:
            lines.append(line(seven, f"/inbox/report-{day:%Y%m%d}.csv", random.randint(9_000, 11_000)))
            lines.append(line(seven + timedelta(seconds=5), f"/inbox/report-{day:%Y%m%d}.done", 0))
        for part in range(3):
            name = f"/parts/{day:%Y-%m-%d}_part{part}.bin"
            lines.append(line(seven, f"{name}.filepart", 50))
            renamed: dict[str, Any] = {"event": "file-renamed", "old": f"{name}.filepart", "new": name}
            lines.append(line(seven + timedelta(hours=10, minutes=part), "", **renamed))
        if number % 29 == 0:
            lines.append(line(seven, f"/inbox/now-and-then-{number}.txt"))
        lines.append(line(seven, f"/inbox/{random.getrandbits(64):x}x.tmpl", result="aborted"))
    return lines


def test_forms_of_names() -> None:
    """Dates are told from numbers; what stays is kept."""
    table = [
        ("report.csv", "report.csv", ()),
        ("report-20261201.csv", "report-*.csv", ("YYYYMMDD",)),
        ("report_2026-12-01.csv", "report_*.csv", ("YYYY-MM-DD",)),
        ("20261201093000_x.csv", "*_x.csv", ("YYYYMMDDhhmmss",)),
        ("x261201.csv", "x*.csv", ("YYMMDD",)),
        ("x99999999.csv", "x*.csv", ("number",)),
        ("31122026.txt", "*.txt", ("DDMMYYYY",)),
        ("a-2026-12-01-17.csv", "a-*-*.csv", ("YYYY-MM-DD", "number")),
    ]
    for name, pattern, stands_for in table:
        found = form_of(name)
        assert (found.pattern, found.stands_for) == (pattern, stands_for), name


def test_what_came_regularly_is_proposed_and_explained() -> None:
    """The report with its mark and the three parts; nothing else. The text is a configuration as it stands."""
    text = in_yaml(learn(months(), BERLIN, "Europe/Berlin"))
    config = Config.model_validate({**yaml.safe_load(text), "events": {}})
    report, parts = sorted(config.expectations, key=lambda each: each.path, reverse=False)
    assert (report.path, report.user, report.zone) == ("/inbox/report-*.csv", "acme", "Europe/Berlin")
    assert report.days == frozenset(range(5))
    assert report.begin < 6 * 60 + 50 < 7 * 60 + 10 < report.by <= 8 * 60
    assert report.companions == ("*.done",)
    assert report.size.min is not None
    assert 900 <= report.size.min <= 1100
    assert (parts.path, parts.count) == ("/parts/*_part*.bin", 3)
    assert parts.days == frozenset(range(7))
    assert parts.begin <= 17 * 60 - 10 < parts.by, "the time is that of the name, not of the upload"
    for words in ("YYYYMMDD", "half of the days within", "a file *.done came with it", "3 files came"):
        assert words in text


def test_nothing_is_made_of_noise_and_of_names_of_clients() -> None:
    """Names that are made to be YAML, or to move a terminal, are text or are left out."""
    start = datetime(2026, 9, 1, 7, tzinfo=UTC)
    evil = ('/inbox/x": {a: b}\u202e #', "/inbox/a\x1b[2J", "/inbox/[x]: - &a *b", "/inbox/null", "/null/no")
    lines = [line(start + timedelta(days=day), path) for day in range(10) for path in evil]
    found = learn(lines, UTC, "UTC")
    config = Config.model_validate({**yaml.safe_load(in_yaml(found)), "events": {}})
    assert {each.path for each in config.expectations} == {path for path in evil if "\x1b" not in path}
    names = [each.name for each in config.expectations]
    assert len(names) == len(set(names))
    assert learn(months(), BERLIN, "Europe/Berlin", since=2e9) == []
    assert learn([], UTC, "UTC") == []
