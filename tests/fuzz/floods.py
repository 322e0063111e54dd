"""
Floods of TLS records, made by chance: KeyUpdates, hellos of refused renegotiations, empty records, alerts, records of
one byte, and handshakes that stop in the middle.
"""

from __future__ import annotations

from random import Random

from tests.records import ALERT, DATA, HANDSHAKE, WARNING, Sealer

# change_cipher_spec, which TLS 1.3 lets pass in a handshake and nowhere else.
CHANGE_CIPHER_SPEC = b"\x14\x03\x03\x00\x01\x01"
MOST_RECORDS = 400


def sealed(chance: Random, sealer: Sealer, useful: bytes) -> bytes:
    """Return records under the keys of *sealer*, among them perhaps some that say *useful*."""
    kinds = chance.sample(range(7), chance.randint(1, 4))
    return b"".join(
        _record(chance, sealer, chance.choice(kinds), useful) for _ in range(chance.randint(1, MOST_RECORDS))
    )


def _record(chance: Random, sealer: Sealer, kind: int, useful: bytes) -> bytes:
    match kind:
        case 0:
            return sealer.empty_handed()
        case 1:
            return sealer.data(b"")
        case 2:
            return sealer.seal(ALERT, WARNING)
        case 3:
            return sealer.data(useful)
        case 4:
            at = chance.randrange(len(useful))
            return sealer.data(useful[at : at + 1])
        case 5:
            return sealer.seal(HANDSHAKE, chance.randbytes(chance.randint(1, 60)))
        case _:
            return sealer.seal(chance.choice((DATA, ALERT, HANDSHAKE, 24, 0)), chance.randbytes(chance.randint(0, 40)))


def half_handshake(chance: Random, hello: bytes) -> bytes:
    """Return the beginning of a handshake that leads nowhere: a hello that is cut, repeated, damaged or in pieces."""
    message = hello[5:]
    match chance.randrange(6):
        case 0:
            return hello[: chance.randint(1, len(hello) - 1)]
        case 1:
            return hello * chance.randint(2, 5)
        case 2:
            size = chance.randint(1, 60)
            parts = (message[at : at + size] for at in range(0, len(message), size))
            return b"".join(hello[:3] + len(part).to_bytes(2, "big") + part for part in parts)
        case 3:
            return hello + CHANGE_CIPHER_SPEC * chance.randint(1, 200)
        case 4:
            return b"\x16\x03\x01\x00\x00" * chance.randint(1, 300) + hello
        case _:
            damaged = bytearray(hello)
            for _ in range(chance.randint(1, 6)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            return bytes(damaged)
