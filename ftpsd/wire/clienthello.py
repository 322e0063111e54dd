"""
The first record of a TLS client: which versions it offers (RFC 8446, 4.1.2 and 4.2.1).

Only what decides is read, and nothing is believed: whatever is not a whole, plain ClientHello offers nothing, and the
TLS library then says what is wrong with it.
"""

from __future__ import annotations

HEADER = 5
_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SUPPORTED_VERSIONS = 43
# type, length, legacy_version and random
_BEFORE_SESSION_ID = 1 + 3 + 2 + 32

TLS_1_2 = 0x0303
TLS_1_3 = 0x0304


def record_length(beginning: bytes) -> int | None:
    """Return the length of the record that begins so, with its header of five bytes; None when it is no handshake."""
    if len(beginning) < HEADER or beginning[0] != _HANDSHAKE:
        return None
    return HEADER + int.from_bytes(beginning[3:HEADER])


def offered_versions(record: bytes) -> frozenset[int]:
    """Return the versions that the ClientHello in *record* offers; none for what is not wholly there or no hello."""
    length = record_length(record)
    if length is None or len(record) < length:
        return frozenset()
    hello = record[HEADER:length]
    if len(hello) < _BEFORE_SESSION_ID or hello[0] != _CLIENT_HELLO:
        return frozenset()
    if len(hello) != 4 + int.from_bytes(hello[1:4]):
        return frozenset()
    legacy = int.from_bytes(hello[4:6])
    try:
        rest = _behind(hello, _BEFORE_SESSION_ID, 1)  # session id
        rest = _behind(hello, rest, 2)  # cipher suites
        rest = _behind(hello, rest, 1)  # compression methods
        if rest == len(hello):
            return frozenset({legacy})
        end = _behind(hello, rest, 2)
        at = rest + 2
        while at < end:
            kind = int.from_bytes(hello[at : at + 2])
            following = _behind(hello, at + 2, 2)
            if kind == _SUPPORTED_VERSIONS:
                listed = hello[at + 5 : following]
                return frozenset(int.from_bytes(listed[i : i + 2]) for i in range(0, len(listed) - 1, 2))
            at = following
    except IndexError:
        return frozenset()
    return frozenset({legacy})


def _behind(hello: bytes, at: int, size: int) -> int:
    """Return where the field ends whose length stands *at*, in *size* bytes. Raises: IndexError outside of *hello*."""
    end = at + size + int.from_bytes(hello[at : at + size])
    if at + size > len(hello) or end > len(hello):
        raise IndexError
    return end
