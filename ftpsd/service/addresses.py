"""
Which address a 227 reply names: a fixed one, a DNS name's, one chosen by the client's network, or the one the client
reached.

DNS names are looked up in a worker, at start and every few minutes; a reply never waits for DNS.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.config.model import Passive
from ftpsd.workers import Workers

# Seconds between two look-ups of a DNS name: dynamic addresses change rarely, but a change must not need a reload.
REFRESH = 300.0

log = Logger()


class PublicAddresses:
    """
    Answers what the 227 of a client says, by the section `passive` of the configuration.

    *resolved* holds what DNS has answered so far and outlives a reload, when DNS may not answer.
    """

    def __init__(self, passive: Passive, files: Workers, resolved: dict[str, str] | None = None) -> None:
        self._passive = passive
        self._files = files
        self._resolved = {} if resolved is None else resolved

    def __call__(self, client: str, local: str) -> str:
        """Return the address to tell *client*, who reached us at *local*."""
        announced = self._announced(client)
        if announced == "auto":
            return local
        return announced if _is_literal(announced) else self._resolved.get(announced, local)

    def refresh(self) -> Deferred[list[tuple[bool, None]]]:
        """Look every DNS name up again; one that cannot be resolved keeps its last address."""
        names = {self._passive.public_address, *(choice.address for choice in self._passive.public_address_for)}
        return DeferredList([self._resolve(name) for name in names if name != "auto" and not _is_literal(name)])

    def _announced(self, client: str) -> str:
        address = ip_address(client)
        for choice in self._passive.public_address_for:
            if any(address in network for network in choice.networks):
                return choice.address
        return self._passive.public_address

    def _resolve(self, name: str) -> Deferred[None]:
        def found(address: str) -> None:
            self._resolved[name] = address

        def missing(failure: Failure) -> None:
            log.warn(
                "passive.public_address: {name} cannot be resolved: {why}", name=name, why=failure.getErrorMessage()
            )

        return self._files.run(_look_up, name).addCallbacks(found, missing)


def _look_up(name: str) -> str:
    """Return the IPv4 address of *name*: PASV knows no other kind."""
    return str(socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])


def _is_literal(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True
