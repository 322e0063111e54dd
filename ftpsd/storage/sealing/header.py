"""
Headers: the file's own key, wrapped by a data key, and the length of the whole file, bound to each other.

* The wrapped key is bound (as GCM's additional data) to the magic, the ids of its keys and the length. A whole file
  says its length there, and a growing one that it grows: one that is cut or extended is not what its header says, and
  no upload that was broken off looks whole.
* There are two slots, so that another data key can wrap the file's key (`ftpsd rekey`) without a moment in which a
  crash would lose both: the free slot is written and synced before the used one is cleared. Either opens the file.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ftpsd.storage.sealing.ciphers import InvalidTag, seal, unseal
from ftpsd.storage.sealing.damage import DamagedError, Reason
from ftpsd.storage.sealing.layout import DATA_KEY_ID, GROWING, HEADER, ID, MAGIC, SLOT

_FIXED = struct.Struct(f">{ID}s{DATA_KEY_ID}sQ")
UNUSED = bytes(SLOT)
# A reader may see a header that is just being written by `ftpsd rekey`.
_LOOKS = 3


@dataclass(frozen=True, slots=True)
class DataKey:
    """A data key: *number* is its id, *holder* the directory whose files it opens, *master* the id of its own key."""

    number: bytes
    holder: str
    master: bytes
    wraps: AESGCM = field(repr=False)


class DataKeys(Protocol):
    """The data keys that the file of a tree may have been sealed with."""

    def find(self, number: bytes) -> DataKey:
        """Return the data key *number*. Raises: DamagedError."""


@dataclass(frozen=True, slots=True)
class Header:
    """An opened header: the file's own *key*; *length* is None while it grows, *used* the number of the slot."""

    key: bytes = field(repr=False)
    length: int | None
    data_key: DataKey
    used: int = 0


def pack_slot(key: bytes, length: int | None, data_key: DataKey) -> bytes:
    """Wrap the file's *key*."""
    fixed = _FIXED.pack(data_key.master, data_key.number, GROWING if length is None else length)
    return fixed + seal(data_key.wraps, key, MAGIC + fixed)


def pack(key: bytes, length: int | None, data_key: DataKey) -> bytes:
    """Return the header of a file."""
    return MAGIC + pack_slot(key, length, data_key) + UNUSED


def slots_of(raw: bytes) -> list[bytes]:
    """Return the two slots of the header *raw*. Raises: DamagedError for the beginning of any other file."""
    if len(raw) < HEADER or not raw.startswith(MAGIC):
        # Not enough for one: it was cut, or it never was ours.
        raise DamagedError(Reason.CUT if raw.startswith(MAGIC) or not raw else Reason.NOT_SEALED)
    start = len(MAGIC)
    return [raw[start : start + SLOT], raw[start + SLOT : start + 2 * SLOT]]


def open_header(fd: int, keys: DataKeys) -> Header:
    """Read and open the header of the file *fd*. Raises: DamagedError, OSError."""
    for _ in range(_LOOKS):
        try:
            return _opened(os.pread(fd, HEADER, 0), keys)
        except DamagedError as error:
            trouble = error
            if error.damage in (Reason.NOT_SEALED, Reason.FOREIGN):
                break
    raise trouble


def data_keys_of(raw: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield number, id of the master key and id of the data key of each used slot of the header *raw*."""
    for number, slot in enumerate(slots_of(raw)):
        if slot != UNUSED:
            master, data_key, _ = _FIXED.unpack_from(slot)
            yield number, master, data_key


def _opened(raw: bytes, keys: DataKeys) -> Header:
    trouble: DamagedError | None = None
    for number, slot in enumerate(slots_of(raw)):
        if slot == UNUSED:
            continue
        _, data_key, length = _FIXED.unpack_from(slot)
        try:
            found = keys.find(data_key)
            key = unseal(found.wraps, slot[_FIXED.size :], MAGIC + slot[: _FIXED.size])
        except DamagedError as error:
            trouble = trouble or error
        except InvalidTag:
            trouble = DamagedError(Reason.ALTERED, "the header")
        else:
            return Header(key, None if length == GROWING else length, found, number)
    raise trouble or DamagedError(Reason.ALTERED, "the header is empty")
