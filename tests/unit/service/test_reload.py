"""Reload: a whole new Runtime or nothing, and a word about what needs a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher

from ftpsd.audit.events import Event, Reloaded, ReloadFailed
from ftpsd.config.model import Config
from ftpsd.service.changing.reload import changed_beyond_reload
from ftpsd.service.daemon import Daemon
from tests.sessions import configuration
from tests.unit.service.site import USERS, Site, serving


class Reloading:
    """A daemon at work, its reloads, and what it logs."""

    def __init__(self, site: Site, daemon: Daemon, reactor: Any, events: list[Event], logged: list[LogEvent]) -> None:
        self.site = site
        self.daemon = daemon
        self.events = events
        self._reactor = reactor
        self._logged = logged

    def reload(self) -> None:
        """Reload, and wait for its end."""
        over: list[object] = []
        self.daemon.reloader.reload().addBoth(over.append)
        self._reactor.run_until(lambda: bool(over))

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Let the reactor turn."""
        self._reactor.run_until(condition)

    def published(self, kind: type[Event]) -> int:
        """Return how many events of one kind there were."""
        return sum(isinstance(event, kind) for event in self.events)

    def logged(self, level: Any) -> list[str]:
        """Return what was logged at *level*."""
        return [formatEvent(event) for event in self._logged if event["log_level"] == level]


@pytest.fixture
def reloading(tmp_path: Path) -> Iterator[Reloading]:
    """A daemon that serves."""
    site, logged = Site(tmp_path), list[LogEvent]()
    observer = cast(ILogObserver, logged.append)
    with serving(site) as (daemon, reactor, events):
        globalLogPublisher.addObserver(observer)
        yield Reloading(site, daemon, reactor, events, logged)
        globalLogPublisher.removeObserver(observer)


def test_a_good_reload_swaps_the_runtime(reloading: Reloading) -> None:
    """New sessions get the new users."""
    before = reloading.daemon.serving.runtime
    home = reloading.site.folder / "home"
    reloading.site.write_users(USERS.format(home=home) + f"  bob:\n    home: {home}\n")
    reloading.reload()
    assert reloading.daemon.serving.runtime is not before
    assert {user.name for user in reloading.daemon.serving.runtime.hosts.known()} == {"alice", "bob"}
    assert [user.name for user in before.hosts.known()] == ["alice"]


def test_a_good_reload_is_published(reloading: Reloading) -> None:
    """A metric says when."""
    reloading.reload()
    assert (reloading.published(Reloaded), reloading.published(ReloadFailed)) == (1, 0)


def test_what_outlives_a_reload(reloading: Reloading) -> None:
    """Pools, ports, counts and the bus are the same objects."""
    before = reloading.daemon.serving.runtime
    reloading.reload()
    after = reloading.daemon.serving.runtime
    assert after.shared is before.shared
    assert after.data.ports is before.data.ports
    assert after.data.workers is before.data.workers


@pytest.mark.parametrize("more", ["listeners: 7", "limits: {idle_timeuot: 5s}", "tls: [", "banner: [a]"])
def test_a_bad_reload_changes_nothing(reloading: Reloading, more: str) -> None:
    """The old configuration stays, whole."""
    before = reloading.daemon.serving.runtime
    reloading.site.write(more)
    reloading.reload()
    assert reloading.daemon.serving.runtime is before


def test_a_bad_reload_says_why(reloading: Reloading) -> None:
    """With file, line and the key that was probably meant, in the log and in an event."""
    reloading.site.write("limits: {idle_timeuot: 5s}")
    reloading.reload()
    (said,) = reloading.logged(LogLevel.error)
    assert "the old configuration stays" in said
    assert "did you mean idle_timeout?" in said
    (event,) = (event for event in reloading.events if isinstance(event, ReloadFailed))
    assert str(reloading.site.path) in event.reason


def test_a_bad_reload_repeats_no_hash(reloading: Reloading) -> None:
    """Neither in the log nor in the event, which stands in the audit log."""
    home = reloading.site.folder / "home"
    stored = "$argon2id$v=19$m=65536,t=3,p=4$c29tZVNhbHRPZk91cnM$RElHRVNUb2Zzb21lYm9keQ"
    reloading.site.write_users(f"users: {{alice: {{password: {stored}, home: {home}}}}}")
    reloading.reload()
    (event,) = (event for event in reloading.events if isinstance(event, ReloadFailed))
    (said,) = reloading.logged(LogLevel.error)
    for told in (event.reason, said):
        assert "users.yaml:1:50: users.alice.(not shown)" in told
        assert not any(piece in told for piece in ("p=4", "c29tZVNh", "RElHRVNU"))


def test_a_certificate_that_does_not_match(reloading: Reloading) -> None:
    """The pair that serves is kept."""
    before = reloading.daemon.serving.runtime.certificate
    (reloading.site.folder / "tls" / "server-key.pem").write_bytes(
        (reloading.site.folder / "tls" / "ca-key.pem").read_bytes()
    )
    reloading.reload()
    assert reloading.daemon.serving.runtime.certificate is before
    assert reloading.published(ReloadFailed) == 1


def test_after_a_bad_reload_a_good_one_works(reloading: Reloading) -> None:
    """Nothing is stuck."""
    reloading.site.write("nonsense: 1")
    reloading.reload()
    reloading.site.write("banner: Better.")
    reloading.reload()
    assert reloading.daemon.serving.runtime.config.banner == "Better."


def test_reloads_do_not_overlap(reloading: Reloading) -> None:
    """Asked for twice meanwhile, it is done once more behind the first."""
    for _ in range(3):
        reloading.daemon.reloader.reload()
    reloading.run_until(lambda: reloading.published(Reloaded) == 2)
    reloading.reload()
    assert reloading.published(Reloaded) == 3


def test_what_needs_a_restart_is_said(reloading: Reloading) -> None:
    """The rest of the reload takes place."""
    reloading.site.write("banner: Better.\nworkers: {files: 9}")
    reloading.reload()
    assert reloading.logged(LogLevel.warn) == ["reload: workers has changed; that takes effect with a restart"]
    assert reloading.daemon.serving.runtime.config.banner == "Better."


def test_a_reload_without_dns_keeps_the_last_address(reloading: Reloading) -> None:
    """A name that was resolved before the reload is announced right behind it, before DNS has answered again."""
    reloading.site.write("passive: {public_address: localhost}")
    reloading.reload()
    reloading.run_until(lambda: reloading.daemon.serving.runtime.public_address("198.51.100.7", "x") == "127.0.0.1")
    announced: list[str] = []
    reloading.daemon.parts.bus.subscribe(
        lambda event, seconds: announced.append(reloading.daemon.serving.runtime.public_address("198.51.100.7", "x"))
    )
    reloading.reload()
    assert announced[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("changed", "keys"),
    [
        ({}, []),
        ({"banner": "x", "limits": {"connections": 5}, "uploads": {"durable": False}}, []),
        ({"listeners": [{"mode": "explicit", "port": 2121}]}, ["listeners"]),
        ({"metrics": {"port": 9999}}, ["metrics"]),
        ({"metrics": {"names": ["ftps.example"]}}, []),
        ({"audit": {"log": "/var/log/other"}}, ["audit"]),
        ({"log": {"level": "debug"}, "workers": {"files": 9}}, ["workers"]),
        ({"passive": {"ports": "4000-4010"}}, ["passive.ports"]),
        ({"passive": {"public_address": "192.0.2.1"}}, []),
        ({"passive": {"proxy_protocol": {"trusted": ["192.0.2.1"]}}}, ["passive.proxy_protocol"]),
    ],
)
def test_what_only_a_restart_changes(changed: dict[str, object], keys: list[str]) -> None:
    """Listeners, metrics, audit, pools and the passive range."""
    old: Config = configuration()
    assert changed_beyond_reload(old, configuration(**changed)) == keys
