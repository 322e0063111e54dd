"""
The control socket of a server: opened with its ports, closed when all else has ended.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from ftpsd.audit.bus import AuditBus
from ftpsd.config.control_socket import DEFAULT_SOCKET
from ftpsd.config.model import Config
from ftpsd.service.listeners import ListenProblem
from ftpsd.service.operating.caller import Callers, sees_few_users
from ftpsd.service.operating.operator_channel import Desk
from ftpsd.service.operating.question import Questions
from ftpsd.service.operating.socket_path import SocketPath
from ftpsd.service.upgrading.bequest import Bequest

log = Logger()


class ControlSocket:
    """The control socket of *config*, where *questions* are answered; closed until `open`."""

    def __init__(self, config: Config, questions: Questions, bus: AuditBus, reactor: Any) -> None:
        self._config = config
        self._reactor = reactor
        self._callers = Callers(config.control_groups, reactor)
        self._desk = Desk(questions, self._callers, bus, reactor)
        self._socket: SocketPath | None = None
        self._left_over: Bequest | None = None

    def open(self, bequest: Bequest | None = None) -> None:
        """
        Open it, where the configuration has one; the one of *bequest* is left alone until `go_on`.

        The default path is that of the systemd unit; a server that is started by hand does without.

        Raises:
            ListenProblem: a path that the operator has chosen cannot be opened.
        """
        path, others = self._config.control_socket, self._callers.are_others_admitted
        if path is None:
            self._left_over = bequest
            return
        opened = SocketPath(path)
        try:
            if bequest is not None and bequest.control is not None and bequest.control_path == str(path):
                assert bequest.control_lock is not None, "who leaves the socket leaves its lock"
                opened.adopt(bequest.control, bequest.control_lock, self._desk, self._reactor, is_for_all=others)
            else:
                self._left_over = bequest
                opened.open(self._desk, for_all=others, reactor=self._reactor)
        except ListenProblem as problem:
            complaint = self._config.complaint(("control_socket",), str(problem))
            if path != DEFAULT_SOCKET:
                raise ListenProblem(str(problem), complaint) from None
            log.warn("`ftpsd who` and other orders do not reach this server: {why}", why=str(problem))
            return
        self._socket = opened
        if others and sees_few_users():
            sentence = "this process cannot see who others are (PrivateUsers=); write PrivateUsers=no into a drop-in"
            log.warn("{why}", why=str(self._config.complaint(("control_groups",), sentence, "warning")))

    def go_on(self) -> None:
        """Accept connections, on a socket that the process before has left."""
        if self._socket is not None:
            self._socket.go_on()
        left, self._left_over = self._left_over, None
        if left is not None and left.control is not None and left.control_lock is not None:
            # The configuration names another path now.
            with suppress(OSError):
                os.unlink(left.control_path)
            for descriptor in (left.control, left.control_lock):
                os.close(descriptor)

    def left(self) -> tuple[int, int, Path] | None:
        """Return the socket, its lock and its path, for a successor."""
        descriptors = None if self._socket is None else self._socket.descriptors
        return None if descriptors is None or self._socket is None else (*descriptors, self._socket.path)

    def leave(self) -> None:
        """Accept no more connections: a successor does."""
        if self._socket is not None:
            self._socket.leave()
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        """Close it, and the connections when their last answer has been taken."""
        self._desk.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
