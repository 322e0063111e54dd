"""systemd: sockets it has opened, and what the daemon tells it."""

from __future__ import annotations

import ftplib
import json
import os
import signal
import socket
import sys
from collections.abc import Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from secrets import token_hex

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT, IMPLICIT, begin, content, log_in, next_code, read_all
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually
from tests.e2e.processes.pair import one_in_each

ACTIVATE = str(Path(__file__).with_name("activate.py"))


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    """The socket on which systemd listens for notifications."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0ftpsd-test-{token_hex(8)}")
        receiver.settimeout(20)
        yield receiver


def address(manager: socket.socket) -> str:
    name: bytes = manager.getsockname()
    return "@" + name[1:].decode()


def wait_for(manager: socket.socket, assignment: str) -> list[str]:
    """Return the lines of the first message that holds *assignment*."""
    while True:
        lines = manager.recv(65536).decode().split("\n")
        if assignment in lines:
            return lines


def test_it_says_when_it_is_ready(start_daemon: StartDaemon, manager: socket.socket) -> None:
    """READY=1 when it serves, RELOADING=1 and READY=1 around a reload, STOPPING=1 at the end."""
    daemon = start_daemon(environ={"NOTIFY_SOCKET": address(manager)})
    assert any(line.startswith("STATUS=") for line in wait_for(manager, "READY=1"))
    daemon.signal(signal.SIGHUP)
    assert any(line.startswith("MONOTONIC_USEC=") for line in wait_for(manager, "RELOADING=1"))
    wait_for(manager, "READY=1")
    daemon.signal(signal.SIGTERM)
    wait_for(manager, "STOPPING=1")
    assert daemon.ended() == 0


def test_a_reload_that_fails_ends_too(start_daemon: StartDaemon, manager: socket.socket) -> None:
    """systemd must not wait for ever for the READY=1 behind RELOADING=1."""
    daemon = start_daemon(environ={"NOTIFY_SOCKET": address(manager)})
    wait_for(manager, "READY=1")
    daemon.users_file.write_text("[")
    daemon.signal(signal.SIGHUP)
    wait_for(manager, "RELOADING=1")
    wait_for(manager, "READY=1")


def test_it_feeds_the_watchdog(start_daemon: StartDaemon, manager: socket.socket) -> None:
    """WATCHDOG=1 again and again, where systemd asks for it."""
    start_daemon(environ={"NOTIFY_SOCKET": address(manager), "WATCHDOG_USEC": "200000"})
    for _ in range(3):
        wait_for(manager, "WATCHDOG=1")


def journal(file: Path) -> dict[str, str]:
    """Return the environment in which *file*, which the daemon is to write to, is the journal."""
    file.parent.mkdir(parents=True)
    file.touch()
    status = file.stat()
    return {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}


@pytest.mark.parametrize("processes", [1, 2])
def test_lines_of_the_journal_have_priorities(tmp_path: Path, tls_files: Demonstration, processes: int) -> None:
    """Information, warnings and errors can be told apart; `journalctl -p err` shows a reload that was refused."""
    folder = tmp_path / "own"
    environ = journal(folder / "stderr")
    daemon = Daemon(folder, tls_files, {"processes": processes}, users=1, environ=environ)
    try:
        daemon.start()
        daemon.users_file.write_text("[")
        daemon.signal(signal.SIGHUP)
        eventually(lambda: "reload failed" in daemon.stderr, "the reload is refused")
        lines = daemon.stderr.splitlines()
    finally:
        daemon.kill()
    assert {line[:3] for line in lines if "ftpsd serves" in line} == {"<6>"}
    assert {line[:3] for line in lines if "reload failed" in line} == {"<3>"}
    assert all(line.startswith("<") for line in lines)


def test_a_start_that_fails_is_an_error_in_the_journal(tmp_path: Path, tls_files: Demonstration) -> None:
    """Mistakes in the configuration have the priority of errors."""
    folder = tmp_path / "own"
    environ = journal(folder / "stderr")
    daemon = Daemon(folder, tls_files, {"bannr": "x"}, users=1, environ=environ)
    daemon.spawn()
    assert daemon.ended() == 2
    assert daemon.stderr.startswith(f"<3>{daemon.config_file}:")
    daemon.kill()


def test_audit_lines_of_the_journal_have_priorities(tmp_path: Path, tls_files: Demonstration) -> None:
    """A refused login stands out; the JSON behind the mark is whole."""
    folder = tmp_path / "own"
    environ = journal(folder / "stdout")
    daemon = Daemon(folder, tls_files, {"audit": {"log": "stdout"}}, users=1, environ=environ)
    try:
        daemon.start()
        with pytest.raises(ftplib.error_perm):
            log_in(daemon, EXPLICIT, replace(daemon.account(), password="wrong"))
        daemon.stop()
    finally:
        daemon.kill()
    lines = [(line[:3], json.loads(line[3:])["event"]) for line in (folder / "stdout").read_text().splitlines()]
    assert ("<5>", "login-refused") in lines
    assert ("<6>", "stopped") in lines


@contextmanager
def with_sockets(daemon: Daemon, names: Mapping[str, int], closed: Container[str] = ()) -> Iterator[Daemon]:
    """
    Run *daemon* with listening sockets of these *names*, on these ports, that stay open as systemd's do.

    Those *closed* were closed by a server before, which had no use for them.
    """
    with ExitStack() as stack:
        stack.callback(daemon.kill)
        descriptors = []
        for name, port in names.items():
            opened = stack.enter_context(socket.create_server(("127.0.0.1", port)))
            descriptors.append(opened.fileno())
            os.set_inheritable(descriptors[-1], True)
            if name in closed:
                opened.shutdown(socket.SHUT_RDWR)
        before = [sys.executable, ACTIVATE, ":".join(names), ",".join(map(str, descriptors))]
        daemon.spawn(pass_fds=descriptors, before=before)
        eventually(lambda: daemon.is_ready or daemon.exit_code is not None, "ready or dead", 60)
        assert daemon.exit_code is None, daemon.stderr
        yield daemon
        if daemon.exit_code is None:
            daemon.stop()


@pytest.fixture(params=[1, 2], ids=["alone", "two-processes"])
def activated(request: pytest.FixtureRequest, tmp_path: Path, tls_files: Demonstration) -> Iterator[Daemon]:
    """
    A daemon whose listeners were opened for it; systemd passes them in no order that means anything.

    No listener uses `other`, and a server before has not used `implicit`.
    """
    listeners = [{"mode": "explicit", "socket": "explicit"}, {"mode": "implicit", "socket": "implicit"}]
    changes = {"listeners": listeners, "processes": request.param}
    daemon = Daemon(tmp_path / "activated", tls_files, changes, users=5)
    ports = daemon.ports
    names = {"implicit": ports.implicit, "other": ports.spare, "explicit": ports.explicit}
    with with_sockets(daemon, names, closed=["implicit"]):
        yield daemon


def counts(daemon: Daemon, sample: str) -> bool:
    """Tell whether the metrics of *daemon* have *sample*."""
    return sample in daemon.metrics()


def test_it_serves_on_the_sockets_it_was_passed(activated: Daemon) -> None:
    """
    Explicit and implicit by their names, and passive ports on the same address; log and metrics know the ports.

    The socket that was closed before is opened again. That which no listener uses is closed: its clients are refused
    instead of waiting for a greeting, and the log says so. Of two processes each serves.

    At the end the sockets are still systemd's: a client that comes in between waits and is not refused.
    """
    unused = activated.ports.spare
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", unused), 20)
    assert f"warn the socket other (port {unused}) that systemd has opened" in activated.stderr
    for way in (EXPLICIT, IMPLICIT):
        account = activated.account()
        (account.home / "file").write_bytes(content(100_000))
        ftp = log_in(activated, way, account)
        connection, _ = begin(ftp, "RETR file")
        assert read_all(connection) == content(100_000)
        assert next_code(ftp) == 226
        ftp.close()
        port = activated.ports.implicit if way is IMPLICIT else activated.ports.explicit
        name = f"{way.mode}:{port}"
        activated.wait_for_event("logged-in", user=account.name, listener=name)
        sample = f'ftpsd_connections_total{{listener="{name}",result="accepted"}}'
        eventually(partial(counts, activated, sample), "the listener is counted by its port")
    if activated.settings()["processes"] == 2:
        account = activated.account()
        (account.home / "file").write_bytes(content(1000))
        for ftp in one_in_each(activated, account):
            connection, _ = begin(ftp, "RETR file")
            assert read_all(connection) == content(1000)
            assert next_code(ftp) == 226
            ftp.close()
    activated.stop()
    with socket.create_connection(("127.0.0.1", activated.ports.explicit), 10):
        pass
