"""
The factory behind every control listener: it gives each connection the current Runtime.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from ftpsd.control.pi import ServerPI
from ftpsd.control.state.runtime import Runtime
from ftpsd.control.state.session import Session
from ftpsd.control.table import CommandTable
from ftpsd.wire.reply import Reply, ReplyPart


class ControlFactory(Factory):
    """
    The maker of the server-PIs of one listener, *name* in audit and metrics; *runtime* returns the current Runtime.

    *place* is that of the listener in the configuration.
    """

    noisy = False

    def __init__(
        self,
        name: str,
        runtime: Callable[[], Runtime],
        table: CommandTable,
        registry: set[ServerPI],
        *,
        starts_with_tls: bool,
        place: str = "",
    ) -> None:
        self.name = name
        self._runtime = runtime
        self._table = table
        self._registry = registry
        self._starts_with_tls = starts_with_tls
        self._place = place

    def buildProtocol(self, address: IAddress | None) -> ServerPI:
        """Answer one connection."""
        clock = self._runtime().shared.clock
        return ServerPI(self._begin, clock, self._table, self._registry, starts_with_tls=self._starts_with_tls)

    def _begin(self, peer: str, local: str, reply: Callable[[Reply | ReplyPart], None]) -> Session:
        return Session(self._runtime, self._table, peer, local, self.name, reply, self._place)
