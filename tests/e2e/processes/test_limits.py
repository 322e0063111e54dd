"""Limits count the sessions of both processes, exactly, also when all of them come at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.client import EXPLICIT, IPV4, ControlConnection, control
from tests.e2e.conftest import StartDaemon
from tests.e2e.polling import eventually

CLIENTS = 30


@pytest.mark.parametrize(("limit", "value", "welcome"), [("connections", 14, 11), ("connections_per_address", 11, 11)])
def test_connections(start_daemon: StartDaemon, limit: str, value: int, welcome: int) -> None:
    """
    Of thirty at once exactly eleven are welcome; when they have gone, eleven again.

    Of fourteen connections a quarter, rounded down, is for sessions that are logged in, and none of these is.
    """
    daemon = start_daemon({"processes": 2, "limits": {limit: value}})

    def connect(_: int) -> tuple[ControlConnection, str]:
        connection = ControlConnection(IPV4, daemon.ports.explicit)
        return connection, connection.reply()[:3]

    def all_at_once() -> list[str]:
        with ThreadPoolExecutor(CLIENTS) as pool:
            results = list(pool.map(connect, range(CLIENTS)))
        codes = sorted(code for _, code in results)
        for connection, _ in results:
            connection.close()
        return codes

    expected = ["220"] * welcome + ["421"] * (CLIENTS - welcome)
    assert all_at_once() == expected

    def nobody_is_left() -> bool:
        values = daemon.metrics()
        return not any(values[f'ftpsd_sessions{{state="{state}"}}'] for state in ("login", "idle", "transfer"))

    eventually(nobody_is_left, "all have gone")
    assert all_at_once() == expected


def test_sessions_of_a_user(start_daemon: StartDaemon) -> None:
    """Of thirty logins at once exactly seven succeed, and another user is not concerned."""
    daemon = start_daemon({"processes": 2, "limits": {"sessions_per_user": 7, "connections_per_address": 100}})
    account, other = daemon.account(), daemon.account()

    def log_in(_: int) -> tuple[ControlConnection, str]:
        connection = control(daemon, EXPLICIT)
        connection.ask(f"USER {account.name}")
        return connection, connection.ask(f"PASS {account.password}")[:3]

    with ThreadPoolExecutor(CLIENTS) as pool:
        results = list(pool.map(log_in, range(CLIENTS)))
    assert sorted(code for _, code in results) == ["230"] * 7 + ["421"] * 23
    control(daemon, EXPLICIT).log_in(other)
    for connection, _ in results:
        connection.close()
