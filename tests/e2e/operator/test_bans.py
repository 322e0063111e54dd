"""`ftpsd bans`, `ban` and `unban` against real daemons: one process, and two."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3

import pytest

from ftpsd.control.gate.lasting_bans import KIND
from tests.e2e.conftest import StartDaemon
from tests.e2e.polling import eventually
from tests.e2e.processes.pair import pids
from tests.e2e.security.test_banned import CHEAP, SENTENCE, arrive, closing, guess, is_refused


@pytest.mark.parametrize("processes", [1, 2])
def test_an_operator_bans_and_unbans(start_daemon: StartDaemon, processes: int) -> None:
    """Every process follows; the list tells all of it, the audit log who was banned and that it is over."""
    daemon = start_daemon(
        {"processes": processes, "penalties": {"exempt": ["127.0.9.0/24"]}, "tls": {"require": "none"}}
    )
    none = daemon.order("bans")
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "no bans\n")

    with closing(arrive(daemon, "127.0.1.1")) as waiting, closing(arrive(daemon, "127.0.1.2")) as inside:
        waiting.reply()
        inside.reply()
        inside.log_in(daemon.account())
        made = daemon.order("ban", "127.0.1.0/24", "--for", "1h", "--reason", "scans \x1b[2J us")
        assert made.returncode == 0
        assert made.stdout.startswith("banned 127.0.1.0/24 until 20")
        assert waiting.reply() == SENTENCE
        assert inside.ask("NOOP").startswith("200")
        assert is_refused(daemon, "127.0.1.77")
        assert not is_refused(daemon, "127.0.2.1")

    guess(daemon, "127.0.3.1")
    daemon.wait_for_event("banned", client="127.0.3.1")
    listed = json.loads(daemon.order("bans", "--json").stdout)
    assert [(ban["client"], ban["reason"], ban["level"], ban["detail"]) for ban in listed] == [
        ("127.0.3.1", "wrong-password", 1, None),
        ("127.0.1.0/24", "operator", 1, "scans \x1b[2J us"),
    ]
    assert 800 < listed[0]["seconds"] <= 900 < 3500 < listed[1]["seconds"] <= 3600
    table = daemon.order("bans").stdout.splitlines()
    assert [line.split("\t")[0] for line in table] == ["client", "127.0.3.1", "127.0.1.0/24"]
    assert "\x1b" not in "".join(table)

    within = daemon.order("unban", "127.0.1.1")
    assert (within.returncode, "ftpsd unban 127.0.1.0/24" in within.stderr) == (1, True)
    ended = daemon.order("unban", "127.0.1.0/24")
    assert (ended.returncode, ended.stdout) == (0, "ended 1 ban\n")
    assert daemon.wait_for_event("unbanned", client="127.0.1.0/24")["reason"] == "operator"
    assert not is_refused(daemon, "127.0.1.1")
    assert is_refused(daemon, "127.0.3.1")
    assert daemon.order("unban", "all").stdout == "ended 1 ban\n"
    assert not is_refused(daemon, "127.0.3.1")
    assert daemon.order("unban", "127.0.3.1").returncode == 1
    for line, why in (
        (("ban", "127.0.9.9"), "is exempt"),
        (("ban", "example.com"), "neither an address nor a network"),
        (("ban", "127.0.4.1", "--for", "soon"), "is not a duration"),
        (("ban", "0.0.0.0/0"), "everybody"),
        (("unban", "x"), "neither an address nor a network"),
    ):
        refused = daemon.order(*line)
        assert (refused.returncode, why in refused.stderr) == (1, True), refused
    everybody = daemon.wait_for_event("ordered", order="ban", argument="place=0.0.0.0/0", result="refused")
    assert "everybody" in everybody["reason"]
    assert daemon.order("ban", "127.0.4.1").returncode == 0
    assert 800 < json.loads(daemon.order("bans", "--json").stdout)[0]["seconds"] <= 900
    daemon.wait_for_event("ordered", order="ban", account="root")


def test_a_user_who_is_refused_at_an_office_is_listed_and_let_in_again(start_daemon: StartDaemon) -> None:
    """By the address, under which the list has the name."""
    daemon = start_daemon({"penalties": {"exempt": []}, "tls": {"require": "none"}})
    source, colleague, other = "127.0.1.1", daemon.account(), daemon.account()
    assert colleague.name == CHEAP
    with closing(arrive(daemon, source)) as connection:
        connection.reply()
        connection.log_in(other)
    guess(daemon, source, colleague.name)
    daemon.wait_for_event("banned", client=source, name=colleague.name)
    (ban,) = json.loads(daemon.order("bans", "--json").stdout)
    assert (ban["client"], ban["name"]) == (source, colleague.name)
    assert daemon.order("unban", source).stdout == "ended 1 ban\n"
    assert daemon.wait_for_event("unbanned", client=source)["name"] == colleague.name
    with closing(arrive(daemon, source)) as connection:
        connection.reply()
        connection.log_in(colleague)


def test_a_ban_that_was_lifted_while_the_writer_of_the_file_was_dead(start_daemon: StartDaemon) -> None:
    """Is over after a restart, too: the process that takes its place removes it."""
    daemon = start_daemon({"processes": 2, "penalties": {"exempt": []}, "tls": {"require": "none"}})
    address = "127.0.4.1"

    def is_in_file() -> bool:
        with contextlib.closing(sqlite3.connect(daemon.folder / "state.db")) as file:
            return bool(file.execute("SELECT 1 FROM facts WHERE kind = ?", (KIND,)).fetchone())

    assert daemon.order("ban", address).returncode == 0
    eventually(is_in_file, "the ban is in the state file")
    writer = pids(daemon)[0]
    os.kill(writer, signal.SIGSTOP)
    assert daemon.order("unban", address).stdout == "ended 1 ban\n"
    os.kill(writer, signal.SIGKILL)
    eventually(lambda: not is_in_file(), "it is in the state file no more")
    daemon.stop()
    daemon.start()
    assert not is_refused(daemon, address)
