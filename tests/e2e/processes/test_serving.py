"""Two processes serve as one: clients of every kind, one audit log, one set of metrics."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.client import EXPLICIT, SECURE_WAYS, content, download, log_in, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.e2e.polling import eventually
from tests.e2e.processes.conftest import TWO
from tests.e2e.processes.pair import one_in_each, server_of
from tests.tools import require_tool

CLIENTS, FILES = 16, 4


def test_sessions_are_spread_evenly(own: Daemon) -> None:
    """
    Eight clients one after the other: neither process gets nearly all of them.

    Four each is what happens on an idle machine; on a busy one a process may be woken too late for its turn.
    """
    account = own.account()
    sessions = [log_in(own, EXPLICIT, account) for _ in range(8)]
    assert set(Counter(server_of(own, ftp) for ftp in sessions).values()) <= {2, 3, 4, 5, 6}
    for ftp in sessions:
        ftp.close()


def _work(daemon: Daemon, number: int, account: Account) -> tuple[int, bool]:
    """Move files up and down; return which process did it, and whether all were whole."""
    ftp = log_in(daemon, SECURE_WAYS[number % len(SECURE_WAYS)], account)
    server, is_whole = server_of(daemon, ftp), True
    for file in range(FILES):
        data = content(number * 20_000 + file * 100_000 + 1)
        upload(ftp, f"file{file}", data)
        is_whole = is_whole and (account.home / f"file{file}").read_bytes() == data == download(ftp, f"file{file}")
    ftp.quit()
    return server, is_whole


def test_many_clients_at_once(two: Daemon) -> None:
    """Every file whole, in both processes, and every line of the audit log too, each event once."""
    accounts = [two.account() for _ in range(CLIENTS)]
    names = {account.name for account in accounts}
    with ThreadPoolExecutor(CLIENTS) as pool:
        results = list(pool.map(lambda number: _work(two, number, accounts[number]), range(CLIENTS)))
    assert {server for server, _ in results} == {0, 1}
    assert all(is_whole for _, is_whole in results)

    def events() -> list[dict[str, object]]:
        lines = [json.loads(line) for line in two.audit_text().splitlines()]
        mine = [event for event in lines if event.get("user") in names]
        return mine if sum(event["event"] == "session-closed" for event in mine) == CLIENTS else []

    mine = eventually(events, "all sessions have ended in the log")
    assert sum(event["event"] == "file-stored" for event in mine) == CLIENTS * FILES
    assert len({event["session"] for event in mine}) == CLIENTS


def test_lines_on_standard_output_are_whole(start_daemon: StartDaemon) -> None:
    """The audit log of both processes through one pipe or file."""
    own = start_daemon({**TWO, "audit": {"log": "stdout"}}, users=CLIENTS)
    accounts = [own.account() for _ in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda number: _work(own, number, accounts[number]), range(CLIENTS)))
    own.stop()
    events = [json.loads(line) for line in (own.folder / "stdout").read_text().splitlines()]
    counts = Counter(event["event"] for event in events)
    assert (counts["started"], counts["session-closed"], counts["stopped"]) == (1, CLIENTS, 1)
    assert counts["file-stored"] == CLIENTS * FILES


def test_curl_and_lftp(two: Daemon, tmp_path: Path) -> None:
    """Four of each at once: curl up and down, lftp mirrors a tree over four connections and back."""
    curl, lftp = require_tool("curl"), require_tool("lftp")
    url = f"ftp://localhost:{two.ports.explicit}/"
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}

    def with_curl(number: int) -> bool:
        account, source = two.account(), tmp_path / f"curl{number}"
        source.write_bytes(content(500_000 + number))
        common = [curl, "-sS", "--max-time", "60", "--ssl-reqd", "--cacert", str(two.tls.authority)]
        common += ["-u", f"{account.name}:{account.password}"]
        subprocess.run([*common, "-T", str(source), url + "file"], check=True, timeout=90)
        done = subprocess.run([*common, url + "file"], check=True, timeout=90, capture_output=True)
        return done.stdout == source.read_bytes()

    def with_lftp(number: int) -> bool:
        account, tree = two.account(), tmp_path / f"lftp{number}"
        tree.mkdir()
        for file in range(20):
            (tree / f"{file}").write_bytes(content(1000 * file))
        script = f"set cmd:fail-exit yes; set ssl:ca-file {two.tls.authority}; set ftp:ssl-force yes; "
        script += (
            f"open -u {account.name},{account.password} {url}; mirror -R -P 4 {tree} up; mirror -P 4 up {tree}.back"
        )
        subprocess.run([lftp, "--norc", "-c", script], check=True, timeout=120, env=environ, cwd=tmp_path)
        back = tree.with_name(tree.name + ".back")
        return {file.name: file.read_bytes() for file in back.iterdir()} == {
            file.name: file.read_bytes() for file in tree.iterdir()
        }

    with ThreadPoolExecutor(8) as pool:
        results = [*pool.map(with_curl, range(4)), *pool.map(with_lftp, range(4))]
    assert results == [True] * 8


def test_metrics_are_those_of_both(own: Daemon) -> None:
    """Sessions, bytes and logins add up; promtool has nothing to say."""
    account = own.account()
    first, second = one_in_each(own, account)
    for ftp, size in ((first, 1000), (second, 500)):
        upload(ftp, f"file{size}", content(size))
    values = own.metrics()
    assert values['ftpsd_sessions{state="idle"}'] >= 2
    assert values['ftpsd_transfer_bytes_total{direction="upload"}'] == 1500
    assert values["ftpsd_processes"] == 2
    assert values["ftpsd_config_last_reload_successful"] == 1
    text = own.get("/metrics")[1]
    checked = subprocess.run([require_tool("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    first.close()
    second.close()
