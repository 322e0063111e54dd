"""A file system that hangs: a real one of a program (bindfs), which is stopped while clients are at it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import EXPLICIT, Sessions, code, content, control, download, listing, next_code, reply, upload
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually
from tests.e2e.storage.conftest import StartWith
from tests.tools import missing, require_tool

LARGE, SMALL = content(200_000), content(1000)


class Bound:
    """The directory *shown*, which a program fills with what is in *real*."""

    def __init__(self, real: Path, shown: Path) -> None:
        if os.geteuid() != 0:
            missing("only root may mount")
        self._shown = shown
        self._program = subprocess.Popen([require_tool("bindfs"), "-f", str(real), str(shown)], stderr=subprocess.PIPE)
        while not os.path.ismount(shown):
            if self._program.poll() is not None:
                assert self._program.stderr is not None
                missing(f"nothing can be mounted here: {self._program.stderr.read().decode().strip()}")

    def hang(self) -> None:
        """Answer nothing more."""
        self._program.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Answer all that was asked."""
        self._program.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Be there no more."""
        self.go_on()
        subprocess.run(["umount", "--lazy", str(self._shown)], check=True)
        self._program.kill()
        self._program.communicate()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[Bound, Path]]:
    """A file system that can hang, and its directory."""
    real, shown = tmp_path / "real", tmp_path / "shown"
    real.mkdir()
    shown.mkdir()
    bound = Bound(real, shown)
    try:
        yield bound, shown
    finally:
        bound.end()


@pytest.mark.parametrize("processes", [1, 2])
def test_it_holds_up_nobody_elsewhere(start_with: StartWith, slow: tuple[Bound, Path], processes: int) -> None:
    """Sessions on disks log in, upload the same names and list; those that wait for it go on when it does."""
    bound, directory = slow
    (directory / "mounted").mkdir()
    mounts = [{"path": "/slow", "directory": str(directory / "mounted")}]
    changes = {"workers": {"files": 2, "transfer": 2}, "processes": processes}
    daemon = start_with({"home": str(directory)}, {"mounts": mounts}, {}, changes=changes)
    hanging, mixed, fine = (daemon.account() for _ in range(3))
    sessions = Sessions(daemon, EXPLICIT)
    try:
        stuck = [sessions.log_in(hanging) for _ in range(6)]
        both = sessions.log_in(mixed)
        for ftp in stuck:
            ftp.sendcmd("TYPE I")
        assert upload(stuck[0], "file", LARGE).startswith("226")
        bound.hang()
        for number, ftp in enumerate(stuck):
            ftp.putcmd("DELE file" if number == 0 else f"MLST unseen-{number}")
        newcomer = control(daemon, EXPLICIT)
        newcomer.send(f"USER {hanging.name}", f"PASS {hanging.password}")
        for _ in range(3):
            friend = sessions.log_in(fine)
            friend.sendcmd("TYPE I")
            for name, data in (("file", LARGE), ("small", SMALL)):
                assert upload(friend, name, data).startswith("226")
                assert download(friend, name) == data
            assert sorted(listing(friend, "NLST")) == ["file", "small"]
            assert reply(friend, "DELE file") == "250 File deleted."
        # In one session, too: what the user has on a disk is there.
        assert (code(both, "MKD near"), code(both, "MLST near")) == (257, 250)
        both.putcmd("MLST slow/unseen")
        bound.go_on()
        assert [next_code(ftp) for ftp in (*stuck, both)] == [250, *[550] * 6]
        assert newcomer.reply().startswith("331")
        assert newcomer.reply().startswith("230")
        newcomer.close()
    finally:
        bound.go_on()
        sessions.close()


# Has no verdict on what one user stores, until there is a file.
LOOK = """#!/bin/sh
cat > /dev/null
[ "$FTPSD_USER" != u000 ] || [ -e "$1" ] || exit 2
"""


def test_hidden_uploads_elsewhere_get_their_verdicts(start_with: StartWith, slow: tuple[Bound, Path]) -> None:
    """One that waits for what hangs is settled when that goes on; those on disks do not wait for it."""
    bound, directory = slow
    look, allowed = directory.parent / "look", directory.parent / "allowed"
    look.write_text(LOOK)
    look.chmod(0o755)
    rule = {"paths": ["/**"], "program": [str(look), str(allowed)], "accept": "hidden"}
    changes = {"accept": [rule], "quarantine": {"directory": str(directory.parent / "held")}}
    daemon = start_with({"home": str(directory)}, {}, changes=changes)
    hanging, fine = daemon.account(), daemon.account()
    sessions = Sessions(daemon, EXPLICIT)
    try:
        stuck, friend = sessions.log_in(hanging), sessions.log_in(fine)
        assert upload(stuck, "waits", SMALL).startswith("226")
        eventually(lambda: look_has_ended(daemon), "a look at it, without a verdict")
        bound.hang()
        allowed.touch()
        eventually(lambda: is_held_up(daemon), "another look, which waits for the file system", seconds=60)
        assert upload(friend, "near", SMALL).startswith("226")
        daemon.wait_for_event("upload-published", path="/near")
    finally:
        bound.go_on()
        sessions.close()
    daemon.wait_for_event("upload-published", path="/waits")


def look_has_ended(daemon: Daemon) -> bool:
    """Return whether an engine has been asked, which has had no verdict."""
    found = daemon.metrics()
    return any(name.startswith("ftpsd_scan_verdicts_total") and number > 0 for name, number in found.items())


def is_held_up(daemon: Daemon) -> bool:
    """Return whether a thread of *daemon* waits for the answer of a file system's program."""
    assert daemon.process is not None
    threads = Path(f"/proc/{daemon.process.pid}/task").iterdir()
    return any("request_wait_answer" in (thread / "wchan").read_text() for thread in threads)
