"""The machine: files that may be open, ports that are free, as /proc of a machine of our own tells."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ftpsd.config.units import PortRange
from ftpsd.doctor.finding import Level
from ftpsd.doctor.listening import listening, owners, program
from ftpsd.doctor.machine import limit_of, look_at_files, look_at_machine, look_at_outgoing, look_at_ports
from tests.sessions import configuration

HEADING = "  sl  local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
PORTS = PortRange(3000, 3050)
DAEMON, OTHER = 100, 200


class Machine:
    """A /proc with processes and listening sockets."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder
        (folder / "net").mkdir()
        (folder / "net" / "tcp").write_text(HEADING)

    def process(self, pid: int, name: str, files: str = "524288") -> None:
        """Add a process that may open so many *files*."""
        place = self.proc / str(pid)
        (place / "fd").mkdir(parents=True)
        (place / "comm").write_text(name + "\n")
        (place / "limits").write_text(f"Limit  Soft  Hard  Units\nMax open files            1024   {files}   files\n")

    def listen(self, port: int, *pids: int) -> None:
        """Let the processes *pids* hold a socket that listens on *port*."""
        inode = str(port * 10)
        with open(self.proc / "net" / "tcp", "a") as table:
            for state, number in (("0A", port), ("01", port + 1000)):
                table.write(f"0: 0100007F:{number:04X} 00000000:0000 {state} 0:0 0:0 0 0 0 {inode} 1 0 100 0 0 10 0\n")
        for pid in pids:
            os.symlink(f"socket:[{inode}]", self.proc / str(pid) / "fd" / str(port))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine on which the daemon listens on port 21 that systemd opened, and another program runs."""
    made = Machine(tmp_path)
    made.process(1, "systemd")
    made.process(DAEMON, "ftpsd")
    made.process(OTHER, "other")
    made.listen(21, 1, DAEMON)
    return made


def test_who_listens_and_who_they_are(machine: Machine) -> None:
    """Connections that do not listen are not in the table."""
    assert listening(machine.proc) == {21: {"210"}}
    assert owners(["210"], machine.proc) == {"210": {1, DAEMON}}
    assert [program(DAEMON, machine.proc), program(999, machine.proc)] == ["ftpsd", "unknown"]


def test_a_system_without_proc(tmp_path: Path) -> None:
    """None, which is not the same as nobody; and the doctor says so."""
    assert listening(tmp_path) is None
    levels = [finding.level for finding in look_at_machine(configuration(), [21], tmp_path)]
    assert levels[1:] == [Level.WARNING]


def test_all_is_well(machine: Machine) -> None:
    """Two lines, both good."""
    machine.listen(3007, DAEMON)
    findings = list(look_at_machine(configuration(), [21], machine.proc))
    assert [finding.level for finding in findings] == [Level.OK, Level.OK]
    assert str(findings[0]) == "ok: the daemon may open 524288 files, enough for 2000 connections"


@pytest.mark.parametrize(
    ("files", "level"),
    [("1024", Level.PROBLEM), ("5000", Level.WARNING), ("8115", Level.OK), ("unlimited", Level.OK)],
)
def test_open_files(machine: Machine, files: str, level: Level) -> None:
    """2000 connections, 51 ports and the daemon's own; the remedy is the line for the unit."""
    machine.process(300, "ftpsd", files)
    finding = look_at_files(configuration(), {300}, machine.proc)
    assert finding.level == level
    assert (level == Level.OK) == ("LimitNOFILE=8115" not in str(finding))


def test_the_limit_of_a_process_that_is_gone(machine: Machine) -> None:
    """Unknown."""
    assert limit_of(999, machine.proc) is None


def test_a_passive_port_of_another_program(machine: Machine) -> None:
    """The program is named."""
    machine.listen(3005, OTHER)
    (finding,) = look_at_ports(PORTS, listening(machine.proc), {DAEMON}, machine.proc)
    assert str(finding).startswith("problem: passive port 3005 is taken by other (process 200); ")


def test_a_passive_port_of_whom_we_may_not_see(machine: Machine) -> None:
    """That is not a problem yet."""
    machine.listen(3005)
    (finding,) = look_at_ports(PORTS, listening(machine.proc), {DAEMON}, machine.proc)
    assert finding.level == Level.WARNING
    assert "as root" in finding.remedy


@pytest.mark.parametrize(
    ("outgoing", "reserved", "count"),
    [
        ("32768\t60999", "", 0),
        ("1024 65535", "", 51),
        ("3040 65535", "", 11),
        ("1024 65535", "3000-3050", 0),
        ("1024 65535", "22,3000-3049", 1),
    ],
)
def test_ports_the_kernel_may_take(machine: Machine, outgoing: str, reserved: str, count: int) -> None:
    """Ports in the range of outgoing connections are at risk unless they are reserved."""
    settings = machine.proc / "sys" / "net" / "ipv4"
    settings.mkdir(parents=True)
    (settings / "ip_local_port_range").write_text(f"{outgoing}\n")
    (settings / "ip_local_reserved_ports").write_text(f"{reserved}\n")
    lines = [str(finding) for finding in look_at_outgoing(PORTS, machine.proc)]
    assert [line.startswith(f"warning: {count} of the passive ports 3000-3050") for line in lines] == [True] * bool(
        count
    )
