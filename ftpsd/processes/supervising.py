"""
The way into a server of several processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ftpsd.processes.supervisor import Supervisor
from ftpsd.service.load import Loaded
from ftpsd.service.signals import listen_for_stop
from ftpsd.service.upgrading.predecessor import Predecessor


def supervise(loaded: Loaded, path: Path, reactor: Any, turns: int, before: Predecessor | None = None) -> int:
    """
    Serve *loaded*, read from *path*, in several processes until a signal; return the exit code.

    Raises: ListenProblem.
    """
    supervisor = Supervisor(loaded, path, reactor, turns, before)
    supervisor.open()

    def begin() -> None:
        supervisor.drain = listen_for_stop(reactor, supervisor.stop, supervisor.cut)
        supervisor.handing.listen_for_hangup()
        supervisor.start()

    reactor.callWhenRunning(begin)
    reactor.run()
    return supervisor.exit_code
