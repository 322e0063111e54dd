"""
The place of a process among those that serve together, as it stands on the command line.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

from ftpsd import __version__
from ftpsd.config.model import Config
from ftpsd.config.units import PortRange


@dataclass(frozen=True, slots=True)
class Place:
    """
    One of *count* processes, with the descriptors it inherits.

    *listeners* are the control ports, in the order of the configuration, *turns* is the file of `service/share.py`.
    *version* is the supervisor's: after an upgrade of the files on disk the two would not understand each other. Where
    a process from before an upgrade is there still (*is_beside*), the duties of the whole server come by an order.
    """

    index: int
    count: int
    path: str
    listeners: tuple[tuple[int, ...], ...]
    table: int
    homes: int
    deadlines: int
    records: int
    arrivals: int
    configuration: int
    link: int
    turns: int
    is_beside: bool = False
    version: str = __version__

    @property
    def name(self) -> str:
        """The number for people, who begin to count at 1."""
        return f"process {self.index + 1}"

    def to_text(self) -> str:
        """Return the argument that carries all of it."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Place:
        """Return the place that the argument *text* carries."""
        fields = json.loads(text)
        fields["listeners"] = tuple(tuple(each) for each in fields["listeners"])
        return cls(**fields)


def process_count(config: Config) -> int:
    """Return how many processes *config* asks for; `auto` is one for each processor that we may use."""
    if config.processes != "auto":
        return config.processes
    return max(1, min(usable_processors(), len(config.passive.ports)))


def usable_processors() -> int:
    """Return on how many processors this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS


def part_of(ports: PortRange, index: int, count: int) -> PortRange:
    """Return the ports of process *index* of *count*: the range in even parts, none of them empty."""
    begin, end = (len(ports) * each // count for each in (index, index + 1))
    return PortRange(ports.first + begin, ports.first + end - 1)
