"""Renewal: when files are read again, and what is not taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from ftpsd.demo.authority import create
from ftpsd.service.changing.renewal import Renewal
from ftpsd.service.changing.turnstile import Turnstile
from ftpsd.service.load import Loaded, load
from tests.unit.service.site import Site
from tests.workers import QueueingWorkers


class Watched:
    """A site whose certificates are watched, and what was taken."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.loaded = load(site.path)
        self.workers = QueueingWorkers()
        self.taken: list[Loaded] = []
        self.reload: Deferred[None] = Deferred()
        self.reloads = Turnstile(lambda: self.reload)
        self.renewal = Renewal(self, self.reloads, self.workers)
        self.look(2)

    def use(self, loaded: Loaded) -> None:
        """Take *loaded* (Renewable)."""
        self.taken.append(loaded)
        self.loaded = loaded

    def end_reload(self) -> None:
        """Let the reload that is under way end; it has changed nothing."""
        ended, self.reload = self.reload, Deferred()
        ended.callback(None)

    def look(self, times: int = 1) -> None:
        """Let it look so many times."""
        for _ in range(times):
            self.renewal.look()
            self.workers.release()

    def renew(self, folder: Path) -> str:
        """Put another pair in place; return its fingerprint."""
        other = create(folder)
        for old, new in (("server.pem", other.certificate), ("server-key.pem", other.private_key)):
            new.replace(self.site.folder / "tls" / old)
        pair = load(self.site.path).certificate
        assert pair is not None
        return pair.fingerprint


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """The site, looked at twice."""
    return Watched(Site(tmp_path))


def test_what_has_not_changed_is_not_taken(watched: Watched) -> None:
    """However often it is looked at, and also when the files are other ones with the same content."""
    watched.look(3)
    for file in (watched.site.folder / "tls").iterdir():
        copy = file.with_suffix(".copy")
        copy.write_bytes(file.read_bytes())
        copy.replace(file)
    watched.look(3)
    assert watched.taken == []


def test_what_has_changed_is_taken_when_it_has_settled(watched: Watched, tmp_path: Path) -> None:
    """At the second look, once; all but the certificates stays what it was."""
    before = watched.loaded
    fingerprint = watched.renew(tmp_path / "new")
    watched.look()
    assert watched.taken == []
    watched.look(3)
    (taken,) = watched.taken
    assert taken.certificate is not None
    assert taken.certificate.fingerprint == fingerprint
    assert replace(taken, certificates=before.certificates) == before


def test_while_a_reload_is_under_way_nothing_is_done(watched: Watched, tmp_path: Path) -> None:
    """Neither looked at nor taken; afterwards it is."""
    watched.renew(tmp_path / "new")
    watched.look()
    watched.reloads.enter()
    watched.renewal.look()
    assert watched.workers.waiting == 0
    watched.end_reload()
    watched.renewal.look()
    watched.reloads.enter()  # a reload begins while the files are read
    watched.workers.release()
    assert watched.taken == []
    watched.end_reload()
    watched.look(2)
    assert len(watched.taken) == 1


def test_a_full_pool_is_no_failure(watched: Watched, tmp_path: Path) -> None:
    """The next look finds what this one has not seen."""
    watched.renew(tmp_path / "new")
    watched.workers.is_full = True
    watched.look(3)
    watched.workers.is_full = False
    watched.look(2)
    assert len(watched.taken) == 1


def test_a_server_without_certificates(tmp_path: Path) -> None:
    """There is nothing to look for."""
    site = Site(tmp_path)
    site.replace("  - {mode: implicit, address: 127.0.0.1, port: 2990}\n", "")
    site.replace("tls:\n", "tls:\n  require: none\n")
    for file in (tmp_path / "tls").iterdir():
        file.unlink()
    watched = Watched(site)
    watched.look(3)
    assert watched.taken == []
