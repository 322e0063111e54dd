"""
The machine below the server: how many files may be open, and whether the passive ports are free for it.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

from ftpsd.config.model import Config
from ftpsd.config.units import PortRange
from ftpsd.doctor.finding import Finding, ok, problem, warning
from ftpsd.doctor.listening import PROC, listening, owners, program

# A control connection, a data connection, a file, a directory.
FILES_OF_A_SESSION = 4
# Listeners, logs, epoll, the audit log, DNS.
FILES_OF_THE_DAEMON = 64
# systemd holds the sockets it passes, too.
INIT = 1


def look_at_machine(config: Config, control_ports: list[int], proc: Path = PROC) -> Iterator[Finding]:
    """Yield what is found about files and ports; *control_ports* are those of the running daemon."""
    table = listening(proc)
    daemons = daemons_at(control_ports, proc)
    yield look_at_files(config, daemons, proc)
    yield from look_at_ports(config.passive.ports, table, daemons, proc)
    yield from look_at_outgoing(config.passive.ports, proc)


def daemons_at(control_ports: list[int], proc: Path = PROC) -> set[int]:
    """Return the processes that listen on *control_ports*, as far as this user may see them."""
    table = listening(proc)
    if table is None:
        return set()
    inodes = set().union(*(table.get(port, set()) for port in control_ports))
    return set().union(*owners(inodes, proc).values()) - {INIT}


def look_at_files(config: Config, daemons: set[int], proc: Path = PROC) -> Finding:
    """Compare the limit on open files with what limits.connections can come to need."""
    known = [limit for limit in (limit_of(pid, proc) for pid in daemons) if limit is not None]
    limit = min(known) if known else resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit == resource.RLIM_INFINITY:
        return ok("open files are not limited")
    whose = "the daemon may open" if known else "a daemon started from here could open"
    base = len(config.passive.ports) + FILES_OF_THE_DAEMON
    connections = config.limits.connections
    remedy = f"set LimitNOFILE={base + FILES_OF_A_SESSION * connections} in the unit, or lower limits.connections"
    said = f"{whose} {limit} files"
    if limit < base + 2 * connections:
        return problem(f"{said}, too few for {connections} connections with a transfer each", remedy)
    if limit < base + FILES_OF_A_SESSION * connections:
        return warning(f"{said}; {connections} busy connections can need {FILES_OF_A_SESSION} each", remedy)
    return ok(f"{said}, enough for {connections} connections")


def limit_of(pid: int, proc: Path = PROC) -> int | None:
    """Return how many files the process *pid* may come to open: the hard limit, which the daemon makes its own."""
    try:
        lines = (proc / str(pid) / "limits").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("Max open files"):
            hard = line.split()[4]
            return resource.RLIM_INFINITY if hard == "unlimited" else int(hard)
    return None


def look_at_ports(
    ports: PortRange, table: dict[int, set[str]] | None, daemons: set[int], proc: Path = PROC
) -> Iterator[Finding]:
    """Return whether all passive ports are free, or the daemon's own."""
    if table is None:
        yield warning(f"who listens on the passive ports {ports} cannot be seen on this system", "look with netstat")
        return
    holders = owners(set().union(*(table.get(port, set()) for port in ports)), proc)
    foreign = False
    unseen = []
    for port in ports:
        pids = set().union(*(holders[inode] for inode in table.get(port, set())))
        if port in table and not pids:
            unseen.append(port)
        elif pids and not pids & daemons:
            foreign = True
            names = ", ".join(f"{program(pid, proc)} (process {pid})" for pid in sorted(pids))
            yield problem(f"passive port {port} is taken by {names}", "move passive.ports, or stop that program")
    if unseen:
        yield warning(
            f"{len(unseen)} of the passive ports {ports} are in use, by whom cannot be seen",
            "run the doctor as root, or as the user of the daemon",
        )
    if not foreign and not unseen:
        yield ok(
            f"passive ports {ports} are free for the daemon; the firewall must let clients through to all of them "
            f"(from outside: nc -vz HOST {ports.first})"
        )


def look_at_outgoing(ports: PortRange, proc: Path = PROC) -> Iterator[Finding]:
    """Warn when the kernel may take a passive port for an outgoing connection of any program."""
    settings = proc / "sys" / "net" / "ipv4"
    try:
        first, last = map(int, (settings / "ip_local_port_range").read_text().split())
        reserved = (settings / "ip_local_reserved_ports").read_text()
    except (OSError, ValueError):
        return
    at_risk = {port for port in ports if first <= port <= last} - set(_numbers(reserved))
    if at_risk:
        yield warning(
            f"{len(at_risk)} of the passive ports {ports} lie in the kernel's range for outgoing connections, "
            f"{first}-{last}, and may be taken when the daemon wants them",
            f"sysctl -w net.ipv4.ip_local_reserved_ports={ports}",
        )


def _numbers(text: str) -> Iterator[int]:
    """Yield the numbers of a list such as "3000-3050,8080"."""
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            yield from range(int(first), int(last or first) + 1)
