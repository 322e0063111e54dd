"""The messages to systemd over a real datagram socket, and which of its sockets are taken."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ftpsd.service.outside import systemd
from tests.tools import ROOT

# Far above what a test run has open, so that neighbouring numbers are free.
HIGH = 700


IMPORT = "from ftpsd.service.outside.systemd import named_sockets"


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The service manager's end of NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield bound


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    """Two listening sockets under the numbers HIGH and HIGH + 1, as systemd passes them: blocking and inheritable."""
    with ExitStack() as stack:
        opened = []
        for number in (HIGH, HIGH + 1):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            os.dup2(listener.fileno(), number, inheritable=True)
            os.set_blocking(number, True)
            stack.callback(os.close, number)
            opened.append(listener)
        yield opened


def announced(names: str | None, count: int = 2, pid: int | None = None) -> dict[str, str]:
    """The three variables of sd_listen_fds(3), and one of somebody else's."""
    variables = {"LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDS": str(count), "HOME": "/"}
    return variables if names is None else variables | {"LISTEN_FDNAMES": names}


def test_a_state_arrives_as_it_was_given(manager: socket.socket) -> None:
    """notify() sends its text as one datagram."""
    assert systemd.notify("READY=1")
    assert manager.recv(100) == b"READY=1"


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_an_abstract_address_begins_with_an_at_sign() -> None:
    """NOTIFY_SOCKET=@name is the abstract socket of that name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind("")  # Linux picks a free abstract name
        bound.settimeout(5)
        address = "@" + bound.getsockname()[1:].decode()
        assert systemd.notify("WATCHDOG=1", {"NOTIFY_SOCKET": address})
        assert bound.recv(100) == b"WATCHDOG=1"


def test_nothing_is_sent_without_a_manager() -> None:
    """Without NOTIFY_SOCKET notify() says no."""
    assert not systemd.notify("READY=1", {})


def test_a_manager_that_is_gone_hurts_nobody(tmp_path: Path) -> None:
    """A NOTIFY_SOCKET that nobody listens on makes notify() say no, not raise."""
    assert not systemd.notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})


def test_a_manager_that_does_not_read_holds_nobody_up(manager: socket.socket) -> None:
    """A full NOTIFY_SOCKET makes notify() say no at once."""
    sent = 0
    while systemd.notify("STATUS=" + "x" * 1000):
        sent += 1
    assert sent > 0


def test_a_kind_of_socket_we_do_not_speak_is_left_alone() -> None:
    """NOTIFY_SOCKET=vsock:... is for virtual machines."""
    assert not systemd.notify("READY=1", {"NOTIFY_SOCKET": "vsock:2:1234"})


def test_ready_carries_a_status(manager: socket.socket) -> None:
    """READY=1 and STATUS= travel in one datagram."""
    assert systemd.notify_ready("2 listeners")
    assert manager.recv(100) == b"READY=1\nSTATUS=2 listeners"


def test_ready_needs_no_status(manager: socket.socket) -> None:
    """READY=1 stands alone where there is nothing to add."""
    assert systemd.notify_ready()
    assert manager.recv(100) == b"READY=1"


def test_reloading_carries_the_monotonic_time(manager: socket.socket) -> None:
    """RELOADING=1 comes with MONOTONIC_USEC of now, in microseconds."""
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert systemd.notify_reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    first, second = manager.recv(100).decode().split("\n")
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= after


def test_stopping_says_so(manager: socket.socket) -> None:
    """STOPPING=1 may say what it waits for."""
    assert systemd.notify_stopping("3 transfers left")
    assert manager.recv(100) == b"STOPPING=1\nSTATUS=3 transfers left"


def test_a_status_cannot_smuggle_an_assignment(manager: socket.socket) -> None:
    """A line end inside a status becomes a space."""
    assert systemd.notify_status("one\nREADY=1\x1b")
    assert manager.recv(100) == b"STATUS=one READY=1 "


def test_the_watchdog_is_one_word(manager: socket.socket) -> None:
    """notify_watchdog() sends WATCHDOG=1."""
    assert systemd.notify_watchdog()
    assert manager.recv(100) == b"WATCHDOG=1"


def test_more_time_is_asked_for_in_microseconds(manager: socket.socket) -> None:
    """extend_timeout() takes seconds."""
    assert systemd.extend_timeout(12.5)
    assert manager.recv(100) == b"EXTEND_TIMEOUT_USEC=12500000"


def test_the_watchdog_waits_in_seconds() -> None:
    """WATCHDOG_USEC is WatchdogSec= in microseconds."""
    assert systemd.watchdog_interval({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}) == 30.0


def test_a_watchdog_without_a_process_id_is_ours() -> None:
    """WATCHDOG_PID may be missing."""
    assert systemd.watchdog_interval({"WATCHDOG_USEC": "30000000"}) == 30.0


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid() + 1)},
    ],
)
def test_nobody_watches(environ: dict[str, str]) -> None:
    """No time, no sense, or another process's watchdog: nothing is due."""
    assert systemd.watchdog_interval(environ) is None


def test_sockets_go_by_their_names(listeners: list[socket.socket]) -> None:
    """The name decides which socket is which, not the order."""
    taken = systemd.take_named_sockets(announced("implicit:explicit"), first=HIGH)
    assert taken == {"explicit": [HIGH + 1], "implicit": [HIGH]}


def test_one_name_may_hold_several_sockets(listeners: list[socket.socket]) -> None:
    """Two ListenStream= lines of one unit arrive under one name."""
    assert systemd.take_named_sockets(announced("explicit:explicit"), first=HIGH) == {"explicit": [HIGH, HIGH + 1]}


def test_sockets_without_names_are_unknown(listeners: list[socket.socket]) -> None:
    """A manager that passes no names leaves the sockets under one that says so."""
    assert systemd.take_named_sockets(announced(None), first=HIGH) == {"unknown": [HIGH, HIGH + 1]}


def test_taken_sockets_never_block(listeners: list[socket.socket]) -> None:
    """The reactor gets non-blocking sockets."""
    systemd.take_named_sockets(announced("explicit:implicit"), first=HIGH)
    assert not os.get_blocking(HIGH)


def test_taken_sockets_stay_in_this_process(listeners: list[socket.socket]) -> None:
    """A child does not hold the ports open."""
    systemd.take_named_sockets(announced("explicit:implicit"), first=HIGH)
    assert not os.get_inheritable(HIGH + 1)


def test_the_announcement_is_removed(listeners: list[socket.socket]) -> None:
    """Nobody takes the same sockets a second time; other variables stay."""
    environ = announced("explicit:implicit")
    systemd.take_named_sockets(environ, first=HIGH)
    assert environ == {"HOME": "/"}


def test_sockets_of_another_process_are_not_ours(listeners: list[socket.socket]) -> None:
    """LISTEN_PID names who they are for."""
    assert systemd.take_named_sockets(announced("explicit:implicit", pid=os.getpid() + 1), first=HIGH) == {}


def test_no_announcement_no_sockets() -> None:
    """Without systemd there are none."""
    assert systemd.take_named_sockets({"HOME": "/"}) == {}


def activated(listeners: list[socket.socket], program: str) -> str:
    """Run *program* as systemd starts a service with socket activation; return what it printed."""
    # The shell's own number stays, so LISTEN_PID is right for what it becomes; 3 and 4 are where systemd puts sockets.
    script = f'exec 3<&{HIGH} 4<&{HIGH + 1}; LISTEN_PID=$$ exec "$@" {HIGH}<&- {HIGH + 1}<&-'
    shell = ["bash", "-c", script, "sh", sys.executable, "-c", program]
    environ = os.environ | {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "implicit:explicit", "PYTHONPATH": str(ROOT)}
    finished = subprocess.run(
        shell, pass_fds=(HIGH, HIGH + 1), env=environ, check=True, capture_output=True, text=True, timeout=60
    )
    return finished.stdout.strip()


def test_importing_the_module_first_takes_the_sockets(listeners: list[socket.socket]) -> None:
    """The sockets this module took at import outlive the import of Twisted's endpoints."""
    program = f"{IMPORT}; import twisted.internet.endpoints; print(named_sockets())"
    assert activated(listeners, program) == "{'implicit': [3], 'explicit': [4]}"


def test_twistd_has_imported_the_endpoints_before_us(listeners: list[socket.socket]) -> None:
    """Where the endpoints dropped the variables first, the names and the listening sockets are enough."""
    program = f"import twisted.internet.endpoints; {IMPORT}; print(named_sockets())"
    assert activated(listeners, program) == "{'implicit': [3], 'explicit': [4]}"


def test_leftover_names_without_sockets_mean_nothing() -> None:
    """A child of some activated process inherits the names at most: what does not listen is not taken."""
    program = f"import twisted.internet.endpoints; {IMPORT}; print(named_sockets())"
    environ = os.environ | {"LISTEN_FDNAMES": "explicit", "PYTHONPATH": str(ROOT)}
    shell = [sys.executable, "-c", program]
    finished = subprocess.run(shell, env=environ, check=True, capture_output=True, text=True, timeout=60)
    assert finished.stdout.strip() == "{}"
