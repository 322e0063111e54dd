"""
The configuration as the supervisor has read it, for the processes under it.

They never read the files themselves: all of them serve the same configuration, and one that replaces another gets the
one that was last taken, even if the files have changed since. It lies in memory without a name (durable/byte_lock.py)
that only they have open, private key included.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
from contextlib import AbstractContextManager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from OpenSSL.crypto import X509, PKey

from ftpsd.config.parsing.document import Document
from ftpsd.durable.byte_lock import nameless_file
from ftpsd.service.load import Loaded
from ftpsd.tls.certificates import PrivateKey

_HEADER = struct.Struct("qq")


class Snapshot:
    """The configuration in the file *fd*; *lock* keeps readers out while it is replaced."""

    def __init__(self, fd: int, lock: AbstractContextManager[object]) -> None:
        self.fd = fd
        self._lock = lock

    @classmethod
    def create(cls, lock: AbstractContextManager[object]) -> Snapshot:
        """Make one that holds nothing yet."""
        return cls(nameless_file(_HEADER.size), lock)

    def write(self, loaded: Loaded) -> int:
        """Replace what it holds and return the number of this version; it counts from 1."""
        stream = io.BytesIO()
        # The supervisor has reported all complaints about it.
        _Pickler(stream, pickle.HIGHEST_PROTOCOL).dump(replace(loaded, warnings=()))
        data = stream.getvalue()
        with self._lock:
            version = self._header()[0] + 1
            os.pwrite(self.fd, _HEADER.pack(version, len(data)) + data, 0)
            os.ftruncate(self.fd, _HEADER.size + len(data))
        return version

    def read(self) -> tuple[int, Loaded]:
        """Return the number of the version and the configuration."""
        with self._lock:
            version, size = self._header()
            data = os.pread(self.fd, size, _HEADER.size)
        # Written by the process that started us, into memory that no other process can open.
        loaded: Loaded = pickle.loads(data)
        return version, loaded

    def _header(self) -> tuple[int, int]:
        version, size = _HEADER.unpack(os.pread(self.fd, _HEADER.size, 0))
        return version, size


class _Pickler(pickle.Pickler):
    """A pickler that knows the values of a configuration that pickle does not."""

    def reducer_override(self, value: Any) -> Any:
        """Return how *value* is made again."""
        match value:
            case MappingProxyType():
                return _read_only, (dict(value),)
            case Document():
                # Only complaints need the places in the file, and they have been made.
                return _nothing, ()
            case x509.Certificate():
                return _certificate, (value.public_bytes(Encoding.DER),)
            case X509():
                return _x509, (value.to_cryptography().public_bytes(Encoding.DER),)
            case PKey():
                return _pkey, (_der(value.to_cryptography_key()),)
        if isinstance(value, PrivateKey):
            return _key, (_der(value),)
        return NotImplemented


def _read_only(values: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(values)


def _nothing() -> None:
    return None


def _der(key: Any) -> bytes:
    data: bytes = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return data


def _certificate(data: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(data)


def _key(data: bytes) -> Any:
    # The supervisor has looked whether it is whole: 0.2 s for RSA of 4096 bits, twice for a pair, in each process.
    return load_der_private_key(data, None, unsafe_skip_rsa_key_validation=True)


def _x509(data: bytes) -> X509:
    return X509.from_cryptography(_certificate(data))


def _pkey(data: bytes) -> PKey:
    return PKey.from_cryptography_key(_key(data))
