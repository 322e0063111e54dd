"""How a file of this machine is found again after a crash: where it is to be, and what tells it from any other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trace:
    """
    A file that is, or is about to be, at *place*, a path of this machine.

    *inode* is its number on *device*; a rename changes neither, nor *modified_ns*. *former* is the place that a rename
    takes it from. *sha256* is known where all of its bytes have gone by.
    """

    place: bytes
    device: int
    inode: int
    size: int
    modified_ns: int
    former: bytes | None = None
    sha256: str | None = None
