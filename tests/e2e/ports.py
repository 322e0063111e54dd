"""
Ports for daemons under test: blocks below the range from which the kernel takes ports for outgoing connections.

A block is held by a listening socket on its first port for as long as its owner lives, so daemons of parallel test runs
never get the same one.
"""

from __future__ import annotations

import os
import random
import socket
from dataclasses import dataclass

FIRST, LAST = 20_000, 32_000
BLOCK = 64
PASSIVE_OFFSET, PASSIVE_COUNT = 8, 51


@dataclass(frozen=True, slots=True)
class PortBlock:
    """Ports that nobody else uses: *explicit*, *implicit*, *metrics*, a *spare* one, and 51 passive ones."""

    lock: socket.socket
    base: int

    @property
    def explicit(self) -> int:
        return self.base + 1

    @property
    def implicit(self) -> int:
        return self.base + 2

    @property
    def metrics(self) -> int:
        return self.base + 3

    @property
    def spare(self) -> int:
        return self.base + 4

    @property
    def passive(self) -> range:
        return range(self.base + PASSIVE_OFFSET, self.base + PASSIVE_OFFSET + PASSIVE_COUNT)

    def release(self) -> None:
        """Let others have the block."""
        self.lock.close()


def claim_block() -> PortBlock:
    """Return a block of which every port can be bound now."""
    bases = list(range(FIRST, LAST - BLOCK, BLOCK))
    random.Random(os.urandom(8)).shuffle(bases)
    for base in bases:
        lock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            lock.bind(("127.0.0.1", base))
            lock.listen(1)
            for port in range(base + 1, base + BLOCK):
                _try(port)
        except OSError:
            lock.close()
            continue
        return PortBlock(lock, base)
    raise AssertionError("no block of free ports")


def has_ipv6() -> bool:
    """Tell whether ::1 can be used here."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as trial:
            trial.bind(("::1", 0))
    except OSError:
        return False
    return True


def _try(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind(("", port))
