"""ftpsd by itself, with settings of a case's own: for what no peer does, or is not asked to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from bench.ground import Ground
from bench.measure import tree
from bench.packages import Programs, default_cache
from bench.running import RunningServer
from bench.servers import SERVERS, Launch, Ports, ftpsd


@contextmanager
def ours(ground: Ground, more: str = "", users: str | None = None, sections: str = "") -> Iterator[RunningServer]:
    """
    Start a second ftpsd, with *more* limits, further *sections* and, when given, other *users*; it ends with the body.

    Raises:
        BenchError: it does not start.
    """

    def set_up(ground: Ground, programs: Programs, ports: Ports) -> Launch:
        return ftpsd(ground, programs, ports, name="ours", more=more, users=users, sections=sections)

    server = replace(SERVERS[0], name="ours", set_up=set_up)
    # Its passive ports lie behind those of all the others.
    with RunningServer(server, ground, Programs(default_cache(), may_fetch=False), place=len(SERVERS)) as running:
        running.ensure()
        yield running


def process_of(running: RunningServer) -> int:
    """Return the process id of the server itself, below its keeper."""
    return tree(running.root)[1]
