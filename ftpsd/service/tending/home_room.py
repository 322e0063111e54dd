"""
Limits, and how much room there is: numbers that are of use beside how much of them is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ftpsd.config.model import Config


def limits_of(config: Config) -> dict[str, float]:
    """Return the limits whose use has a metric of its own."""
    limits, ports = config.limits, config.passive.ports
    return {
        "connections": limits.connections,
        "connections per address": limits.connections_per_address,
        "passive ports": ports.last - ports.first + 1,
    }


def free_bytes(homes: Iterable[Path]) -> dict[str, float]:
    """Return the bytes that users may still fill on each file system that *homes* are on, by its device number."""
    found: dict[str, float] = {}
    for home in homes:
        try:
            device = os.stat(home).st_dev
            name = f"{os.major(device)}:{os.minor(device)}"
            if name not in found:
                room = os.statvfs(home)
                found[name] = room.f_bavail * room.f_frsize
        except OSError:
            continue  # a home that is missing is told elsewhere
    return found
