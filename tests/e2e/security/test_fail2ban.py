"""Fail2Ban with our files reads what a daemon has logged, and takes no address that a client made up; nftables."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

from ftpsd.control.gate.offences import ENDS, INNOCENT, REFUSED_LOGINS
from ftpsd.demo.authority import Demonstration
from tests.e2e.daemon import Daemon
from tests.e2e.security.test_banned import DEEDS, WEIGHTS, arrive, closing, guess, rest_of
from tests.tools import ROOT, missing, require_tool

FOLDER = ROOT / "etc" / "fail2ban"
FILTER = FOLDER / "filter.d" / "ftpsd.conf"
RULES = ROOT / "etc" / "nftables" / "ftpsd.nft"
JOURNAL_REMOTE = Path("/lib/systemd/systemd-journal-remote")
OFFICE, FULL = "127.0.50.1", "127.0.52.1"
FORGED = "192.0.2.66"
NAMES = (
    f'x","peer":"{FORGED}","reason":"wrong password',
    f'","client":"{FORGED}","reason":"wrong-password","seconds":900.0}}',
    f'{{"peer":"{FORGED}"}}',
    "\\",
    f'\\","peer":"{FORGED}"',
    f'{{"time":"2030-01-01T00:00:00.000000Z","event":"banned","client":"{FORGED}","reason":"no","seconds":1}}',
)
OFFENDERS = {f"127.0.{100 + number}.1": deed for number, deed in enumerate(DEEDS.values())}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Path]:
    """The audit log of a daemon that has seen every offence, an office with two troubled users, and a network's ban."""
    changes = {
        "penalties": {"exempt": [], "weights": {**WEIGHTS, "unknown_user": 10}, "network": {"failures": 12}},
        "tls": {"require": "none"},
        "limits": {"login_timeout": "6s", "failed_logins": 1, "sessions_per_user": 1},
    }
    daemon = Daemon(tmp_path_factory.mktemp("logged"), tls_files, changes, users=4)
    try:
        daemon.start()
        first, second = daemon.account(), daemon.account()
        with ExitStack() as stack:
            for source in OFFENDERS:
                connection = stack.enter_context(closing(arrive(daemon, source)))
                connection.reply()
                OFFENDERS[source](connection, first)
                rest_of(connection)
                daemon.wait_for_event("banned", client=source)
            inside = stack.enter_context(closing(arrive(daemon, OFFICE)))
            inside.reply()
            inside.log_in(first)
            for name in NAMES:
                guess(daemon, OFFICE, name, times=1)
            full = stack.enter_context(closing(arrive(daemon, FULL)))
            full.reply()
            full.ask(f"USER {first.name}")
            assert full.ask(f"PASS {first.password}").startswith("421 Too many sessions")
            for number in (1, 2):
                guess(daemon, f"127.0.51.{number}", second.name, times=1)
            daemon.wait_for_event("banned", client="127.0.51.0/24")
        daemon.stop()
        yield daemon.folder / "audit.jsonl"
    finally:
        daemon.kill()


def found(source: object, mode: str) -> list[str]:
    """Return the addresses that Fail2Ban takes from *source*, a log file or a journal."""
    program = require_tool("fail2ban-regex")
    done = subprocess.run(
        [program, "-o", "<ip>", str(source), f"{FILTER}[mode={mode}]"], capture_output=True, text=True, cwd=FOLDER
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()


def journal_of(log: Path, folder: Path) -> str:
    """Return the journal into which systemd would have put the lines of *log*, beside those of another unit."""
    if not JOURNAL_REMOTE.exists():
        missing("systemd-journal-remote is not installed")
    entries = []
    forged = json.dumps({"event": "banned", "client": FORGED, "reason": "x", "seconds": 1.0}, separators=(",", ":"))
    for number, (unit, line) in enumerate(
        [("other.service", '{"time":"2030-01-01T00:00:00.000000Z",' + forged[1:])]
        + [("ftpsd.service", line) for line in log.read_text().splitlines()]
    ):
        time = datetime.fromisoformat(json.loads(line)["time"]).timestamp()
        entries.append(
            f"__REALTIME_TIMESTAMP={int(time * 1_000_000)}\n__MONOTONIC_TIMESTAMP={number + 1}\n"
            f"_BOOT_ID={1:032x}\n_SYSTEMD_UNIT={unit}\n_HOSTNAME=ftp\nSYSLOG_IDENTIFIER=ftpsd\n_PID=4711\n"
            f"MESSAGE={line}\n\n"
        )
    (folder / "export").write_text("".join(entries))
    file = folder / "ftpsd.journal"
    subprocess.run([JOURNAL_REMOTE, "-o", file, folder / "export"], check=True, capture_output=True)
    return f"systemd-journal[journalfiles={file}, journalflags=0]"


@pytest.mark.parametrize("place", ["file", "journal"])
def test_what_ftpsd_bans_is_what_fail2ban_takes(log: Path, tmp_path: Path, place: str) -> None:
    """Each ban of an address or a network, and no name that was refused at an office, nor one that was typed."""
    source = log if place == "file" else journal_of(log, tmp_path)
    banned = [event for event in map(json.loads, log.read_text().splitlines()) if event["event"] == "banned"]
    assert {event["name"] for event in banned if "name" in event} == set(NAMES)
    expected = [event["client"] for event in banned if "name" not in event]
    assert set(expected) == {*OFFENDERS, "127.0.51.1", "127.0.51.2", "127.0.51.0/24"}
    assert sorted(found(source, "bans")) == sorted(expected)


@pytest.mark.parametrize("place", ["file", "journal"])
def test_failures_one_by_one(log: Path, tmp_path: Path, place: str) -> None:
    """Every refused login counts for the client's address; too many sessions and handshakes do not."""
    source = log if place == "file" else journal_of(log, tmp_path)
    expected = [
        event["peer"]
        for event in map(json.loads, log.read_text().splitlines())
        if (event["event"] == "login-refused" and event["reason"] in REFUSED_LOGINS)
        or (event["event"] == "session-closed" and event["reason"] in ENDS)
    ]
    assert {OFFICE, "127.0.51.1", *OFFENDERS} - set(expected) == {
        source for source, deed in OFFENDERS.items() if deed in (DEEDS["handshake-failed"], DEEDS["no-login"])
    }
    assert sorted(found(source, "failures")) == sorted(expected)


def test_every_reason_of_a_refused_login_is_in_the_filter(tmp_path: Path) -> None:
    """Those that weigh something, and none of the others."""
    lines = tmp_path / "lines"
    for reasons, expected in ((sorted(REFUSED_LOGINS), True), ([*sorted(INNOCENT), *INNOCENT_ENDS], False)):
        lines.write_text(
            "".join(
                f'{{"time":"2030-01-01T00:00:00.000000Z","event":"login-refused","session":"ab","peer":"192.0.2.{number}",'
                f'"listener":"explicit:21","method":"password","name":"x","reason":"{reason}","seconds":0.1}}\n'
                for number, reason in enumerate(reasons)
            )
        )
        assert found(lines, "failures") == [f"192.0.2.{number}" for number in range(len(reasons)) if expected]


def test_the_jails_name_files_that_are_there() -> None:
    """Both are off until an operator turns one on, and use our filter and action."""
    jails = ConfigParser()
    jails.read(FOLDER / "jail.d" / "ftpsd.conf")
    for name in ("ftpsd", "ftpsd-journal"):
        jail = jails[name]
        assert jail["enabled"] == "false"
        assert (FOLDER / "filter.d" / f"{jail['filter'].partition('[')[0]}.conf").is_file()
        assert (FOLDER / "action.d" / f"{jail['action']}.conf").is_file()
        assert jail["maxretry"] == "1"
        assert jail["port"] == "21,990,3000:3050"


INNOCENT_ENDS = ("busy", "banned", "too-many-sessions", "login-undecided", "login-timeout", "stopping")
# A network namespace of its own: the machine's rules are left alone.
NAMESPACE = ("unshare", "--net", "--")
TRY = r"""
set -e
ip link set lo up
nft -f "$RULES"
nft -f "$RULES"
reach() { "$PYTHON" -c '
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[2]))):
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[2])), 0.3, (sys.argv[1], 0)).close()
        print("in")
    except TimeoutError:
        print("dropped")
' "$1" "$2"; }
reach 127.0.1.1 21
run_action() { eval "$(printf '%s' "$1" | sed "s#<set>#banned4#g; s#<ip>#$2#g; s#<bantime>#60#g")"; }
run_action "$CHECK" -
run_action "$BAN" 127.0.1.1
run_action "$BAN" 127.0.7.0/24
reach 127.0.1.1 21
reach 127.0.1.1 3050
reach 127.0.7.9 990
reach 127.0.1.2 21
reach 127.0.1.1 22
run_action "$UNBAN" 127.0.1.1
reach 127.0.1.1 21
run_action "$BAN" 127.0.2.1
run_action "$BAN" 127.0.2.0/24
run_action "$BAN" 127.0.2.0/23
reach 127.0.2.9 21
reach 127.0.3.9 3050
run_action "$UNBAN" 127.0.2.0/23
run_action "$UNBAN" 127.0.2.0/24
reach 127.0.2.9 21
reach 127.0.2.1 21
"""
# A network around an address that is banned already, and a wider one around both: each holds for as long as its ban.
AROUND = ["dropped", "dropped", "in", "dropped"]


def test_the_rules_drop_what_the_action_names() -> None:
    """In a real kernel: control and passive ports of banned addresses and networks are closed, others are open."""
    nft, ip = require_tool("nft"), require_tool("ip")
    allowed = subprocess.run([*NAMESPACE, nft, "list", "ruleset"], capture_output=True, text=True)
    if allowed.returncode:
        missing(f"this user may not have a network namespace with nftables ({allowed.stderr.strip()})")
    assert ip
    action = ConfigParser(interpolation=None)
    action.read(FOLDER / "action.d" / "ftpsd-nftables.conf")
    words = action["Definition"]
    environ = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "RULES": str(RULES),
        "PYTHON": "/usr/bin/python3",
        "CHECK": words["actioncheck"],
        "BAN": words["actionban"],
        "UNBAN": words["actionunban"],
    }
    done = subprocess.run([*NAMESPACE, "bash", "-c", TRY], capture_output=True, text=True, env=environ)
    assert done.stdout.split() == ["in", "dropped", "dropped", "dropped", "in", "in", "in", *AROUND], (
        done.stdout + done.stderr
    )


def test_the_rules_are_understood() -> None:
    """By this machine's nft, which changes nothing."""
    nft = require_tool("nft")
    checked = subprocess.run([nft, "-c", "-f", RULES], capture_output=True, text=True)
    if "Operation not permitted" in checked.stderr:
        missing("nft may not look at the rules of this machine")
    assert (checked.returncode, checked.stderr) == (0, "")
