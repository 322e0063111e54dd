"""
The control socket of a server: opened with its ports, closed when all else has ended.
"""

from __future__ import annotations

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

log = Logger()


class ControlSocket:
    """The control socket of *config*, where *questions* are answered; closed until `open`."""

    def __init__(self, config: Config, questions: Questions, bus: AuditBus, reactor: Any) -> None:
        self._config = config
        self._reactor = reactor
        self._callers = Callers(config.control_groups, reactor)
        self._desk = Desk(questions, self._callers, bus, reactor)
        self._socket: SocketPath | None = None

    def open(self) -> None:
        """
        Open it, where the configuration has one.

        The default path is that of the systemd unit; a server that is started by hand does without.

        Raises:
            ListenProblem: a path that the operator has chosen cannot be opened.
        """
        path = self._config.control_socket
        if path is None:
            return
        opened = SocketPath(path)
        try:
            opened.open(self._desk, for_all=self._callers.are_others_admitted, reactor=self._reactor)
        except ListenProblem as problem:
            complaint = self._config.complaint(("control_socket",), str(problem))
            if path != DEFAULT_SOCKET:
                raise ListenProblem(str(problem), complaint) from None
            log.warn("`ftpsd who` and other orders do not reach this server: {why}", why=str(problem))
            return
        self._socket = opened
        if self._callers.are_others_admitted and sees_few_users():
            sentence = "this process cannot see who others are (PrivateUsers=); write PrivateUsers=no into a drop-in"
            log.warn("{why}", why=str(self._config.complaint(("control_groups",), sentence, "warning")))

    def close(self) -> None:
        """Close it, and the connections when their last answer has been taken."""
        self._desk.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
