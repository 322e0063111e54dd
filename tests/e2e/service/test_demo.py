"""`ftpsd demo` as somebody meets it who tries it: lines for people on the terminal, JSON in a file."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.forked import ftpsd
from tests.e2e.polling import eventually
from tests.e2e.ports import claim_block
from tests.tools import ROOT, require_tool


class Demonstration:
    """A demonstration that runs in *folder*; what it says is read from files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.ports = claim_block()
        options = ("--directory", self.state, "--password", "secret", "--port", "0", "--implicit-port", "0")
        passive = f"{self.ports.passive[0]}-{self.ports.passive[-1]}"
        more = ("--passive-ports", passive, "--metrics-port", "0")
        with open(folder / "out", "wb") as out, open(folder / "err", "wb") as err:
            command = [sys.executable, "-m", "ftpsd", "demo", *map(str, options), *more]
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err)

    @property
    def shown(self) -> str:
        """All that the terminal has shown."""
        return (self.folder / "out").read_text()

    @property
    def lines(self) -> list[str]:
        """The lines told since the start."""
        return self.shown.partition("What happens now")[2].splitlines()[1:]

    def curl(self, *arguments: str, user: str = "demo:secret", code: int = 0) -> None:
        """Run curl against the explicit listener."""
        found = re.search(r"explicit TLS  (ftp://\S+)", self.shown)
        assert found is not None
        *options, path = arguments
        ca = str(self.state / "tls/ca.pem")
        command = [require_tool("curl"), "-sS", "--ssl-reqd", "--cacert", ca, "--user", user, *options, found[1] + path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stderr


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """A demonstration for all of these, which ends well at Ctrl-C."""
    running = Demonstration(tmp_path_factory.mktemp("demo"))
    try:
        eventually(lambda: "ftpsd serves" in (running.folder / "err").read_text(), "it serves", 60)
        yield running
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(60) == 0
    finally:
        running.process.kill()
        running.process.wait(30)
        running.ports.release()


def test_the_terminal_is_for_people(demonstration: Demonstration) -> None:
    """A line for each login, upload, download and refusal, and no JSON, which is in DIR/audit.log."""
    demonstration.curl("/welcome.txt")
    demonstration.curl("--upload-file", str(ROOT / "LICENSE"), "/from-curl.txt")
    demonstration.curl("/absent.txt", code=78)
    demonstration.curl("--quote", "DELE absent.txt", "/", code=21)
    demonstration.curl("/welcome.txt", user="demo:wrong", code=67)
    size = f"{(ROOT / 'LICENSE').stat().st_size:,}"
    wanted = [
        r"\d\d:\d\d:\d\d  demo        login     from \S+ at explicit:\d+: done",
        r".*  demo        download  /welcome\.txt: done, \d+ bytes in .*",
        rf".*  demo        upload    /from-curl\.txt: done, {size} bytes in .*",
        r".*  demo        DELE      absent\.txt: refused, 550 ENOENT",
        r".*  -           login     from \S+ as demo: refused, wrong password",
    ]

    def told() -> bool:
        return all(any(re.fullmatch(line, each) for each in demonstration.lines) for line in wanted)

    eventually(told, "all of it is told", 30)
    assert "{" not in demonstration.shown

    def logged() -> set[str]:
        lines = (demonstration.state / "audit.log").read_text().split("\n")[:-1]
        return {json.loads(line)["event"] for line in lines}

    wanted_events = {"started", "logged-in", "file-stored", "file-sent", "login-refused"}
    eventually(lambda: wanted_events <= logged(), "all of it is in the log", 30)


def test_the_configuration_passes_the_check(demonstration: Demonstration) -> None:
    """It is an ordinary one, with nothing to warn of."""
    done = ftpsd("check", "--config", demonstration.state / "ftpsd.yaml")
    assert (done.returncode, done.stderr) == (0, "")


def test_it_takes_orders(demonstration: Demonstration) -> None:
    """Through a socket in its directory, which its configuration names."""
    told = ftpsd("status", "--config", demonstration.state / "ftpsd.yaml")
    assert (told.returncode, told.stderr) == (0, "")
    assert "configuration" in told.stdout
