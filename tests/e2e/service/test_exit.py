"""How the daemon ends: well at a signal, and with exit code 2 and a sentence where it cannot serve."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT, control
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import SERVE, Daemon

MakeDaemon = Callable[..., Daemon]


@pytest.fixture
def make_daemon(tmp_path: Path, tls_files: Demonstration) -> Iterator[MakeDaemon]:
    """Makes a daemon that is not started yet; by *command*, or forked."""
    made: list[Daemon] = []

    def make(changes: dict[str, Any], command: Sequence[str] | None = None) -> Daemon:
        made.append(Daemon(tmp_path / "daemon", tls_files, changes, users=1, command=command))
        return made[-1]

    yield make
    for daemon in made:
        daemon.kill()


def refusal(daemon: Daemon) -> list[str]:
    """Start *daemon*, which must refuse to serve, and return what it said, line by line."""
    daemon.spawn()
    assert daemon.ended() == 2, daemon.stderr
    assert "Traceback" not in daemon.stderr, daemon.stderr
    return daemon.stderr.splitlines()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(start_daemon: StartDaemon, number: signal.Signals) -> None:
    """SIGTERM from systemd, SIGINT from Ctrl-C: exit code 0."""
    daemon = start_daemon(command=SERVE)
    daemon.signal(number)
    assert daemon.ended() == 0
    assert [event["event"] for event in daemon.audit()] == ["started", "stopped"]


def test_it_ends_while_somebody_is_logged_in(start_daemon: StartDaemon) -> None:
    """An idle session is no reason to stay."""
    daemon = start_daemon()
    connection = control(daemon, EXPLICIT)
    connection.log_in(daemon.account())
    daemon.signal(signal.SIGTERM)
    assert connection.reply().startswith("421")
    connection.close()
    assert daemon.ended() == 0


def test_its_ports_are_free_afterwards(start_daemon: StartDaemon) -> None:
    """A second daemon starts on the very same ports at once, though connections of the first linger in TIME_WAIT."""
    daemon = start_daemon()
    control(daemon, EXPLICIT).close()
    daemon.stop()
    daemon.start()
    control(daemon, EXPLICIT).close()


def test_every_mistake_is_told_with_its_place(make_daemon: MakeDaemon) -> None:
    """Exit code 2, and a line with file, line, column and key for each of three mistakes."""
    changes = {"limits": {"login_timeout": "soon"}, "bannr": "x", "uploads": {"umask": "999"}}
    daemon = make_daemon(changes, SERVE)
    lines = refusal(daemon)
    text = daemon.config_file.read_text().splitlines()
    for key in ("limits.login_timeout", "bannr", "uploads.umask"):
        (line,) = [line for line in lines if f" {key}: " in line]
        place = re.match(rf"{re.escape(str(daemon.config_file))}:(\d+):(\d+): ", line)
        assert place is not None, line
        assert key.rpartition(".")[2] in text[int(place[1]) - 1]


def test_a_broken_file_is_told_with_its_place(make_daemon: MakeDaemon) -> None:
    """A file that is no YAML at all."""
    daemon = make_daemon({})
    daemon.config_file.write_text("listeners: [\n")
    assert re.match(rf"{re.escape(str(daemon.config_file))}:\d+:\d+: ", refusal(daemon)[0])


def test_a_missing_configuration_is_told(make_daemon: MakeDaemon) -> None:
    """The file that is not there is named."""
    daemon = make_daemon({})
    daemon.config_file.unlink()
    assert str(daemon.config_file) in refusal(daemon)[0]


@pytest.mark.parametrize("which", ["explicit", "implicit", "metrics"])
def test_a_port_in_use_is_told_in_one_line(make_daemon: MakeDaemon, which: str) -> None:
    """Exit code 2 and one line that names the port."""
    daemon = make_daemon({})
    port = getattr(daemon.ports, which)
    with socket.create_server(("", port)):
        (line,) = refusal(daemon)
    assert str(port) in line
    assert "in use" in line


def test_a_missing_certificate_is_told(make_daemon: MakeDaemon) -> None:
    """With the key and the file it names."""
    (line,) = refusal(make_daemon({"tls": {"certificate": "/nowhere/fullchain.pem"}}))
    assert re.search(r":\d+:\d+: tls\.certificate: .*/nowhere/fullchain\.pem", line)


def test_a_key_of_another_certificate_is_told(make_daemon: MakeDaemon, tls_files: Demonstration) -> None:
    """The pair is checked together."""
    key = tls_files.authority.with_name("ca-key.pem")
    (line,) = refusal(make_daemon({"tls": {"private_key": str(key)}}))
    assert re.search(r":\d+:\d+: tls\.", line)


def test_a_missing_home_is_told(make_daemon: MakeDaemon) -> None:
    """With its place in the users file; the daemon serves the other users."""
    daemon = make_daemon({})
    users = daemon.users
    users["u000"]["home"] = "/nowhere/home"
    daemon.write_users(users)
    daemon.start()
    place = re.escape(str(daemon.users_file))
    assert re.search(rf"{place}:\d+:\d+: warning: users\.u000\.home: /nowhere/home does not exist", daemon.stderr)
    daemon.stop()


def test_a_socket_systemd_did_not_pass_is_told(make_daemon: MakeDaemon) -> None:
    """A listener with a socket name needs that socket."""
    daemon = make_daemon({})
    daemon.config_file.write_text(
        daemon.config_file.read_text().replace(f"port: {daemon.ports.explicit}", "socket: ftps")
    )
    (line,) = refusal(daemon)
    assert "ftps" in line
