"""`twistd -n ftpsd`: the same daemon, started by Twisted's own program."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT, IMPLICIT, content, download, log_in, upload
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually
from tests.tools import require_tool


@pytest.fixture
def own(tmp_path: Path, tls_files: Demonstration) -> Iterator[Daemon]:
    """A daemon that twistd is to start."""
    command = [require_tool("twistd"), "--nodaemon", "--pidfile=", "ftpsd", "--config"]
    daemon = Daemon(tmp_path / "own", tls_files, users=4, command=command)
    yield daemon
    daemon.kill()


def in_background(own: Daemon, pidfile: Path) -> subprocess.CompletedProcess[str]:
    """Start it as twistd does without -n; return how the program ended."""
    command = [require_tool("twistd"), f"--pidfile={pidfile}", "ftpsd", "--config", str(own.config_file)]
    return subprocess.run(command, cwd=own.folder, capture_output=True, text=True, timeout=60)


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


def test_it_takes_orders(own: Daemon) -> None:
    """By its control socket: who is there, a reload, and the end as if by SIGTERM."""
    own.start()
    ftp = log_in(own, EXPLICIT, own.account())
    assert '"user": "u000"' in own.order("who", "--json").stdout
    assert own.order("reload").returncode == 0
    assert own.order("drain").stdout.endswith("the server has ended\n")
    assert own.ended() == 0
    own.wait_for_event("ordered", order="drain")
    ftp.close()
    assert "Traceback" not in own.stderr


def test_a_mistake_ends_it(own: Daemon) -> None:
    """Exit code 2 and the place of the mistake on standard error."""
    own.config_file.write_text("bannr: x\n")
    own.spawn()
    assert own.ended() == 2
    assert f"{own.config_file}:1:" in own.stderr


def test_the_background_has_no_standard_output(own: Daemon) -> None:
    """An audit log that would be thrown away there ends it before it goes: exit code 2, and what to write."""
    own.config_file.write_text(own.config_file.read_text().replace("audit.jsonl", "stdout"))
    pidfile = own.folder / "twistd.pid"
    done = in_background(own, pidfile)
    assert done.returncode == 2
    assert "audit.log: in the background standard output is /dev/null" in done.stderr
    assert not pidfile.exists()


def test_the_background_writes_a_file(own: Daemon) -> None:
    """As configured; SIGTERM ends it there too."""
    pidfile = own.folder / "twistd.pid"
    done = in_background(own, pidfile)
    assert done.returncode == 0, done.stderr
    eventually(lambda: own.is_ready and len(own.audit('"started"')) == 1, "it serves, and says so")
    os.kill(int(pidfile.read_text()), signal.SIGTERM)
    eventually(lambda: len(own.audit('"stopped"')) == 1 and not pidfile.exists(), "it has stopped")


def test_it_asks_for_a_configuration() -> None:
    """Without --config there is a sentence, and no traceback."""
    done = subprocess.run([require_tool("twistd"), "-n", "ftpsd"], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "--config" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
