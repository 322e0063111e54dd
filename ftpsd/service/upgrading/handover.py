"""
A server between the process before it and the one behind it: what it passes on, and whose orders it follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from ftpsd import __version__
from ftpsd.config.model import Config
from ftpsd.service.listeners import OpenPorts
from ftpsd.service.operating.desk_opening import ControlSocket
from ftpsd.service.operating.question import Operated
from ftpsd.service.orders import Answers
from ftpsd.service.outside import systemd
from ftpsd.service.upgrading.bequest import Estate
from ftpsd.service.upgrading.predecessor import Predecessor
from ftpsd.service.upgrading.succession import Succession


class Upgradable(Protocol):
    """A server of one process, or the supervisor of several, that can be followed by another."""

    ports: OpenPorts
    control_socket: ControlSocket
    operated: Operated
    drain: Callable[[], object]

    @property
    def config(self) -> Config:
        """The configuration that it serves."""

    @property
    def turns(self) -> int | None:
        """The file of locks of `service/share.py`."""

    @property
    def penalty_tables(self) -> tuple[int, int] | None:
        """The files of what clients have done (control/gate/penalty_tables.py)."""

    @property
    def is_ending(self) -> bool:
        """Whether it accepts nobody, or not yet."""

    def cut(self) -> None:
        """End every session now."""

    def make_room(self) -> Deferred[None]:
        """Leave passive ports to the successor, which is about to accept clients."""

    def take_room_back(self) -> object:
        """Use all of them again: the successor has failed."""

    def retire(self) -> Deferred[None]:
        """Give the duties up, and end when its sessions have; the Deferred fires when others may have the duties."""

    def close_behind_commands(self) -> None:
        """Have every session end with what it is at."""

    def follow_reload(self) -> object:
        """Read the files anew."""

    def reopen_logs(self) -> object:
        """Go on in new log files."""


class Handover:
    """What *server* takes from the process *before*, where there is one, and gives to its successor."""

    def __init__(self, server: Upgradable, before: Predecessor | None, reactor: Any) -> None:
        self.before = before
        self._server = server
        self.is_answering = False
        """Whether the order to upgrade has been done, and the answer to it is not out yet."""
        self.succession = Succession(self, reactor)

    @property
    def generation(self) -> int:
        """How many processes before this one still have sessions."""
        return 0 if self.before is None or not self.before.is_there else self.before.bequest.before

    @property
    def is_way_to_another(self) -> bool:
        """Whether the process before ends before this one: not while that one still is the server."""
        return self.before is not None and self.before.has_handed_over and self.before.is_there

    @property
    def may_end(self) -> bool:
        """Whether neither the process before nor an operator needs this one any more."""
        return not self.generation and not self.is_answering

    def named_sockets(self) -> dict[str, list[int]]:
        """Return the sockets that systemd has opened for the service, by name."""
        return systemd.named_sockets() if self.before is None else self.before.bequest.named_sockets()

    # --- as the one before sees it

    def order(self, what: str) -> None:
        """Have the process before do *what* this one does; it is no order to one that still is the server."""
        if self.before is not None and self.before.has_handed_over:
            self.before.ask(what)

    # --- as the successor sees it

    @property
    def is_ending(self) -> bool:
        """See `Succeeded`."""
        return self._server.is_ending

    def estate(self) -> Estate:
        """See `Succeeded`."""
        server = self._server
        assert server.turns is not None, "a server that was started by `ftpsd serve` has them"
        used = {listener.socket for listener in server.config.listeners}
        named = [(name, each) for name, found in self.named_sockets().items() for each in found if name in used]
        control, tables = server.control_socket.left(), server.penalty_tables
        return Estate(server.turns, server.ports.descriptors(), named, control, tables)

    def retire(self) -> Deferred[None]:
        """See `Succeeded`."""
        self.is_answering = True
        self._server.control_socket.leave()
        return self._server.retire()

    def make_room(self) -> Deferred[None]:
        """See `Succeeded`."""
        return self._server.make_room()

    def take_room_back(self) -> None:
        """See `Succeeded`."""
        self._server.take_room_back()

    def dismiss_operators(self) -> None:
        """See `Succeeded`."""
        self._server.control_socket.close()
        self.is_answering = False

    def answers_to_successor(self) -> Answers:
        """See `Succeeded`: what it asks about the sessions that are left, and orders."""
        operated = self._server.operated
        return {
            "who": operated.who,
            "busiest": operated.busiest,
            "progress": operated.progress,
            "kick": operated.kick,
            "reload": self._reload,
            "reopen-log": self._reopen_logs,
            "stop": self._stop,
            "cut": self._server.cut,
        }

    def _reload(self, version: str) -> None:
        if version == __version__:
            self._server.follow_reload()
        else:
            # A configuration for another version is not for us, and no session is kept that it might not let in.
            self._server.reopen_logs()
            self._server.close_behind_commands()

    def _reopen_logs(self) -> None:
        self._server.reopen_logs()
        self.order("reopen-log")

    def _stop(self) -> None:
        self._server.drain()
