"""
The control ports of several processes: the supervisor keeps them open, and the processes accept from them.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from twisted.internet.protocol import Factory

from ftpsd.audit.bus import AuditBus
from ftpsd.config.model import Config
from ftpsd.service.listeners import OpenPorts, adopt, bound, passed_as
from ftpsd.service.upgrading.handover import Handover


def open_shared(config: Config, ports: OpenPorts, handover: Handover, bus: AuditBus, reactor: Any) -> None:
    """
    Open the control *ports* of *config*, those that the process before has left among them.

    Raises: ListenProblem.
    """
    before, sockets = handover.before, handover.named_sockets()
    nobody = Factory()
    nobody.noisy = False
    for listener in config.listeners:
        # Headers of proxies are read by the process that accepts.
        plain = listener.model_copy(update={"proxy_protocol": None})
        with ExitStack() as made:
            there = [] if before is None else before.sockets_of(plain)
            if there:
                descriptors = there
            elif listener.socket is None:
                descriptors = [made.enter_context(bound(plain)).fileno()]
            else:
                descriptors = passed_as(listener.socket, sockets)
            # Adopted also where they are our own: a port that Twisted has made shuts down the socket itself at
            # its end, which all share, and accept() of a process that has not closed its own yet would fail.
            opened = [adopt(plain, each, nobody, bus, reactor) for each in descriptors]
        for port in opened:
            # Ours to keep open, theirs to accept from.
            port.stopReading()  # type: ignore[attr-defined]
        ports.control.append((listener.mode, opened))
