"""
The first record of a TLS client: what it offers and asks for (RFC 8446, 4.1.2; RFC 6066, 3; RFC 5077, 3.2; RFC 7301).

Only the fields that decide something are read, and nothing is believed: a record that is not a whole, plain ClientHello
offers nothing, and the TLS library then reports what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

HEADER = 5
_HANDSHAKE = 22
_CLIENT_HELLO = 1
# type, length, legacy_version and random
_BEFORE_SESSION_ID = 1 + 3 + 2 + 32

_SERVER_NAME = 0
_PROTOCOLS = 16
_TICKET = 35
_PRE_SHARED_KEY = 41
_SUPPORTED_VERSIONS = 43

TLS_1_2 = 0x0303
TLS_1_3 = 0x0304


@dataclass(frozen=True, slots=True)
class ClientHello:
    """
    The first message of a client: the *versions* it offers, the *server_name* and the application *protocols* it asks
    for.

    *ticket* is the session ticket of TLS 1.2 that it presents, empty when it only asks for one, None when it knows no
    tickets. *identity* is the first session ticket of TLS 1.3 that it presents, empty for none. *protocols* is None
    where it names none. *record* is all of it, as it came.
    """

    versions: frozenset[int] = frozenset()
    server_name: str | None = None
    ticket: bytes | None = None
    identity: bytes = b""
    protocols: tuple[bytes, ...] | None = None
    record: bytes = b""


# The reading of a record that is not a whole ClientHello.
NOTHING = ClientHello()


def record_length(beginning: bytes) -> int | None:
    """Return the length of the record that begins so, with its header of five bytes; None when it is no handshake."""
    if len(beginning) < HEADER or beginning[0] != _HANDSHAKE:
        return None
    return HEADER + int.from_bytes(beginning[3:HEADER])


def client_hello(record: bytes) -> ClientHello:
    """Return what the ClientHello in *record* says; `NOTHING` for a record that is incomplete or no hello."""
    length = record_length(record)
    if length is None or len(record) < length:
        return NOTHING
    hello = record[HEADER:length]
    if len(hello) < _BEFORE_SESSION_ID or hello[0] != _CLIENT_HELLO:
        return NOTHING
    if len(hello) != 4 + int.from_bytes(hello[1:4]):
        return NOTHING
    try:
        found = _extensions(hello)
        return ClientHello(
            versions=_versions(found.get(_SUPPORTED_VERSIONS), legacy=int.from_bytes(hello[4:6])),
            server_name=_server_name(found.get(_SERVER_NAME)),
            ticket=found.get(_TICKET),
            identity=_identity(found.get(_PRE_SHARED_KEY)),
            protocols=_protocols(found.get(_PROTOCOLS)),
            record=record[:length],
        )
    except IndexError:
        return NOTHING


def _extensions(hello: bytes) -> Mapping[int, bytes]:
    """Return the extensions of *hello* by their type. Raises: IndexError for lengths that lead outside, and twins."""
    at = _behind(hello, _BEFORE_SESSION_ID, 1)  # session id
    at = _behind(hello, at, 2)  # cipher suites
    at = _behind(hello, at, 1)  # compression methods
    found: dict[int, bytes] = {}
    if at == len(hello):
        return found
    end = _behind(hello, at, 2)
    at += 2
    while at < end:
        kind = int.from_bytes(hello[at : at + 2])
        following = _behind(hello, at + 2, 2)
        if kind in found or following > end:
            raise IndexError
        found[kind] = hello[at + 4 : following]
        at = following
    return found


def _versions(listed: bytes | None, legacy: int) -> frozenset[int]:
    """Return the versions of supported_versions, and the *legacy* one where that extension is missing."""
    if listed is None:
        return frozenset({legacy})
    return frozenset(int.from_bytes(listed[i : i + 2]) for i in range(1, len(listed) - 1, 2))


def _server_name(extension: bytes | None) -> str | None:
    """Return the name of server_name, one of ASCII (RFC 6066, 3). Raises: IndexError for any other form."""
    if extension is None:
        return None
    # Length of the list, type 0 for host_name, length of the name: a list of one, as no other type was ever defined.
    name = extension[5:]
    if not name or extension[2:3] != b"\0" or _behind(extension, 0, 2) != len(extension):
        raise IndexError
    if _behind(extension, 3, 2) != len(extension):
        raise IndexError
    return name.decode("ascii") if name.isascii() else None


def _identity(extension: bytes | None) -> bytes:
    """Return the first identity of pre_shared_key (RFC 8446, 4.2.11). Raises: IndexError for one that leads outside."""
    return b"" if extension is None else extension[4 : _behind(extension, 2, 2)]


def _protocols(extension: bytes | None) -> tuple[bytes, ...] | None:
    """Return the names of ALPN. Raises: IndexError for a list that is not well formed."""
    if extension is None:
        return None
    if _behind(extension, 0, 2) != len(extension):
        raise IndexError
    names = []
    at = 2
    while at < len(extension):
        following = _behind(extension, at, 1)
        names.append(extension[at + 1 : following])
        at = following
    return tuple(names)


def _behind(data: bytes, at: int, size: int) -> int:
    """Return where the field ends whose length stands *at*, in *size* bytes. Raises: IndexError outside of *data*."""
    end = at + size + int.from_bytes(data[at : at + size])
    if at + size > len(data) or end > len(data):
        raise IndexError
    return end
