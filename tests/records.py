"""
TLS records that no library sends on request: KeyUpdates without end, and hellos of renegotiations.

A `RawClient` does the handshake with the `ssl` module, learns the keys from its key log, and seals records itself from
there on. AES-GCM only, which is what ftpsd prefers.
"""

from __future__ import annotations

import hmac
import socket
import ssl
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.tlsclient import Client

ALERT, HANDSHAKE, DATA = 21, 22, 23
# The hello of a client that can do one suite, without extensions.
_BODY = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\xc0\x2f" + b"\x01\x00" + b"\x00\x00"
HELLO = b"\x01" + len(_BODY).to_bytes(3, "big") + _BODY
KEY_UPDATE = b"\x18\x00\x00\x01\x00"
WARNING = b"\x01\x5a"  # user_canceled
# Where the random of either side is in its first record.
RANDOM = slice(11, 43)


class RawClient:
    """
    A client on *sock* that has done its handshake; *context* writes the key log *keys*.

    Whatever it still says through the `ssl` module, it has to say before it seals its first record.
    """

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, keys: Path, session: ssl.SSLSession | None = None
    ) -> None:
        self.sock = sock
        self.tls = Client(context, session, None)
        self._keys = keys
        self._written = 0
        self._hello = to_server = self.tls.take(b"")
        self._answer = b""
        while not self.tls.is_shaken:
            sock.sendall(to_server)
            heard = sock.recv(65536)
            assert heard, "the server has hung up"
            self._answer += heard
            to_server = self.tls.take(heard)
        sock.sendall(to_server)

    def ask(self, line: str) -> str:
        """Send a command as a library does and return what the server says next, all of its lines."""
        self.sock.sendall(self.tls.write(line.encode() + b"\r\n"))
        self._written += 1
        return self.reply()

    def reply(self) -> str:
        """Return what the server says next."""
        said = b""
        while not said.endswith(b"\r\n"):
            heard = self.sock.recv(65536)
            assert heard, "the server has hung up"
            said += self.tls.read(heard)
        return said.decode()

    def sealer(self) -> Sealer:
        """Return what seals the records from here on."""
        suite = self.tls.tls.cipher()
        assert suite is not None
        digest = "sha384" if "SHA384" in suite[0] else "sha256"
        size = 32 if digest == "sha384" else 16
        random = self._hello[RANDOM]
        if self.tls.tls.version() == "TLSv1.3":
            return Sealer13(digest, size, self._secret("CLIENT_TRAFFIC_SECRET_0", random), self._written)
        seed = b"key expansion" + self._answer[RANDOM] + random
        block = _expand_1_2(digest, self._secret("CLIENT_RANDOM", random), seed, 2 * size + 8)
        # The first record under this key was Finished.
        return Sealer12(block[:size], block[2 * size : 2 * size + 4], self._written + 1)

    def _secret(self, label: str, random: bytes) -> bytes:
        for line in self._keys.read_text().splitlines():
            if line.startswith(f"{label} {random.hex()} "):
                return bytes.fromhex(line.split()[2])
        raise AssertionError(f"no {label} in the key log")


class Sealer:
    """Makes the records of one direction, in order."""

    def seal(self, kind: int, data: bytes) -> bytes:
        """Return the record that says *data*."""
        raise NotImplementedError

    def empty_handed(self) -> bytes:
        """Return a record that brings no data: a KeyUpdate, or the hello of a renegotiation."""
        raise NotImplementedError

    def data(self, data: bytes) -> bytes:
        """Return a record of application data."""
        return self.seal(DATA, data)


class Sealer13(Sealer):
    """Records of TLS 1.3 (RFC 8446, 5.2)."""

    def __init__(self, digest: str, size: int, secret: bytes, number: int) -> None:
        self._digest = digest
        self._size = size
        self._use(secret, number)

    def seal(self, kind: int, data: bytes) -> bytes:
        """See `Sealer.seal`."""
        inner = data + bytes([kind])
        header = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
        sealed = self._key.encrypt((self._vector ^ self._number).to_bytes(12, "big"), inner, header)
        self._number += 1
        return header + sealed

    def empty_handed(self) -> bytes:
        """See `Sealer.empty_handed`; the next record is under the next key (RFC 8446, 7.2)."""
        record = self.seal(HANDSHAKE, KEY_UPDATE)
        self._use(self._expanded(b"traffic upd", len(self._secret)), 0)
        return record

    def _use(self, secret: bytes, number: int) -> None:
        self._secret = secret
        self._number = number
        self._key = AESGCM(self._expanded(b"key", self._size))
        self._vector = int.from_bytes(self._expanded(b"iv", 12), "big")

    def _expanded(self, label: bytes, size: int) -> bytes:
        """HKDF-Expand-Label, of one block (RFC 8446, 7.1)."""
        label = b"tls13 " + label
        info = size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\x00"
        return hmac.digest(self._secret, info + b"\x01", self._digest)[:size]


class Sealer12(Sealer):
    """Records of TLS 1.2 (RFC 5288)."""

    def __init__(self, key: bytes, salt: bytes, number: int) -> None:
        self._key = AESGCM(key)
        self._salt = salt
        self._number = number

    def seal(self, kind: int, data: bytes) -> bytes:
        """See `Sealer.seal`."""
        number = self._number.to_bytes(8, "big")
        head = bytes([kind]) + b"\x03\x03"
        sealed = self._key.encrypt(self._salt + number, data, number + head + len(data).to_bytes(2, "big"))
        self._number += 1
        return head + (len(sealed) + 8).to_bytes(2, "big") + number + sealed

    def empty_handed(self) -> bytes:
        """See `Sealer.empty_handed`."""
        return self.seal(HANDSHAKE, HELLO)


def _expand_1_2(digest: str, secret: bytes, seed: bytes, size: int) -> bytes:
    """P_hash (RFC 5246, 5)."""
    made, link = b"", seed
    while len(made) < size:
        link = hmac.digest(secret, link, digest)
        made += hmac.digest(secret, link + seed, digest)
    return made[:size]


def logging_context(authority: Path, version: ssl.TLSVersion, keys: Path) -> ssl.SSLContext:
    """Make the context of a client that speaks only *version* and writes its keys to *keys*."""
    context = ssl.create_default_context(cafile=str(authority))
    context.check_hostname = False
    context.minimum_version = context.maximum_version = version
    context.keylog_filename = str(keys)
    return context
