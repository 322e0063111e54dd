"""
SIGKILL before every system call of an upload that is hidden until its verdict, and of what becomes of it then.

Nothing that has something in it ever has its name, and nothing is lost of which a client has read 226.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ftpsd.config.accept.accept_rules import AcceptRule, Scanning
from ftpsd.config.accept.engines import EngineAddress
from ftpsd.scanning.accept_gate import AcceptGate, GateParts
from ftpsd.scanning.gates import Gates, View
from ftpsd.scanning.quarantine import Origin, Quarantine
from ftpsd.scanning.release import Noting
from ftpsd.scanning.waiting.hidden_place import HiddenPlace
from ftpsd.scanning.waiting.settling import Settling, Site
from ftpsd.storage.base import Terms
from ftpsd.storage.disk.content import PLAIN
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import ROOT, VirtualPath
from tests.e2e.client import EXPLICIT, log_in, upload
from tests.e2e.content.clamav import EICAR, ClamAV
from tests.e2e.daemon import Account
from tests.e2e.polling import eventually
from tests.reliability.conftest import StartMortal
from tests.reliability.deaths import DEAD
from tests.reliability.faults import CHANGING, Faults
from tests.reliability.mortal import written_plan
from tests.reliability.test_kill_points import MOST, published

CLEAN = b"clean " * 5000
FOUND = CLEAN + EICAR


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClamAV]:
    """A clamd that outlives the daemons."""
    clamd = ClamAV(tmp_path_factory.mktemp("clamav"))
    try:
        clamd.start()
        yield clamd
    finally:
        clamd.stop()


def test_a_daemon_that_dies_while_it_hides(start_mortal: StartMortal, clamd: ClamAV, tmp_path: Path) -> None:
    """Each upload is clean or not in turn; behind all deaths each 226 has been kept."""
    held = tmp_path / "quarantine"
    rule = {"paths": ["/**"], "scan": [clamd.url], "accept": "hidden"}
    daemon = start_mortal({"accept": [rule], "quarantine": {"directory": str(held)}})
    account: Account = daemon.account()
    taken: list[str] = []
    for at in range(1, MOST):
        name, data = (f"clean-{at}", CLEAN) if at % 2 else (f"found-{at}", FOUND)
        ftp = log_in(daemon, EXPLICIT, account)
        daemon.plan("kill", at)
        with suppress(*DEAD):
            assert upload(ftp, name, data).startswith("226")
            taken.append(name)
        # First, or a line of the audit log behind the reply may be the call that kills.
        daemon.forget_plan()
        is_over = daemon.exit_code is None and not daemon.faults
        assert not [each for each in published(account.home) if each.startswith("found")], daemon.faults
        if is_over:
            break
        daemon.wait_until_dead()
        daemon.restart()
        with suppress(OSError):
            ftp.close()
    else:
        raise AssertionError("it never got through")
    eventually(lambda: not list(held.glob("hidden/**/*.held")), "all are settled")
    there, refused = published(account.home), [file.read_bytes() for file in held.glob("*.held")]
    assert set(there.values()) == {CLEAN}
    assert {name for name in taken if name.startswith("clean")} <= there.keys()
    assert set(refused) == {FOUND}
    # One that died behind the last step had no 226, and is there all the same.
    assert len(refused) >= len([name for name in taken if name.startswith("found")])


class Tree:
    """A tree in *folder* whose gate hides all uploads until *clamd* has judged them."""

    def __init__(self, folder: Path, clamd: ClamAV) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        self.quarantine = Quarantine(folder / "held", 1 << 30)
        rule = AcceptRule(paths=("/**",), scan=(EngineAddress("clamd", str(clamd.socket)),), accept="hidden")
        self.hidden = HiddenPlace(self.quarantine.directory, 1 << 30)
        parts = GateParts(Scanning(timeout=30), self.quarantine, self.hidden, lambda *_: None)
        view = View(self.root, ROOT, "utf-8")
        self.gate: AcceptGate = Gates([rule], parts).of(Origin("alice", "", str(self.root)), view, ())

    def upload(self, data: bytes) -> None:
        """Have *data* taken as "file"."""
        jail = LocalJail.open(self.root, uploads=UploadPolicy(durable=True, gate=self.gate), owner="alice")
        sink = jail.open_sink(VirtualPath.parse("/file"), Terms(may_hide=True))
        try:
            sink.write(memoryview(data))
            sink.commit()
        finally:
            sink.abort()

    def settle(self) -> None:
        """Settle what waits."""

        def opened(judgements: object) -> LocalJail:
            return LocalJail.open(self.root, uploads=UploadPolicy(durable=True, gate=Noting(())), owner="\nsettling")

        for record in self.hidden.records():
            for _ in Settling(record, Site(self.gate, PLAIN, opened), self.hidden, self.quarantine, 1000.0).run():
                pass

    def files(self) -> tuple[dict[str, bytes], list[bytes], list[bytes]]:
        """Return what is published, hidden, and in the quarantine, each with its record."""
        hidden = [_read(self.hidden.leaf_of(each.incident), each.incident) for each in self.hidden.records()]
        refused = [_read(self.quarantine, each.incident) for each in self.quarantine.records()]
        return published(self.root), hidden, refused


def _read(place: Quarantine, incident: str) -> bytes:
    with open(place.open(incident), "rb") as file:
        return file.read()


@pytest.mark.parametrize("data", [CLEAN, FOUND], ids=["clean", "found"])
def test_death_while_one_is_settled(clamd: ClamAV, tmp_path: Path, data: bytes) -> None:
    """It is always hidden, published or in the quarantine, with its record; the next start ends what was begun."""
    for at in range(1, MOST):
        folder = tmp_path / str(at)
        folder.mkdir()
        tree = Tree(folder, clamd)
        tree.upload(data)
        killed = not _does(tree.settle, folder, at)
        names, hidden, refused = tree.files()
        where = f"call {at}: {names.keys()}, {len(hidden)} hidden, {len(refused)} refused"
        assert names in ({}, {"file": data}), where
        assert {data} == {*names.values(), *hidden, *refused}, where
        assert not names or data is CLEAN, where
        assert not refused or data is FOUND, where
        tree.settle()
        if data is CLEAN:
            assert tree.files() == ({"file": data}, [], []), where
        else:
            assert tree.files() == ({}, [], [data]), where
        if not killed:
            assert at > 20, "its system calls were seen"
            break
    else:
        raise AssertionError("it never got through")


def _does(act: Callable[[], None], folder: Path, at: int) -> bool:
    """Have a process do *act*, and die before the system call *at*; return whether it came to its end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            written_plan(folder, {"calls": CHANGING, "at": at, "do": "kill"})
            threading.current_thread().name = "ftpsd-files"
            Faults(folder).install()
            act()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    assert not os.WIFSIGNALED(status) or os.WTERMSIG(status) == signal.SIGKILL
    return not os.WIFSIGNALED(status)
