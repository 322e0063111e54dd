"""
Both nights on which the clocks of Berlin change, for a real daemon: libfaketime gives it a clock that the test sets.

Its monotonic clock stays the real one, so nothing that waits for a length of time is disturbed. Each look at the clock
goes through libfaketime then, which takes half a minute of processor time for both nights: FTPSD_TESTS_LARGE=1. The
many moments of the year are in unit/jobs and unit/events, on a clock in memory.
"""

from __future__ import annotations

import ftplib
import io
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.daemon import SERVE, Account, Daemon
from tests.e2e.polling import eventually
from tests.e2e.programs.files import LARGE, MIB
from tests.tools import missing, require_tool

ZONE = "Europe/Berlin"


def faketime_library() -> str:
    """
    Return libfaketime, or skip.

    Not the one for threads: a process that is forked while another thread looks at the clock waits for that for ever.
    """
    require_tool("faketime")
    found = [*Path("/usr/lib").glob("*/faketime/libfaketime.so.1")]
    return str(found[0]) if found else missing("libfaketime.so.1 is not where Debian has it")


def moment(text: str) -> float:
    """Return the Unix time of *text*."""
    return datetime.fromisoformat(text).timestamp()


class Night:
    """A daemon in a night, with a job at half past two and files that are due then; *begins* is when it is started."""

    def __init__(self, folder: Path, tls: Demonstration, begins: str) -> None:
        self._clock = folder / "clock"
        self.set(begins)
        due = {"by": "02:30", "zone": ZONE, "warn": None}
        changes = {
            "tls": {"require": "none"},
            "listeners": [],
            "events": {},
            "expectations": [
                {"name": name, "path": f"/{name}-*", "user": "u000", **due} for name in ("comes", "misses")
            ],
            "jobs": [
                {
                    "name": "nightly",
                    "at": "30 2 * * *",
                    "time_zone": ZONE,
                    "backup": {"directory": str(folder / "backups")},
                }
            ],
        }
        environ = {
            "LD_PRELOAD": faketime_library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.daemon = Daemon(folder / "daemon", tls, changes, users=1, command=SERVE, environ=environ)
        self.account: Account = self.daemon.account()
        # Without a certificate: that of the tests is not valid on every night.
        changes["listeners"] = [{"mode": "explicit", "port": self.daemon.ports.explicit}]
        changes["tls"] = {"require": "none", "certificate": "none.pem", "private_key": "none.key"}
        self.daemon.write_config()

    def set(self, text: str) -> None:
        """Have the clock of the daemon show *text*, and go on from there."""
        new = self._clock.with_suffix(".new")
        new.write_text(f"{moment(text) - time.time():+.3f}\n")
        new.rename(self._clock)

    def next_run(self) -> float | None:
        """Return when the job is due next."""
        (job,) = json.loads(self.daemon.order("jobs", "list", "--json").stdout)
        return None if job["next"] is None else float(job["next"])

    def upload(self, name: str) -> None:
        """Have the user upload a file."""
        with ftplib.FTP() as ftp:
            ftp.connect("127.0.0.1", self.daemon.ports.explicit, timeout=60)
            ftp.login(self.account.name, self.account.password)
            assert ftp.storbinary(f"STOR {name}", io.BytesIO(b"data")).startswith("226")

    def time(self) -> float:
        """Return the time of the daemon: that of an upload now; 0 where the clock has jumped in the middle of it."""
        try:
            self.upload("probe")
        except (OSError, EOFError, ftplib.Error):
            return 0.0
        return moment(self.daemon.audit('"/probe"')[-1]["time"])

    def event(self, name: str, **fields: object) -> float:
        """Wait for an event, and return the time that the daemon gives it."""
        found: dict[str, Any] = self.daemon.wait_for_event(name, **fields)
        return moment(found["time"])


@pytest.mark.skipif(LARGE <= 64 * MIB, reason="half a minute of processor time: FTPSD_TESTS_LARGE=1")
@pytest.mark.parametrize("change", ["spring", "autumn"])
def test_half_past_two_in_a_night_of_change(change: str, tmp_path: Path, tls_files: Demonstration) -> None:
    """
    A job runs once, also where there is no such time, or two; a deadline comes no earlier than the wall says.

    In spring 2:30 is left out: the job runs at once behind the change, the deadline is 3:30. In autumn the job takes
    the first 2:30, and the deadline is the second.
    """
    day, run, just_before_run, in_between, deadline, just_before_deadline, tomorrow = {
        "spring": (
            "2027-03-28T00:00:00+00:00",
            "2027-03-28T03:00:00+02:00",
            "2027-03-28T01:59:58+01:00",
            "2027-03-28T03:10:00+02:00",
            "2027-03-28T03:30:00+02:00",
            "2027-03-28T03:29:58+02:00",
            "2027-03-29T02:30:00+02:00",
        ),
        "autumn": (
            "2027-10-31T00:00:00+00:00",
            "2027-10-31T02:30:00+02:00",
            "2027-10-31T02:29:58+02:00",
            "2027-10-31T02:20:00+01:00",
            "2027-10-31T02:30:00+01:00",
            "2027-10-31T02:29:58+01:00",
            "2027-11-01T02:30:00+01:00",
        ),
    }[change]
    night = Night(tmp_path, tls_files, day)
    with night.daemon.running():
        eventually(lambda: night.next_run() == moment(run), "the job is due")
        steps = [(in_between, "in between"), (just_before_run, "run")]
        for text, step in sorted(steps, key=lambda each: moment(each[0])):
            night.set(text)
            if step == "run":
                assert night.event("job-started", job="nightly") >= moment(run)
                night.event("job-ended", job="nightly", result="done")
                eventually(lambda: night.next_run() == moment(tomorrow), "the next night")
            else:
                eventually(lambda: night.time() >= moment(in_between), "the clock")
                night.upload("comes-1")
                assert night.event("expectation-on-time", expectation="comes") < moment(deadline)
        night.set(just_before_deadline)
        assert night.event("expectation-missing", expectation="misses") > moment(deadline)
        runs = json.loads(night.daemon.order("jobs", "history", "--json").stdout)
        assert [each["state"] for each in runs] == ["done"]
