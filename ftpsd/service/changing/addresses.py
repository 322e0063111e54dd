"""
The address in a 227 reply: a fixed one, a DNS name's, one chosen by the client's network, or the one the client
reached.

DNS names are looked up in a worker, at start and every few minutes; a reply never waits for DNS.
An address that a client from the Internet cannot reach is worth a line in the log, once for each address.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.config.checks.doubts import is_private, out_of_reach
from ftpsd.config.model import Passive
from ftpsd.wire.address import is_literal
from ftpsd.workers import Workers

# Seconds between two look-ups of a DNS name: dynamic addresses change rarely, but a change must not need a reload.
REFRESH = 300.0
# Addresses with a warning before the log has warned often enough.
MOST_WARNINGS = 20

log = Logger()


class PublicAddresses:
    """
    The addresses for the 227 of each client, by the section `passive` of the configuration.

    *resolved* holds what DNS has answered so far and outlives a reload, when DNS may not answer. *look_up* asks DNS, in
    one of the *workers*.
    """

    def __init__(
        self,
        passive: Passive,
        workers: Workers,
        resolved: dict[str, str] | None = None,
        look_up: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        self._passive = passive
        self._workers = workers
        self._resolved = {} if resolved is None else resolved
        self._look_up = look_up or look_up_ipv4
        self._asked: set[str] = set()
        self._warned: set[str] = set()

    def __call__(self, client: str, local: str) -> str:
        """Return the address for *client*, who reached us at *local*."""
        announced = self._announced(client)
        if announced == "auto":
            address = local
        else:
            address = announced if is_literal(announced) else self._resolved.get(announced, local)
        if address not in self._warned and len(self._warned) < MOST_WARNINGS and is_out_of_reach(address, client):
            self._warned.add(address)
            log.warn(
                "passive mode: {client} in the Internet was told to connect to {address}, which is not reachable from "
                "there; set passive.public_address to the outer address of the NAT, or its DNS name",
                client=client,
                address=address,
            )
        return address

    def refresh(self) -> Deferred[list[tuple[bool, None]]]:
        """
        Look every DNS name up again; one that cannot be resolved keeps its last address.

        A name whose last look-up still waits is not asked for again: DNS that hangs fills no queue.
        """
        return DeferredList([self._resolve(name) for name in names_in(self._passive) if name not in self._asked])

    def _announced(self, client: str) -> str:
        address = ip_address(client)
        for choice in self._passive.public_address_for:
            if any(address in network for network in choice.networks):
                return choice.address
        return self._passive.public_address

    def _resolve(self, name: str) -> Deferred[None]:
        def found(addresses: Sequence[str]) -> None:
            before = self._resolved.get(name)
            # A name with several addresses comes in another order each time; the one in use is kept while it is good.
            if before not in addresses:
                self._resolved[name] = addresses[0]
                log.info("passive mode announces {address} for {name}", address=addresses[0], name=name)
                if is_private(addresses[0]):
                    log.warn("passive mode: {name}: {why}", name=name, why=out_of_reach(addresses[0]))

        def missing(failure: Failure) -> None:
            kept = self._resolved.get(name)
            log.warn(
                "passive.public_address: {name} cannot be resolved: {why}; clients are told {kept}",
                name=name,
                why=failure.getErrorMessage(),
                kept=f"its last address, {kept}" if kept else "the address they reached",
            )

        def over(_: None) -> None:
            self._asked.discard(name)

        self._asked.add(name)
        return self._workers.run(self._look_up, name).addCallbacks(found, missing).addCallback(over)


def names_in(passive: Passive) -> list[str]:
    """Return the DNS names among the addresses to announce, each once."""
    announced = [passive.public_address, *(choice.address for choice in passive.public_address_for)]
    return [name for name in dict.fromkeys(announced) if name != "auto" and not is_literal(name)]


def look_up_ipv4(name: str) -> list[str]:
    """
    Return the IPv4 addresses of *name*, at least one: PASV knows no other kind. Blocks.

    Raises:
        OSError: there is none, or DNS does not answer.
    """
    found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def is_out_of_reach(address: str, client: str) -> bool:
    """Return whether *client* is in the Internet and *address* is not: private, of a carrier's NAT, or loopback."""
    return ip_address(client).is_global and not ip_address(address).is_global
