"""Mutations of bytes, as fuzzers make them: flips, cuts, copies, lengths, and pieces of other inputs."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

# Stumbling blocks of parsers: ends of lines, NUL, Telnet, quotes, UTF-8 that is none, numbers at a border.
PIECES = (
    *(b"\0", b"\r", b"\n", b"\r\n", b"\xff", b"\xff\xff", b"\xff\xf4", b"\xff\xfb", b"\x7f", b"\x85", b"\x1b[2J"),
    *(b"..", b"/", b"//", b"/../", b"~", b"%", b"%00", b"*", b"?", b"[", b"]", b"**", b'"', b'""', b"'", b"\\", b"$"),
    *(b"\xc3", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", "é".encode(), "e\u0301".encode()),
    *(b"0", b"-1", b"00", b"65535", b"65536", b"4294967296", b"9223372036854775808", b"1e9", b"nan", b"0x10"),
    *(b"|", b",", b":", b";", b"=", b"-", b" ", b"  ", b"\t", b"#", b"&a", b"*a", b"!!python/object", b"{", b"}"),
)
MOST = 8192


def mutated(chance: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return *data* after one to eight mutations; *others* lend pieces."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randint(0, len(made))
        end = min(len(made), at + chance.randint(0, 12))
        match chance.randrange(8):
            case 0 if made:
                made[chance.randrange(len(made))] ^= 1 << chance.randrange(8)
            case 1 if made:
                made[chance.randrange(len(made))] = chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, chance.randrange(256)))
            case 2:
                del made[at:end]
            case 3:
                made[at:at] = chance.choice(PIECES)
            case 4:
                made[at:end] = made[at:end] * chance.choice((2, 3, 50))
            case 5 if others:
                other = chance.choice(others)
                begin = chance.randint(0, len(other))
                made[at:end] = other[begin : begin + chance.randint(0, 40)]
            case 6:
                made[at:end] = chance.randbytes(end - at)
            case _:
                del made[at:]
    return bytes(made[:MOST])


def cut(chance: Random, data: bytes) -> list[bytes]:
    """Return *data* in pieces, as a network might."""
    places = sorted(chance.randint(0, len(data)) for _ in range(chance.randint(0, 6)))
    return [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True)]
