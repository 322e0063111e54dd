"""
Dialogues: lines of commands in any order, with any arguments, and the replies that a client may expect.

A line of a dialogue is one command that is answered by exactly one final reply, whatever is in it. Noise is everything
else: bytes that no client would send, behind which the server only has to live.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from ftpsd.commands import TABLE
from ftpsd.control.dispatch import FOREIGN_VERBS
from tests.fuzz.mutations import PIECES, mutated

# Verbs that begin another protocol, end the session or wait a second for each failure, and those answered at once.
APART = {"AUTH", "CCC", "QUIT", "PASS", "ACCT", "ABOR", "STAT", "HOST"}
VERBS = sorted({command.verb for command in TABLE} - APART)
INTERRUPTS = ("ABOR", "STAT", "STAT /", "STAT big")
# A command that is answered by its own codes in every state.
ANCHORS = {"SYST": {"215", "530"}, "NOOP": {"200", "530"}, "MODE Q": {"504", "501", "530"}}
NAMES = (
    *("small", "big", "dir", "dir/inner", "new", "a b", "é", "nothing", "/", "..", "../canary/secret", "/../../canary"),
    *("dir/../../canary/secret", ".", "-la", "-a dir", "*", "*.txt", "[a-z]*", "~", "%2e%2e/canary", "link", "a" * 300),
    *("small ../canary/new", "/small /new", '"small" "new"', "x" * 4000, "dir//inner", "", " ", "small/inner"),
)
NUMBERS = ("0", "1", "-1", "5", "99999999", "9223372036854775807", "18446744073709551616", "1 5", "5 1", "x", "0 0")
WORDS = (
    *("A", "I", "E", "L 8", "N", "A N", "F", "R", "P", "S", "B", "C", "Z", "UTF8 ON", "UTF8 OFF", "MLST size;modify;"),
    *("HASH SHA-256", "HELP", "CPFR small", "CPTO new", "UTIME 20240229235959 small", "CHMOD 600 small", "SYMLINK a b"),
    *("127,0,0,1,0,1", "127,0,0,1,255,255", "|1|127.0.0.1|1|", "|1|127.0.0.1|65535|", "|2|::1|5000|", "ALL", "1", "2"),
    *("20240229235959 small", "modify=20240229235959; small", "EN", "SHA-256", "localhost", "[::1]", "%s%n", "$(id)"),
)
ENDS = ("221", "421", "500", "530")


def command(chance: Random) -> bytes:
    """Return one command without its end: mostly a verb of the table, with an argument that fits or does not."""
    verb = chance.choice(VERBS)
    if chance.random() < 0.1:
        verb = chance.choice(("XXXX", "N" * 40, verb + "X", verb[:2], verb.lower(), "éé", "1"))
    argument = chance.choice(chance.choice((NAMES, NAMES, NUMBERS, WORDS)))
    line = f"{verb} {argument}" if chance.random() < 0.85 else verb
    data = line.encode(chance.choice(("utf-8", "utf-8", "latin-1")), "replace")
    if chance.random() < 0.2:
        data = mutated(chance, data)
    # One line is one command: neither ends of lines nor Telnet codes, and no spaces or NULs that would leave it empty.
    data = data.translate(None, b"\r\n\xff\0")[:4000].lstrip(b" \xf2")
    verb = data.split(b" ")[0].decode("latin-1").upper()
    return b"NOOP" if not data or verb in APART | FOREIGN_VERBS or verb.endswith(":") else data


def dialogue(chance: Random, most: int = 14) -> list[bytes]:
    """Return the lines of a dialogue, with anchors among them."""
    lines = [command(chance) for _ in range(chance.randint(1, most))]
    for _ in range(chance.randint(1, 3)):
        lines.insert(chance.randint(0, len(lines)), chance.choice(list(ANCHORS)).encode())
    return lines


def noise(chance: Random) -> bytes:
    """Return what no client sends: damaged dialogues, Telnet, lines without an end, other protocols."""
    whole = b"\r\n".join(dialogue(chance)) + b"\r\n"
    kind = chance.randrange(6)
    if kind == 0:
        return chance.randbytes(chance.randint(1, 3000))
    if kind == 1:
        return b"".join(chance.choice((*PIECES, b"NOOP\r\n", b"AUTH TLS\r\n", b"ABOR\r\n")) for _ in range(60))
    if kind == 2:
        return whole + b"A" * chance.randint(4000, 9000) + chance.choice((b"", b"\r\n", b"\n"))
    if kind == 3:
        return (
            chance.choice((b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"EHLO x\r\n", b"SSH-2.0-x\r\n"))
            + whole
        )
    return mutated(chance, mutated(chance, whole, PIECES), PIECES)


def check_replies(lines: Sequence[bytes], replies: Sequence[str], *, is_in_order: bool, has_ended: bool) -> None:
    """
    Check the final *replies* to *lines*: one for each, anchors by their own, and nothing of the daemon's inside.

    A session that *has_ended* may have left lines unanswered, behind a reply that said so.
    """
    told = f"{lines!r} -> {replies!r}"
    assert len(replies) == len(lines) or (has_ended and replies and replies[-1] in ENDS), told
    assert len(replies) <= len(lines), told
    if is_in_order:
        for line, code in zip(lines, replies, strict=False):
            wanted = ANCHORS.get(line.decode("latin-1"))
            assert wanted is None or code in wanted or code in ("421", "500"), f"{line!r}: {code} in {told}"
