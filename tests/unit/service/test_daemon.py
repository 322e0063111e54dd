"""The daemon: it opens everything or nothing, says what it serves, and lets what runs end."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ftpsd.audit.audit_log import AuditLog
from ftpsd.audit.events import Started, Stopped
from ftpsd.commands import TABLE
from ftpsd.control.factory import ControlFactory
from ftpsd.control.state.session import Session
from ftpsd.control.table import CommandTable, Family, Needs
from ftpsd.service.daemon import Daemon
from ftpsd.service.listeners import ListenProblem
from ftpsd.service.load import load
from ftpsd.service.outside.log_set import LogSet
from ftpsd.service.outside.outputs import open_logs
from ftpsd.service.upkeep import HOURS_INTERVAL, LAG_INTERVAL
from ftpsd.wire.reply import Reply
from tests.connection import Connection
from tests.sessions import HOST, PEER
from tests.unit.service.site import PortReactor, Site, serving


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A good configuration."""
    return Site(tmp_path)


def connected(daemon: Daemon, reactor: Any, table: CommandTable = TABLE) -> Connection:
    """Open a control connection to *daemon*."""
    factory = ControlFactory(
        "explicit:2121", lambda: daemon.serving.runtime, table, daemon.parts.sessions, starts_with_tls=False
    )
    pi = factory.buildProtocol(None)
    return Connection(reactor, pi, PEER, HOST)


def at_work(daemon: Daemon, reactor: Any) -> tuple[Connection, Deferred[Reply]]:
    """Open a control connection that has sent a command, and return what is to answer it."""
    answer: Deferred[Reply] = Deferred()
    family = Family("Work")

    @family.command("WORK", needs=Needs.NOTHING, rfc="")
    async def work(session: Session, argument: str) -> Reply:
        return await answer

    client = connected(daemon, reactor, CommandTable([family]))
    client.deliver(b"WORK\r\n")
    return client, answer


class Watched:
    """A connection, and its session that notes when it is looked at by the clock."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.looks: list[float] = []
        self.session = self

    @property
    def standing(self) -> None:
        """No user."""
        self.looks.append(self._reactor.seconds())


def test_sessions_look_at_the_clock(site: Site) -> None:
    """Twice a minute the daemon lets every session see whether its user's time is over."""
    with serving(site) as (daemon, reactor, _):
        began, watched = reactor.seconds(), Watched(reactor)
        sessions: set[Any] = daemon.parts.sessions
        sessions.add(watched)
        for _ in range(3):
            reactor.advance(HOURS_INTERVAL)
        sessions.discard(watched)
        assert watched.looks == [began + HOURS_INTERVAL * turn for turn in (1, 2, 3)]


def opening(site: Site, refuse: Callable[[int, str], int | None]) -> tuple[PortReactor, str]:
    """Return the reactor of a daemon that cannot open, and why it cannot."""
    reactor = PortReactor(refuse)
    daemon = Daemon(load(site.path), site.path, reactor)
    with pytest.raises(ListenProblem) as problem:
        daemon.open()
    return reactor, str(problem.value)


def test_every_port_is_opened(site: Site) -> None:
    """Control listeners and metrics."""
    with serving(site) as (_, reactor, _):
        assert reactor.listening == {2121, 2990, 9121}


def test_a_start_is_published(site: Site) -> None:
    """Once."""
    with serving(site) as (_, _, events):
        assert [type(event) for event in events] == [Started]


def test_the_daemon_says_what_it_serves(site: Site) -> None:
    """For the log and systemctl status."""
    with serving(site) as (daemon, _, _):
        assert daemon.ports.describe() == "explicit on port 2121, implicit on port 2990"


@pytest.mark.parametrize("port", [2121, 2990, 9121])
def test_a_port_that_is_taken(site: Site, port: int) -> None:
    """A sentence, and what was opened before is closed again; the port of the metrics is no exception."""
    reactor, said = opening(site, lambda number, interface: errno.EADDRINUSE if number == port else None)
    assert str(port) in said
    assert reactor.listening == set()


def test_an_audit_log_that_cannot_be_opened(site: Site) -> None:
    """The daemon does not serve what it cannot account for."""
    daemon = Daemon(load(site.path), site.path, reactor := PortReactor())
    (site.folder / "audit.log").mkdir()
    with pytest.raises(ListenProblem, match=r"audit\.log"):
        daemon.open()
    assert reactor.listening == set()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EROFS, "/var/log/ftpsd, or add ReadWritePaths="), (errno.EACCES, "let the daemon's user write there")],
)
def test_an_audit_log_that_may_not_be_written(site: Site, number: int, remedy: str) -> None:
    """The line says what to do: the unit, or another owner, is why."""

    class Refused(AuditLog):
        def start(self) -> None:
            raise OSError(number, os.strerror(number))

    config = load(site.path).config
    logs = LogSet(config, lambda _: None, None, None)
    logs.audit = Refused(Path("/var/log/audit.jsonl"))
    with pytest.raises(ListenProblem, match=re.escape(remedy)):
        open_logs(logs, config)


def test_a_session_is_greeted(site: Site) -> None:
    """The factory gives it the Runtime of the moment."""
    with serving(site) as (daemon, reactor, _):
        client = connected(daemon, reactor)
        assert client.take() == b"220 FTPS server ready.\r\n"
        assert len(daemon.parts.sessions) == 1
        daemon.cut()
        client.serve()
        assert not daemon.parts.sessions


def test_stopping_closes_the_ports_first(site: Site) -> None:
    """Nobody new is let in while the last sessions end; metrics and health are answered until they have."""
    with serving(site) as (daemon, reactor, _):
        connected(daemon, reactor)
        daemon.stopService()
        assert reactor.listening == {9121}


def test_stopping_tells_idle_sessions(site: Site) -> None:
    """421, and the daemon has stopped when the last is gone."""
    with serving(site) as (daemon, reactor, events):
        client = connected(daemon, reactor)
        over: list[object] = []
        daemon.stopService().addBoth(over.append)
        assert client.take().endswith(b"421 The server is shutting down.\r\n")
        reactor.advance(1)
        assert not over
        client.hang_up()
        while not over:
            reactor.advance(0.1)
        assert over == [None]
        assert type(events[-1]) is Stopped


def test_stopping_has_its_time(site: Site) -> None:
    """A session whose command takes longer than drain_timeout is told, and cut off."""
    with serving(site) as (daemon, reactor, _):
        client, answer = at_work(daemon, reactor)
        over: list[object] = []
        daemon.stopService().addBoth(over.append)
        for _ in range(95):
            reactor.advance(0.1)
        assert not client.is_closed
        for _ in range(10):
            reactor.advance(0.1)
        assert client.take().endswith(b"421 The server is shutting down.\r\n")
        client.hang_up()
        assert over == []
        answer.callback(Reply(200, "Done."))
        reactor.advance(0.1)
        assert over == [None]


def test_a_session_that_cannot_end_does_not_keep_the_daemon(site: Site) -> None:
    """A session that was cut off has some seconds to say how it ended; a disk may hang for ever."""
    with serving(site) as (daemon, reactor, _):
        client, _ = at_work(daemon, reactor)
        over: list[object] = []
        daemon.stopService().addBoth(over.append)
        for _ in range(130):
            reactor.advance(0.1)
        assert client.is_cut
        assert over == []
        for _ in range(25):
            reactor.advance(0.1)
        assert over == [None]


def test_a_daemon_that_never_served_stops_at_once(site: Site) -> None:
    """twistd stops what it could not start."""
    daemon = Daemon(load(site.path), site.path, PortReactor())
    over: list[object] = []
    daemon.stopService().addBoth(over.append)
    assert over == [None]


def test_the_status_page_has_its_facts(site: Site) -> None:
    """Counts, and no user, path or secret."""
    with serving(site) as (daemon, reactor, _):
        client = connected(daemon, reactor)
        status = daemon.upkeep.status()
        assert (status["sessions"], status["logged in"], status["transfers"]) == (1, 0, 0)
        assert str(status["listeners"]).startswith("explicit on port 2121")
        client.hang_up()


def test_upkeep_runs_by_the_clock(site: Site) -> None:
    """It ends with the daemon: no timer is left."""
    with serving(site) as (_, reactor, _):
        reactor.advance(LAG_INTERVAL)
        assert reactor.getDelayedCalls()
    assert reactor.getDelayedCalls() == []
