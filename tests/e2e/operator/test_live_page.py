"""The status page in a real browser: sessions, progress, charts; by keyboard, and with names that clients made up."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.chromium import Browser, browser
from tests.e2e.client import EXPLICIT, ControlConnection, Sessions, control
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon

HOSTILE = "<img src=x onerror=alert(1)>.csv"


def begin_upload(daemon: Daemon, name: str) -> tuple[ControlConnection, socket.socket]:
    """Log in and begin an upload, of which 1,000 bytes have come."""
    connection = control(daemon, EXPLICIT)
    connection.log_in(daemon.account())
    assert connection.ask("PROT C").startswith("200")
    data = socket.create_connection(connection.passive(), 30)
    connection.send(f"STOR {name}")
    assert connection.reply().startswith("150")
    data.sendall(b"x" * 1000)
    return connection, data


@pytest.mark.parametrize("processes", [1, 2])
def test_a_person_watches(start_daemon: StartDaemon, tmp_path: Path, processes: int) -> None:
    """Events are on the page within seconds, and no policy of the page's own server is broken."""
    daemon = start_daemon({"processes": processes, "tls": {"require": "control"}, "metrics": {"sessions": True}})
    connection, data = begin_upload(daemon, HOSTILE)
    sessions = Sessions(daemon, EXPLICIT)
    other = daemon.account()
    sessions.log_in(other)
    with browser(tmp_path / "profile") as page:
        page.open(f"http://127.0.0.1:{daemon.ports.metrics}/")
        page.until("document.querySelectorAll('#rows tr').length === 2")
        assert page.run("document.querySelector('#state').textContent") == "ready"
        assert HOSTILE in page.run("document.querySelector('#rows tr td[data-name=doing]').textContent")
        assert page.run("document.images.length") == 0
        page.until("document.querySelectorAll('figure canvas').length === 2")
        by_keyboard(page, other.name)
        data.sendall(b"x" * 2000)
        page.until("document.querySelector('#rows').textContent.includes('2.9 KiB')")
        data.close()
        assert connection.reply().startswith("226")
        page.until("!document.querySelector('#rows').textContent.includes('KiB')")
        sessions.close()
        connection.close()
        page.until("document.querySelectorAll('#rows tr').length === 0")
        assert page.complaints == []


def by_keyboard(page: Browser, name: str) -> None:
    """Filter and sort without a mouse."""
    page.run("document.querySelector('#filter').focus()")
    page.call("Input.insertText", text=name)
    page.until("document.querySelectorAll('#rows tr').length === 1")
    assert page.run("document.querySelector('#shown').textContent") == "1 session"
    page.press("Tab", 9)
    assert page.run("document.activeElement.textContent") == "user"
    page.press("Enter", 13, "\r")
    assert page.run("document.activeElement.closest('th').getAttribute('aria-sort')") == "ascending"
    page.run("document.querySelector('#filter').value = ''")


def test_no_sessions_are_shown_unless_that_is_wanted(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """The page has the charts all the same, and says where sessions are."""
    daemon = start_daemon()
    account = daemon.account()
    sessions = Sessions(daemon, EXPLICIT)
    sessions.log_in(account)
    with browser(tmp_path / "profile") as page:
        page.open(f"http://127.0.0.1:{daemon.ports.metrics}/")
        page.until("document.querySelector('[data-key=sessions]').textContent === '1'")
        page.until("!document.querySelector('#withheld').hidden")
        assert page.run("document.querySelector('#sessions').hidden")
        assert account.name not in page.run("document.documentElement.outerHTML")
        assert page.complaints == []
    sessions.close()


def test_the_license_comes_along(start_daemon: StartDaemon) -> None:
    """That of the charts."""
    assert "MIT" in start_daemon().get("/uplot.LICENSE")[1]
