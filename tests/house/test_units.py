"""The systemd files, read by systemd's own tools."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ftpsd.cli.installing.machine_steps import LOCAL, steps_of_machine
from ftpsd.cli.installing.machine_steps import UNITS as INSTALLED
from ftpsd.cli.running.live_commands import reload
from ftpsd.config.checks.unit import STOP_TIMEOUT, installed_unit
from ftpsd.config.control_socket import DEFAULT_SOCKET
from ftpsd.config.sources.source_sections import PAM
from tests.tools import ROOT, require_tool

UNITS = ROOT / "systemd"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60)


def root_with(tmp_path: Path, account: str) -> Path:
    """A root directory whose one *account* is whoever runs the tests: chown to oneself is always allowed."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text(f"{account}:x:{os.getuid()}:{os.getgid()}::/:/usr/sbin/nologin\n")
    (tmp_path / "etc" / "group").write_text(f"{account}:x:{os.getgid()}:\n")
    return tmp_path


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` has no complaint about the service and its sockets."""
    for unit in UNITS.glob("ftpsd*.s*"):
        shutil.copy(unit, tmp_path)
    # verify looks for the program; what is tested here is not where it is installed.
    for service in tmp_path.glob("*.service"):
        service.write_text(re.sub(r"^(Exec\w+)=\S+", r"\1=/bin/true", service.read_text(), flags=re.MULTILINE))
    verified = run(require_tool("systemd-analyze"), "verify", "--man=no", *sorted(tmp_path.glob("ftpsd*.s*")))
    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_service_is_locked_in() -> None:
    """`systemd-analyze security` scores an exposure of 1.2 or less."""
    analyze = require_tool("systemd-analyze")
    scored = run(analyze, "security", "--no-pager", "--offline=true", "--threshold=12", UNITS / "ftpsd.service")
    assert scored.returncode == 0, scored.stdout + scored.stderr


def test_the_helper_is_locked_in() -> None:
    """The one part that is root: its exposure is 1.4 or less."""
    analyze = require_tool("systemd-analyze")
    scored = run(analyze, "security", "--no-pager", "--offline=true", "--threshold=14", UNITS / "ftpsd-pam.service")
    assert scored.returncode == 0, scored.stdout + scored.stderr


def test_the_socket_of_the_helper_is_the_daemon_s_alone() -> None:
    """0660 root:ftpsd, at the place where the daemon looks."""
    unit = (UNITS / "ftpsd-pam.socket").read_text()
    modes = dict(re.findall(r"^(Socket\w+|ListenStream)=(.*)$", unit, flags=re.MULTILINE))
    default = str(PAM.model_fields["socket"].default)
    expected = {"SocketUser": "root", "SocketGroup": "ftpsd", "SocketMode": "0660", "ListenStream": default}
    assert modes == expected


def test_check_knows_how_long_the_unit_waits() -> None:
    """`ftpsd check` warns of a drain_timeout above TimeoutStopSec=, and reads the unit as systemd does."""
    unit = installed_unit((UNITS,))
    assert (unit.user, unit.stop_timeout) == ("ftpsd", STOP_TIMEOUT)
    assert unit.serves(Path("/etc/ftpsd"))


def test_both_sockets_have_the_names_the_configuration_uses() -> None:
    """FileDescriptorName= is what `socket:` of a listener refers to."""
    named = {
        path.name: re.findall(r"^FileDescriptorName=(.*)$", path.read_text(), flags=re.MULTILINE)
        for path in UNITS.glob("*.socket")
        if path.name != "ftpsd-pam.socket"
    }
    assert named == {"ftpsd.socket": ["explicit"], "ftpsd-implicit.socket": ["implicit"]}


def stop_post(tmp_path: Path, job: str, exit_status: str) -> str:
    """Run what the service runs when it has stopped, while systemd has *job*; return what it asks systemctl for."""
    (line,) = re.findall(
        r"^ExecStopPost=-\+/bin/sh -c '(.*)'$", (UNITS / "ftpsd.service").read_text(), flags=re.MULTILINE
    )
    asked = tmp_path / "asked"
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\n[ "$1" = list-jobs ] && echo "{job}" || echo "$*" >> {asked}\n')
    systemctl.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "EXIT_STATUS": exit_status}
    done = subprocess.run(["sh", "-c", line.replace("$$", "$")], env=environ, timeout=60)
    assert done.returncode == 0
    return asked.read_text() if asked.exists() else ""


STOPS = "stop --no-block ftpsd.socket ftpsd-implicit.socket\n"


@pytest.mark.parametrize(
    ("job", "exit_status", "asked"),
    [
        ("123 ftpsd.service stop running", "0", STOPS),
        ("123 ftpsd.service stop running", "KILL", STOPS),
        ("", "2", STOPS),
        ("123 ftpsd.service restart running", "0", ""),
        ("", "0", STOPS),
        ("123 other.service restart running", "0", STOPS),
        ("123 other.service stop running", "KILL", ""),
        ("", "KILL", ""),
        ("", "3", ""),
    ],
    ids=[
        "stop",
        "stop-killed",
        "bad-configuration",
        "restart",
        "drained",
        "other-restart",
        "other",
        "crash",
        "processes-die",
    ],
)
def test_stopped_means_stopped(tmp_path: Path, job: str, exit_status: str, asked: str) -> None:
    """The sockets are stopped with the service, or the next client would start it; in a restart they stay open."""
    assert stop_post(tmp_path, job, exit_status) == asked


def test_all_sockets_are_started_and_stopped_with_the_service() -> None:
    """And by nothing that a restart would reach too."""
    service = (UNITS / "ftpsd.service").read_text()
    # That of the helper is for sites that ask it, and outlives the service.
    sockets = sorted(path.name for path in UNITS.glob("*.socket") if path.name != "ftpsd-pam.socket")
    (started,) = re.findall(r"^Sockets=(.*)$", service, flags=re.MULTILINE)
    assert sorted(started.split()) == sorted(STOPS.split()[2:]) == sockets
    for path in UNITS.glob("ftpsd*.s*"):
        assert not re.search(r"^(PartOf|BindsTo|PropagatesStopTo)=", path.read_text(), flags=re.MULTILINE)


def test_a_refused_reload_is_one_that_failed() -> None:
    """`systemctl reload` waits for the command that waits for the server, and systemd waits longer than that does."""
    service = (UNITS / "ftpsd.service").read_text()
    assert "\nExecReload=/opt/ftpsd/bin/ftpsd reload --pid $MAINPID\n" in service
    timeout: Any = next(option.default for option in reload.params if option.name == "timeout")
    (seconds,) = re.findall(r"^TimeoutStartSec=(\d+)s$", service, flags=re.MULTILINE)
    assert timeout < int(seconds)


def test_the_audit_log_is_kept() -> None:
    """The journal takes every line, and /var/log/ftpsd may be written, where nothing can be run."""
    service = (UNITS / "ftpsd.service").read_text()
    assert "\nLogRateLimitIntervalSec=0\n" in service
    assert "\nLogsDirectory=ftpsd\nLogsDirectoryMode=0750\n" in service
    assert re.search(r"^NoExecPaths=.*/var/log/ftpsd", service, flags=re.MULTILINE)


def test_the_documented_install_makes_its_folders() -> None:
    """Debian 12 has no /etc/sysusers.d; and a unit in /etc/systemd/system cannot be masked."""
    assert Path("/usr/local/lib") == LOCAL
    assert {path.name for path in UNITS.glob("ftpsd*.s*")} == set(INSTALLED)
    steps = {step.what for step in steps_of_machine(ROOT)}
    for path in [*UNITS.glob("ftpsd*.s*"), *UNITS.glob("*/*.conf")]:
        kind = "systemd/system" if path.parent == UNITS else path.parent.name
        assert f"/usr/local/lib/{kind}/{path.name}" in steps


def test_the_control_socket_can_be_reached() -> None:
    """In the directory that systemd makes; it says itself who may use it, and members of groups must get there."""
    service = (UNITS / "ftpsd.service").read_text()
    assert "\nRuntimeDirectory=ftpsd\n" in service
    assert "\nRuntimeDirectoryMode=0755\n" in service
    assert DEFAULT_SOCKET.parent == Path("/run/ftpsd")


def test_tls_handshakes_are_possible() -> None:
    """MemoryDenyWriteExecute=yes breaks every pyOpenSSL callback."""
    assert "\nMemoryDenyWriteExecute=no\n" in (UNITS / "ftpsd.service").read_text()


def test_the_account_is_made(tmp_path: Path) -> None:
    """systemd-sysusers makes the user and group the service runs under."""
    (tmp_path / "etc").mkdir()
    made = run(require_tool("systemd-sysusers"), f"--root={tmp_path}", UNITS / "sysusers.d" / "ftpsd.conf")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "etc" / "passwd").read_text().startswith("ftpsd:x:")


def test_the_directories_are_made(tmp_path: Path) -> None:
    """systemd-tmpfiles makes the directories that the service's ReadWritePaths= needs, closed to strangers."""
    rules = (UNITS / "tmpfiles.d" / "ftpsd.conf").read_text()
    root = root_with(tmp_path, "ftpsd")
    ours = tmp_path / "rules.conf"
    ours.write_text(re.sub(r"\broot\b( +ftpsd)", r"ftpsd\1", rules))
    made = run(require_tool("systemd-tmpfiles"), f"--root={root}", "--create", ours)
    assert made.returncode == 0, made.stderr
    modes = {
        name: oct((root / name).stat().st_mode & 0o777) for name in ("srv/ftpsd", "var/lib/ftpsd", "etc/ftpsd/tls")
    }
    assert modes == {"srv/ftpsd": "0o750", "var/lib/ftpsd": "0o750", "etc/ftpsd/tls": "0o750"}
