"""Rescans with an engine whose signatures and words are those of a test."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from ftpsd.config.accept.accept_rules import AcceptRule, Scanning
from ftpsd.scanning.accept_gate import AcceptGate, GateParts
from ftpsd.scanning.engines.engine_probe import verdict_on_nothing
from ftpsd.scanning.gates import Gates, View
from ftpsd.scanning.quarantine import Origin, Quarantine
from ftpsd.scanning.rescanning import EngineDown, GuardedTree, Rescan
from ftpsd.scanning.waiting.hidden_place import HiddenPlace
from ftpsd.storage.disk.content import PLAIN
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.quota.ledger import NO_LEDGER, Ledger
from ftpsd.storage.uploads.note import ATTRIBUTE
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import ROOT
from tests.contracts.storages import put
from tests.contracts.test_engines import ClamdLike, take


@dataclass
class Site:
    """A tree behind an engine with *signatures*, which says *words* of files that hold any of the keys."""

    folder: Path
    signatures: bytes = b"one"
    words: dict[bytes, bytes] = field(default_factory=dict)
    shown: list[bytes] = field(default_factory=list)
    room: int = 1 << 20
    accept: Literal["judged", "hidden"] = "judged"

    def __post_init__(self) -> None:
        self.root = self.folder / "root"
        self.root.mkdir()
        self.engine = ClamdLike(self.folder, self._serve)
        rules = [AcceptRule(paths=("/in/**",), scan=(self.engine.address,), accept=self.accept)]
        self.quarantine = Quarantine(self.folder / "held", self.room)
        self.hidden = HiddenPlace(self.quarantine.directory, self.room)
        parts = GateParts(Scanning(timeout=5), self.quarantine, self.hidden, lambda *_: None)
        self._gates = Gates(rules, parts)
        self.gate = self.gate_of("alice")
        self.storage = self.of("alice")
        (self.root / "in").mkdir()

    def gate_of(self, owner: str) -> AcceptGate:
        """Return the gate in front of *owner*."""
        return self._gates.of(Origin(owner, "", str(self.root)), View(self.root, ROOT, "utf-8"), ())

    def of(self, owner: str, ledger: Ledger = NO_LEDGER) -> LocalJail:
        """Return the tree as *owner* has it."""
        policy = UploadPolicy(durable=False, gate=self.gate_of(owner))
        return LocalJail.open(self.root, uploads=policy, owner=owner, ledger=ledger)

    def _serve(self, connection: socket.socket) -> None:
        whole = take(connection)
        if whole:
            self.shown.append(whole)
        said = next((words for mark, words in self.words.items() if mark in whole), b"OK")
        connection.sendall(b"1: " + self.signatures + b"\0" + (b"2: stream: " + said + b"\0" if said else b""))

    def rescan(self, *, is_dry: bool = False, is_all: bool = False) -> Rescan:
        """Return a run."""
        signatures = {self.engine.address: verdict_on_nothing(self.engine.address, 5).signatures}
        self.shown.clear()
        tree = GuardedTree(self.root, (self.gate,), PLAIN, NO_LEDGER)
        return Rescan([tree], signatures, is_dry=is_dry, is_all=is_all)

    def counts(self, rescan: Rescan | None = None) -> tuple[int, int, int, int, int]:
        """Do a run, and return how many files it was about, were current, clean, found, and unjudged."""
        rescan = rescan or self.rescan()
        for _ in rescan.run():
            pass
        done = rescan.progress
        assert done.failed == 0 or not self.room
        assert done.total == done.files
        return done.files, done.current, done.clean, done.found, done.unjudged


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A tree with three judged files, and one elsewhere."""
    site = Site(tmp_path)
    for name in ("/in/a", "/in/b", "/in/c", "/out"):
        put(site.storage, name, b"data of " + name.encode())
    yield site
    site.engine.close()


def test_what_older_signatures_have_judged_is_read_once(site: Site) -> None:
    """Nothing at first; all of it once the signatures are others; what was not judged, or was changed, too."""
    assert site.counts() == (3, 3, 0, 0, 0)
    assert site.shown == []
    site.signatures = b"two"
    assert site.counts() == (3, 0, 3, 0, 0)
    assert sorted(site.shown) == [b"data of /in/a", b"data of /in/b", b"data of /in/c"]
    assert site.counts() == (3, 3, 0, 0, 0)
    os.removexattr(site.root / "in" / "a", ATTRIBUTE)
    (site.root / "in" / "b").write_bytes(b"by another program")
    (site.root / "in" / "new").write_bytes(b"put there")
    assert site.counts() == (4, 1, 3, 0, 0)
    assert site.counts(site.rescan(is_all=True)) == (4, 0, 4, 0, 0)


def test_names_that_no_client_has(site: Site) -> None:
    """A file with one is looked at and quarantined, and keeps no other from that; one that lies too deep is told."""
    site.signatures = b"two"
    odd = site.root / "in" / "a\nb\x1b[31m\x9b"
    odd.write_bytes(b"bad")
    assert site.counts() == (4, 0, 4, 0, 0)
    site.words = {b"bad": b"Bad FOUND"}
    rescan = site.rescan(is_all=True)
    assert site.counts(rescan) == (4, 0, 3, 1, 0)
    assert [find.path for find in rescan.progress.finds] == ["/in/a?b?[31m?"]
    assert not odd.exists()
    deep = site.root / "in"
    fd = os.open(deep, os.O_RDONLY)
    for _ in range(17):
        os.mkdir("d" * 250, dir_fd=fd)
        fd, above = os.open("d" * 250, os.O_RDONLY, dir_fd=fd), fd
        os.close(above)
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    rescan = site.rescan(is_all=True)
    for _ in rescan.run():
        pass
    assert (rescan.progress.clean, rescan.progress.failed, rescan.progress.is_complete) == (3, 1, False)
    assert rescan.progress.troubles[0].endswith("Path is too long.")


def test_an_interrupted_run_is_gone_on_with(site: Site) -> None:
    """The next one reads what the first has not."""
    site.signatures = b"two"
    rescan = site.rescan()
    steps = rescan.run()
    while rescan.progress.clean < 2:
        next(steps)
    steps.close()
    assert site.counts() == (3, 2, 1, 0, 0)


def test_what_is_found_is_quarantined_once(site: Site) -> None:
    """With all that is known of it; a dry run only tells."""
    site.signatures, site.words = b"two", {b"/in/b": b"Bad FOUND"}
    dry = site.rescan(is_dry=True)
    assert site.counts(dry) == (3, 0, 2, 1, 0)
    assert [find.path for find in dry.progress.finds] == ["/in/b"]
    assert (site.root / "in" / "b").exists()
    assert site.counts() == (3, 0, 2, 1, 0)
    (record,) = site.quarantine.records()
    assert (record.owner, record.path, record.inner, record.found) == ("alice", "/in/b", "/in/b", "Bad")
    assert (record.signatures, record.bytes, record.verdict) == ("two", 13, "infected")
    assert sorted(os.listdir(site.root / "in")) == ["a", "c"]
    assert site.counts() == (2, 2, 0, 0, 0)


def test_no_verdict_leaves_a_file_where_it_is(site: Site) -> None:
    """Also several of them; an engine that is down ends the run."""
    site.signatures = b"two"
    site.words = {b"/in/a": b"Heuristics.Encrypted.Zip FOUND", b"/in/b": b""}
    assert site.counts() == (3, 0, 1, 0, 2)
    assert sorted(os.listdir(site.root / "in")) == ["a", "b", "c"]
    site.signatures, site.words = b"three", {b"/in": b""}
    with pytest.raises(EngineDown, match="ended the conversation"):
        site.counts()
    assert sorted(os.listdir(site.root / "in")) == ["a", "b", "c"]


def test_a_file_that_changes_meanwhile_is_left_alone(site: Site) -> None:
    """A new version has passed the gate itself."""
    site.signatures, site.words = b"two", {b"data of /in": b"Bad FOUND"}
    rescan, target = site.rescan(), site.root / "in" / "a"
    serve = site.engine._serve

    def replacing(connection: socket.socket) -> None:
        site.engine._serve = serve
        for name in ("a", "b", "c"):
            (site.root / "in" / name).write_bytes(b"a new version")
        serve(connection)

    site.engine._serve = replacing
    for _ in rescan.run():
        pass
    assert (rescan.progress.found, rescan.progress.changed) == (0, 1)
    assert target.read_bytes() == b"a new version"
    assert site.quarantine.records() == []


def test_a_full_quarantine(tmp_path: Path) -> None:
    """A find that does not fit stays where it is, and is told: nothing is deleted."""
    site = Site(tmp_path, room=0)
    try:
        put(site.storage, "/in/a", b"bad")
        site.signatures, site.words = b"two", {b"bad": b"Bad FOUND"}
        rescan = site.rescan()
        assert site.counts(rescan) == (1, 0, 0, 1, 0)
        assert (rescan.progress.failed, rescan.progress.is_complete) == (1, False)
        assert "the quarantine is full" in rescan.progress.troubles[0]
        assert (site.root / "in" / "a").read_bytes() == b"bad"
    finally:
        site.engine.close()
