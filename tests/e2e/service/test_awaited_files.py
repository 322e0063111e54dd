"""The file that did not come, with the real daemon: the recipe of the page, a mail, and the commands."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftpsd.config.automation.expectation_sections import Expectation
from ftpsd.durable.opening import state_opened
from ftpsd.events.awaited import waiting_tables
from tests.e2e.client import EXPLICIT, log_in, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually
from tests.events.post_office import PostOffice
from tests.tools import ROOT


@pytest.fixture
def post(tmp_path: Path) -> Iterator[PostOffice]:
    """A mail server."""
    office = PostOffice(tmp_path)
    yield office
    office.stop()


def recipe(name: str) -> dict[str, Any]:
    """Return the configuration of a recipe of the page."""
    page = (ROOT / "docs" / "automation.md").read_text()
    found = re.search(rf"<!-- recipe: {name} -->\n```yaml\n(.*?)```", page, re.DOTALL)
    assert found is not None
    # All words are text: to YAML 1.1 `on` is a truth.
    section: dict[str, Any] = yaml.load(found[1], yaml.BaseLoader)
    return section


def wall(moment: float) -> str:
    """Return a time of day in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M")


def ordered(daemon: Daemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `ftpsd expect`."""
    return daemon.order("expect", "--config", str(daemon.config_file), *arguments)


def test_a_mail_for_the_file_that_did_not_come(start_daemon: StartDaemon, post: PostOffice, tmp_path: Path) -> None:
    """The daemon was down over the deadline: it says so at its start, once; the file that comes after all is late."""
    state, now = tmp_path / "state.db", time.time()
    sections = recipe("missing")
    (alert,) = sections["workflows"]
    (expected,) = sections["expectations"]
    # The deadline of the page was half an hour ago, every day.
    del expected["days"]
    expected |= {"user": "u000", "zone": "UTC", "from": wall(now - 7200), "by": wall(now - 1800)}
    events = {"sinks": [{"name": "lines", "file": str(tmp_path / "lines"), "only": [*alert["on"]]}]}
    # As the daemon leaves it that ran an hour ago.
    with state_opened(state) as connection:
        section = Expectation.model_validate(expected)
        assert waiting_tables.advance(connection, [section], now - 3600).states["waiting"] == 1
    changes = {**sections, "events": events, "mail": post.section(), "state": str(state), "processes": 2}
    daemon = start_daemon(changes)
    account = daemon.account()
    assert account.name == "u000"
    missing = daemon.wait_for_event("expectation-missing")
    assert (missing["expectation"], missing["reason"], missing["user"]) == ("payroll", "nothing", "u000")
    eventually(lambda: len(post.letters) == 1, "the mail", 20)
    assert post.letters[0][1]["subject"] == "expectation-missing: /inbox/pay-*.csv of u000"
    (due,) = json.loads(ordered(daemon, "--json").stdout)
    assert (due["state"], due["came"], due["reason"]) == ("missing", 0, "nothing")
    assert "payroll\tu000\t/inbox/pay-*.csv\tmissing\t0/1\tnothing" in ordered(daemon).stdout
    outcomes = 'ftpsd_expectation_outcomes_total{expectation="payroll",outcome="%s"}'
    counted = {outcomes % "missing": 1, outcomes % "late": 0, 'ftpsd_expectations{state="missing"}': 1}
    eventually(lambda: counted.items() <= daemon.metrics().items(), "what is missing is counted, and nothing else")
    status = daemon.order("status", "--config", str(daemon.config_file)).stdout
    assert "1 missing" in status
    ftp = log_in(daemon, EXPLICIT, account)
    ftp.mkd("inbox")
    upload(ftp, "inbox/pay-1.csv.part", b"paid")
    ftp.rename("inbox/pay-1.csv.part", "inbox/pay-1.csv")
    ftp.quit()
    late = daemon.wait_for_event("expectation-late")
    assert (late["came"], late["path"]) == (1, "/inbox/pay-1.csv")
    eventually(lambda: len(post.letters) == 2, "the second mail", 20)
    daemon.stop()
    daemon.start()
    (due,) = json.loads(ordered(daemon, "--json").stdout)
    assert (due["state"], due["came"]) == ("late", 1)
    types = [json.loads(line)["type"] for line in (tmp_path / "lines").read_text().splitlines()]
    assert types == ["ftpsd.expectation-missing", "ftpsd.expectation-late"]
    learned = ordered(daemon, "learn", str(daemon.folder / "audit.jsonl"))
    assert "nothing came regularly" in learned.stderr
