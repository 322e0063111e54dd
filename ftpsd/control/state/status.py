"""
The progress of the transfer under way.
"""

from __future__ import annotations


class TransferStatus:
    """The transfer under way, for STAT: what is transferred and how many bytes of how many have crossed."""

    def __init__(self, description: str, size: int | None) -> None:
        self.description = description
        self.size = size
        self.moved = 0
