"""
The command at work and the progress of its transfer, for STAT and for operators.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftpsd.values.direction import Direction


class TransferStatus:
    """
    The transfer under way: *description* is the text of its 150, *began* the clock's time then.

    *moved* bytes have crossed, of *size* where that is known.
    """

    def __init__(self, description: str, size: int | None, direction: Direction, path: str, began: float) -> None:
        self.description = description
        self.size = size
        self.direction = direction
        self.path = path
        self.began = began
        self.moved = 0


@dataclass(frozen=True, slots=True)
class AtWork:
    """The command at work: its *verb* ("other" for an unknown one), and its *argument*, hidden where it is secret."""

    verb: str
    argument: str
