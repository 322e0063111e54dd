"""Master keys: the keys that the operator keeps, in named sets, the newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ftpsd.storage.sealing.ciphers import cipher, derived
from ftpsd.storage.sealing.layout import ID

_IDENTITY = b"ftpsd master key id 1"
_WRAPPING = b"ftpsd data key wrapping 1"


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A master key; its *number* follows from its bytes, so that another key in the same file is seen."""

    number: bytes
    wraps: AESGCM = field(repr=False, compare=False)

    @classmethod
    def of(cls, key: bytes) -> MasterKey:
        """Return that of the 32 bytes *key*."""
        return cls(derived(key, _IDENTITY, ID), cipher(derived(key, _WRAPPING)))


@dataclass(frozen=True, slots=True)
class KeySet:
    """The master keys of one name; new files are sealed under the first."""

    name: str
    keys: tuple[MasterKey, ...]

    @property
    def newest(self) -> MasterKey:
        """The key for new files."""
        return self.keys[0]


def key_sets(keys: Mapping[str, Sequence[bytes]]) -> dict[str, KeySet]:
    """Return the sets of the master keys by name."""
    return {name: KeySet(name, tuple(map(MasterKey.of, each))) for name, each in keys.items()}
