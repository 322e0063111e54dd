"""
The layout of a sealed file: a header of fixed length, then segments, each encrypted by itself.

    header    magic (8), slot (92), slot (92)
    slot      id of the master key (8), id of the data key (16), length of the plaintext (8), nonce (12),
              the file's own key and its tag (48); all zero when unused
    segment   nonce (12), ciphertext (65,536, in the last segment 1 to 65,536), tag (16)

Sizes follow from the length alone, so a listing needs no file opened. Numbers are big-endian.
"""

from __future__ import annotations

from typing import Final

MAGIC: Final = b"FTPSD\x01\xe5\n"
ID: Final = 8
DATA_KEY_ID: Final = 16
NONCE: Final = 12
TAG: Final = 16
KEY: Final = 32
SLOT: Final = ID + DATA_KEY_ID + 8 + NONCE + KEY + TAG
HEADER: Final = len(MAGIC) + 2 * SLOT

# Bytes of plaintext. One read of a random byte decrypts so many; each costs 28 bytes of room, 0.04 %.
SEGMENT: Final = 64 << 10
OVERHEAD: Final = NONCE + TAG
STORED_SEGMENT: Final = SEGMENT + OVERHEAD

# The length of a file that is still growing.
GROWING: Final = (1 << 64) - 1
# 2^32 random nonces for one key are what NIST SP 800-38D, 8.3, allows: 256 TiB, above all file systems.
MOST_SEGMENTS: Final = 1 << 32


def length_of(stored: int) -> int:
    """Return how many bytes of plaintext a file of *stored* bytes holds."""
    segments, rest = divmod(max(0, stored - HEADER), STORED_SEGMENT)
    return segments * SEGMENT + max(0, rest - OVERHEAD)


def stored_for(length: int) -> int:
    """Return how many bytes a growing file with *length* bytes of plaintext has."""
    if not length:
        return 0
    segments, rest = divmod(length, SEGMENT)
    return HEADER + segments * STORED_SEGMENT + (rest + OVERHEAD if rest else 0)


def stored_whole(length: int) -> int:
    """Return how many bytes a whole file has: of an empty one there is the header, so that it cannot be cut to it."""
    return stored_for(length) or HEADER


def place_of(segment: int) -> int:
    """Return the offset on the disk of the segment with that number."""
    return HEADER + segment * STORED_SEGMENT
