"""`twistd -n ftpsd`: the same daemon, started by Twisted's own program."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT, IMPLICIT, content, download, log_in, upload
from tests.e2e.daemon import Daemon
from tests.e2e.forked import Command, nursery
from tests.e2e.polling import eventually
from tests.tools import require_tool


@pytest.fixture
def own(tmp_path: Path, tls_files: Demonstration) -> Iterator[Daemon]:
    """A daemon that twistd is to start."""
    command = [require_tool("twistd"), "--nodaemon", "--pidfile=", "ftpsd", "--config"]
    daemon = Daemon(tmp_path / "own", tls_files, users=4, command=command)
    yield daemon
    daemon.kill()


class ForkedTwistd(Daemon):
    """A daemon that twistd starts, forked from code that is loaded."""

    def spawn(self, *, pass_fds: Sequence[int] = (), before: Sequence[str] = ()) -> None:
        """See `Daemon`."""
        assert not pass_fds
        assert not before
        words = ["twistd", "--nodaemon", "--pidfile=", "ftpsd", "--config", str(self.config_file)]
        forked = nursery().fork(words, self.folder, here=self.folder, environ=self.environ)
        self.process = cast("subprocess.Popen[bytes]", forked)


@pytest.fixture
def forked(tmp_path: Path, tls_files: Demonstration) -> Iterator[Daemon]:
    """Such a daemon."""
    daemon = ForkedTwistd(tmp_path / "own", tls_files, users=4)
    yield daemon
    daemon.kill()


def test_it_serves_and_reloads(own: Daemon) -> None:
    """Explicit and implicit TLS; SIGHUP as without twistd; SIGTERM stops it with exit 0."""
    own.start()
    for way in (EXPLICIT, IMPLICIT):
        ftp = log_in(own, way, own.account())
        upload(ftp, "file", content(100_000))
        assert download(ftp, "file") == content(100_000)
        ftp.quit()
    own.reload()
    log_in(own, EXPLICIT, own.account()).quit()
    own.stop()
    own.wait_for_event("stopped")


def test_it_takes_orders(forked: Daemon) -> None:
    """By its control socket: who is there, a reload, and the end as if by SIGTERM."""
    forked.start()
    ftp = log_in(forked, EXPLICIT, forked.account())
    assert '"user": "u000"' in forked.order("who", "--json").stdout
    assert forked.order("reload").returncode == 0
    assert forked.order("drain").stdout.endswith("the server has ended\n")
    assert forked.ended() == 0
    forked.wait_for_event("ordered", order="drain")
    ftp.close()
    assert "Traceback" not in forked.stderr


def test_a_mistake_ends_it(forked: Daemon) -> None:
    """Exit code 2 and the place of the mistake on standard error."""
    forked.config_file.write_text("bannr: x\n")
    forked.spawn()
    assert forked.ended() == 2
    assert f"{forked.config_file}:1:" in forked.stderr


def test_the_background_has_no_standard_output(own: Daemon) -> None:
    """An audit log that would be thrown away there ends it before it goes: exit code 2, and what to write."""
    own.config_file.write_text(own.config_file.read_text().replace("audit.jsonl", "stdout"))
    pidfile = own.folder / "twistd.pid"
    done = Command("twistd", f"--pidfile={pidfile}", "ftpsd", "--config", own.config_file).wait()
    assert done.returncode == 2
    assert "audit.log: in the background standard output is /dev/null" in done.stderr
    assert not pidfile.exists()


def test_the_background_writes_a_file(own: Daemon) -> None:
    """As configured; SIGTERM ends it there too."""
    pidfile = own.folder / "twistd.pid"
    command = [require_tool("twistd"), f"--pidfile={pidfile}", "ftpsd", "--config", str(own.config_file)]
    done = subprocess.run(command, cwd=own.folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    eventually(lambda: own.is_ready and len(own.audit('"started"')) == 1, "it serves, and says so")
    os.kill(int(pidfile.read_text()), signal.SIGTERM)
    eventually(lambda: len(own.audit('"stopped"')) == 1 and not pidfile.exists(), "it has stopped")


def test_it_asks_for_a_configuration() -> None:
    """Without --config there is a sentence, and no traceback."""
    done = Command("twistd", "-n", "ftpsd").wait()
    assert done.returncode != 0
    assert "--config" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
