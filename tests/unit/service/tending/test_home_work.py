"""Work on homes by the clock: a file system that hangs holds up its own homes and no others."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from twisted.logger import capturedLogs, formatEvent

from ftpsd.service.tending import home_work
from ftpsd.service.tending.home_work import HomeWork
from ftpsd.storage.file_systems import NOTHING, by_waiting
from tests.workers import InlineWorkers, QueueingWorkers

TABLE = """\
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 27 0:40 / /srv/nfs rw,relatime shared:5 - nfs4 server:/export rw
32 27 0:41 / /srv/far rw - fuse.sshfs far:/ rw
"""
NFS, FAR = frozenset({"/srv/nfs"}), frozenset({"/srv/far"})
HOMES = [Path(home) for home in ("/srv/nfs/b", "/srv/here/b", "/srv/far/a", "/srv/nfs/a", "/srv/here/a")]


class Lanes:
    """A lane that does its work when the test says so, for each thing that is waited for."""

    def __init__(self) -> None:
        self.all = {NFS: QueueingWorkers(), FAR: QueueingWorkers()}

    def of(self, waits_for: frozenset[str]) -> QueueingWorkers:
        """Return that for *waits_for*."""
        return self.all[waits_for]


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of mounts with two file systems that wait."""
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    monkeypatch.setattr(home_work, "by_waiting", partial(by_waiting, mounts=table))


class Told:
    """The work that is done, and its results as they are told."""

    def __init__(self, lanes: Lanes) -> None:
        self.upkeep = InlineWorkers()
        self.results: list[tuple[frozenset[str], list[str] | None]] = []
        self._work = HomeWork(self.upkeep, lanes)

    def again(self, what: str = "the look", broken: str = "") -> list[tuple[frozenset[str], list[str] | None]]:
        """Do the work once more, which fails for a home called *broken*; return what is told at once."""

        def look(homes: list[Path]) -> list[str]:
            names = [str(home) for home in homes]
            if broken in names:
                raise RuntimeError("broken")
            return names

        self.results.clear()
        over = self._work.on(what, HOMES, look, lambda waits, result: self.results.append((waits, result)))
        assert over.called, "the work on disks of this machine has an end whatever hangs"
        return self.results


@pytest.mark.usefixtures("mounted")
def test_what_hangs_is_passed_by_until_it_answers() -> None:
    """Others have their work every time; it is told once, and its own goes on where it had been."""
    lanes = Lanes()
    told = Told(lanes)
    here = (NOTHING, ["/srv/here/b", "/srv/here/a"])
    with capturedLogs() as lines:
        assert told.again() == [here]
        lanes.all[FAR].release()
        assert told.results == [here, (FAR, ["/srv/far/a"])]
        for _ in range(3):
            assert told.again() == [here, (NFS, None)]
            lanes.all[FAR].release()
        assert told.again("another look") == [here], "each work is by itself"
        assert lanes.all[NFS].waiting == 2, "and each waits there once"
        assert [formatEvent(line) for line in lines] == [
            "homes on /srv/nfs are passed by, which does not answer: the look"
        ]
        lanes.all[NFS].release()
        assert (NFS, ["/srv/nfs/b", "/srv/nfs/a"]) in told.results
    assert formatEvent(lines[-1]) == "homes on /srv/nfs: it answers again: the look"
    assert told.again() == [here]


@pytest.mark.usefixtures("mounted")
def test_what_fails_is_told_and_done_again() -> None:
    """In a lane as here, and where the workers have no place."""
    lanes = Lanes()
    told = Told(lanes)
    for broken in ("/srv/here/a", "/srv/nfs/a"):
        with capturedLogs() as lines:
            told.again(broken=broken)
            for lane in lanes.all.values():
                lane.release()
        assert [formatEvent(line) for line in lines] == ["work on homes failed: the look"], broken
    told.upkeep.is_full = True
    with capturedLogs() as lines:
        assert told.again() == []
    assert [formatEvent(line) for line in lines] == ["work on homes failed: the look"]
    told.upkeep.is_full = False
    told.again()
    for lane in lanes.all.values():
        lane.release()
    assert {waits for waits, _ in told.results} == {NOTHING, NFS, FAR}
