"""`ftpsd demo --tour`: every stop shows what it says, and nothing is left behind, however it ends."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ftpsd.demo.demonstration import Demo
from ftpsd.demo.tour.errands import Errand, curl_line, do
from ftpsd.demo.tour.guide import STOPS
from tests.e2e.client import IPV4
from tests.e2e.daemon import PASSWORD, Daemon
from tests.e2e.forked import Command
from tests.e2e.polling import eventually
from tests.e2e.ports import claim_block
from tests.tools import ROOT, require_tool

SECONDS = 240.0


def used_by_processes(folder: Path) -> list[str]:
    """Return which files in *folder* some process still has open, also those that are removed."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            opened = [os.readlink(link) for link in (process / "fd").iterdir()]
        except OSError:
            continue  # it has ended meanwhile
        found += [f"{process.name}: {name}" for name in opened if name.startswith(str(folder))]
    return found


class Ground:
    """Ports, and a directory for temporary files of the tour's own."""

    def __init__(self) -> None:
        self.ports = claim_block()
        # Not in that of the test, which is too deep for the path of a socket.
        self.folder = Path(tempfile.mkdtemp(prefix="ftpsd-"))
        self.environ = {**os.environ, "TMPDIR": str(self.folder), "PYTHONPATH": str(ROOT), "TERM": "xterm"}

    @property
    def words(self) -> list[str]:
        """The words behind `ftpsd`."""
        ports = f"{self.ports.passive[0]}-{self.ports.passive[-1]}"
        options = ["--port", "0", "--implicit-port", "0", "--metrics-port", "0", "--passive-ports", ports]
        return ["demo", "--tour", *options]

    def see_nothing_left(self) -> None:
        """Its directory is gone, and so are its processes."""
        assert os.listdir(self.folder) == []
        assert used_by_processes(self.folder) == []


@pytest.fixture
def ground() -> Iterator[Ground]:
    """A ground, without what a tour has left there."""
    made = Ground()
    try:
        yield made
    finally:
        made.ports.release()
        shutil.rmtree(made.folder, ignore_errors=True)


def test_the_whole_tour(ground: Ground) -> None:
    """Without a terminal it waits for nobody; whatever a stop says was seen. Only what is missing here is left out."""
    done = Command(*ground.words, environ=ground.environ).wait(SECONDS)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    titles = [line.split("  ", 1)[1].rstrip("= ") for line in done.stdout.splitlines() if line.startswith("== ")]
    assert titles[1:] == [stop.title for stop in STOPS]
    left_out = done.stdout.count("Left out:")
    assert left_out == len([stop for stop in STOPS if stop.missing])
    # Each stop that was not left out has claimed something, and seen it.
    parts = done.stdout.split("\n== ")[2:]
    assert [part.partition("=")[0] for part in parts if "\n  ok  " not in part and "Left out:" not in part] == []
    assert "NOT OK" not in done.stdout
    assert done.stdout.count("\n  audit   {") >= len(STOPS) - left_out - 4
    ground.see_nothing_left()


class Terminal:
    """The tour on a terminal of its own, whose keys are pressed here."""

    def __init__(self, ground: Ground) -> None:
        self.shown = ""
        self._keys, terminal = pty.openpty()
        # -c makes it the controlling terminal, from which Ctrl-C comes; it is ignored as in a script's background.
        ignoring = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]
        command = [require_tool("setsid"), "-c", "-w", *ignoring, sys.executable, "-m", "ftpsd", *ground.words]
        self.process = subprocess.Popen(
            command, env=ground.environ, cwd=ROOT, stdin=terminal, stdout=terminal, stderr=terminal
        )
        os.close(terminal)

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self._keys, key)

    def wait_for(self, text: str) -> None:
        """Read until *text* is shown behind what was waited for before."""
        until = time.monotonic() + SECONDS
        while text not in self.shown:
            assert time.monotonic() < until, self.shown
            if select.select([self._keys], [], [], 1.0)[0]:
                self.shown += os.read(self._keys, 65536).decode(errors="replace")
        self.shown = self.shown.partition(text)[2]

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        while True:
            try:
                # EIO: nobody has the terminal any more.
                if not os.read(self._keys, 65536):
                    break
            except OSError:
                break
        os.close(self._keys)
        return self.process.wait(SECONDS)


@contextmanager
def terminal(ground: Ground) -> Iterator[Terminal]:
    """A terminal with a tour on it."""
    shown = Terminal(ground)
    try:
        yield shown
    finally:
        shown.process.kill()
        shown.process.wait()


def test_ctrl_c_at_a_terminal(ground: Ground) -> None:
    """Enter goes on, and the tour waits then; Ctrl-C in a stop ends it, with all that it has started."""
    with terminal(ground) as shown:
        shown.wait_for("[Enter: go on   q: the end]")
        shown.press(b"\n")
        shown.wait_for(STOPS[0].title)
        shown.wait_for("[Enter: go on   q: the end]")
        shown.press(b"\n")
        shown.wait_for(STOPS[1].title)
        shown.press(b"\x03")
        shown.wait_for("The tour is over.")
        assert shown.end() == 0
    ground.see_nothing_left()


def test_a_tour_that_is_killed_leaves_no_process(ground: Ground) -> None:
    """What it has started ends with it; its directory stays, for there is nobody to remove it."""
    with terminal(ground) as shown:
        shown.wait_for("[Enter: go on   q: the end]")
        assert used_by_processes(ground.folder) != []
        shown.process.kill()
        eventually(lambda: used_by_processes(ground.folder) == [], "the end of all processes of the tour")


def test_without_curl_the_same_is_done(tls_daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's ftplib gets the replies that curl gets, and moves the same bytes."""
    require_tool("curl")
    account, tls = tls_daemon.account(), tls_daemon.tls
    ports = tls_daemon.ports
    demo = Demo(
        tmp_path, (IPV4,), ports.explicit, ports.implicit, ports.metrics, account.name, PASSWORD, tls.authority, ""
    )
    parcel = tmp_path / "parcel"
    parcel.write_text("a parcel\n")

    def errand(**more: Any) -> Errand:
        return Errand(user=account.name, password=PASSWORD, **more)

    def errands() -> Iterator[tuple[Errand, str, str]]:
        yield errand(upload=parcel, path="/parcel"), "226", ""
        yield errand(path="/parcel"), "226", "a parcel\n"
        yield errand(is_implicit=True, path="/parcel", fetch_to=tmp_path / "back"), "226", ""
        (account.home / "begun").write_text("a par")
        yield errand(upload=parcel, path="/begun", resumes=True), "226", ""
        yield errand(path="/begun"), "226", "a parcel\n"
        yield errand(command="DELE /absent"), "550", ""
        yield errand(path="/absent"), "550", ""
        yield errand(upload=parcel, path="/absent/parcel"), "550", ""

    for path in (os.environ["PATH"], ""):
        monkeypatch.setenv("PATH", path)
        for each, code, text in errands():
            done = do(demo, each)
            assert (done.code, done.text) == (code, text), (path, curl_line(demo, each), done)
        assert (tmp_path / "back").read_text() == "a parcel\n"
        assert do(demo, errand()).text.count("parcel") == 1
        (tmp_path / "back").unlink()
