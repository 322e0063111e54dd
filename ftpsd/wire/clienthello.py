"""
The first message of a TLS client: what it offers and asks for (RFC 8446, 4.1.2; RFC 6066, 3; RFC 5077, 3.2; RFC 7301).

Only the fields that decide something are read, and nothing is believed: bytes that are not a whole, plain ClientHello
offer nothing, and the TLS library then reports what is wrong with them.

A hello may come in several records (RFC 8446, 5.1): one with keys against quantum computers has 1.5 KB, and boxes on
the way cut it up. One of very many records is refused: OpenSSL would read 131,396 of one byte each in one call, 0.1 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

HEADER = 5
# The most a record may hold (RFC 8446, 5.1), and the longest hello that is taken.
RECORD = 16 * 1024
# A hello of 1.5 KB in packets of 64 bytes has 24.
MOST_RECORDS = 32
# The first of what a client may say that counts as one hello.
MOST_PEEKED = RECORD + MOST_RECORDS * HEADER

_HANDSHAKE = b"\x16"
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
    where it names none. *records* are all of it, as it came. *is_refused*: it is longer, or cut into more records, than
    any client's.
    """

    versions: frozenset[int] = frozenset()
    server_name: str | None = None
    ticket: bytes | None = None
    identity: bytes = b""
    protocols: tuple[bytes, ...] | None = None
    records: bytes = b""
    is_refused: bool = False


# The reading of bytes that are not a whole ClientHello.
NOTHING = ClientHello()
REFUSED = ClientHello(is_refused=True)


def client_hello(data: bytes) -> ClientHello:
    """Return what the ClientHello at the beginning of *data* says; `NOTHING` for an incomplete one, or no hello."""
    found = read_hello(data)
    return found if isinstance(found, ClientHello) else NOTHING


def read_hello(data: bytes) -> ClientHello | int:
    """Return the reading of the records in *data*; for an incomplete hello the least number of bytes to read on."""
    message = b""
    at = 0
    for _ in range(MOST_RECORDS):
        if data[at : at + 1] not in (b"", _HANDSHAKE):
            return NOTHING
        if len(data) < at + HEADER:
            return at + HEADER
        end = at + HEADER + int.from_bytes(data[at + 3 : at + HEADER])
        if not at + HEADER < end <= at + HEADER + RECORD:
            return NOTHING
        if len(data) < end:
            return end
        message += data[at + HEADER : end]
        at = end
        if message[0] != _CLIENT_HELLO:
            return NOTHING
        if len(message) < 4:
            continue
        missing = 4 + int.from_bytes(message[1:4]) - len(message)
        if len(message) + missing > RECORD:
            return REFUSED
        if missing <= 0:
            return _read(message, data[:at]) if missing == 0 else NOTHING
    return REFUSED


def _read(hello: bytes, records: bytes) -> ClientHello:
    if len(hello) < _BEFORE_SESSION_ID:
        return NOTHING
    try:
        found = _extensions(hello)
        return ClientHello(
            versions=_versions(found.get(_SUPPORTED_VERSIONS), legacy=int.from_bytes(hello[4:6])),
            server_name=_server_name(found.get(_SERVER_NAME)),
            ticket=found.get(_TICKET),
            identity=_identity(found.get(_PRE_SHARED_KEY)),
            protocols=_protocols(found.get(_PROTOCOLS)),
            records=records,
        )
    except IndexError:
        return NOTHING


def _extensions(hello: bytes) -> Mapping[int, bytes]:
    """
    Return the extensions of *hello* by their type. Raises: IndexError for lengths that lead outside, and twins.

    Plain arithmetic on bytes, as every data connection begins with it: a call for each field took three times as long.
    """
    at = _BEFORE_SESSION_ID
    at += 1 + hello[at]  # session id
    at += 2 + (hello[at] << 8 | hello[at + 1])  # cipher suites
    at += 1 + hello[at]  # compression methods
    found: dict[int, bytes] = {}
    if at == len(hello):
        return found
    end = at + 2 + (hello[at] << 8 | hello[at + 1])
    if end > len(hello):
        raise IndexError
    at += 2
    while at < end:
        kind = hello[at] << 8 | hello[at + 1]
        following = at + 4 + (hello[at + 2] << 8 | hello[at + 3])
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
