"""
A line of the chained audit log: its number, the hash of the line before it, and the signature of a checkpoint.

    {"time":…,"event":…,…,"seq":17,"prev":"<64 hex digits>"}
    {"time":…,"event":"audit-checkpoint",…,"seq":18,"prev":"<64 hex digits>","signature":"<base64>"}

* The three are the last keys of a line, in this order and spelling. `seq` counts the lines of the log, over all of its
  files, from 1.
* `prev` is the SHA-256 of the exact bytes of the line before, its line end with them: `sed -n 16p FILE | sha256sum`.
  The first line of all has 64 zeros.
* `signature` is Ed25519 over the bytes of the line in front of `,"signature"`. These hold `prev`, and so all lines
  before.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ftpsd.audit.jsonline import format_time

CHECKPOINT: Final = "audit-checkpoint"
SEGMENT: Final = "audit-segment"
TORN: Final = "audit-torn"
LOST: Final = "audit-lost"
# The reasons of a checkpoint.
INTERVAL: Final = "interval"
ROTATED: Final = "rotated"
STOPPED: Final = "stopped"

# Bytes. A line of ours has some thousands: every text in it is bounded.
MAX_LINE: Final = 1 << 20
_SIGNATURE: Final = b',"signature":"'
# Bytes of the last three keys at most.
_LONGEST_END: Final = 256
_END: Final = re.compile(
    rb',"seq":([1-9][0-9]{0,17}),"prev":"([0-9a-f]{64})"(?:,"signature":"([A-Za-z0-9+/]{86}==)")?\}\n\Z'
)


@dataclass(frozen=True, slots=True)
class Head:
    """The last line of a chain: its number, and its digest in hexadecimal."""

    seq: int
    digest: str


NOTHING: Final = Head(0, "0" * 64)
"""The head of a chain without a line."""


@dataclass(frozen=True, slots=True)
class Link:
    """The place of a line in the chain, as the line itself has it."""

    seq: int
    prev: str
    signature: bytes | None

    def follows(self, head: Head) -> bool:
        """Return whether this is the line behind *head*."""
        return self.seq == head.seq + 1 and self.prev == head.digest


def digest(line: bytes) -> str:
    """Return the SHA-256 of *line*, with its line end, in hexadecimal."""
    return hashlib.sha256(line).hexdigest()


def link_of(line: bytes) -> Link | None:
    """Return the place of *line*, None for a line that is no part of a chain."""
    found = _END.search(line, max(0, len(line) - _LONGEST_END))
    if found is None:
        return None
    return Link(int(found[1]), found[2].decode("ascii"), None if found[3] is None else b64decode(found[3]))


def head_of(line: bytes) -> Head | None:
    """Return *line* as the head of its chain, None for a line that is no part of one."""
    link = link_of(line)
    return None if link is None else Head(link.seq, digest(line))


def link(line: bytes, head: Head) -> tuple[bytes, Head]:
    """Return *line* as the one behind *head*, and the head it is."""
    linked = b'%b,"seq":%d,"prev":"%b"}\n' % (line[:-2], head.seq + 1, head.digest.encode("ascii"))
    return linked, Head(head.seq + 1, digest(linked))


def sign(line: bytes, key: Ed25519PrivateKey) -> bytes:
    """Return *line*, which is linked, with its signature."""
    signed = line[:-2]
    return b'%b%b%b"}\n' % (signed, _SIGNATURE, b64encode(key.sign(signed)))


def is_signed_by(line: bytes, key: Ed25519PublicKey) -> bool:
    """Return whether the signature of *line* is one of *key*."""
    link = link_of(line)
    if link is None or link.signature is None:
        return False
    try:
        key.verify(link.signature, line[: line.rindex(_SIGNATURE)])
    except InvalidSignature:
        return False
    return True


def name_of(key: Ed25519PublicKey) -> str:
    """Return the name of *key* in the lines it signs: the SHA-256 of its DER form."""
    return "sha256:" + hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def own_line(event: str, seconds: float, **fields: str | int) -> bytes:
    """Return a line of the log about the log itself, not linked yet."""
    text = json.dumps({"time": format_time(seconds), "event": event, **fields}, separators=(",", ":"))
    return text.encode("ascii") + b"\n"


def read_line(line: bytes) -> dict[str, Any] | None:
    """Return the fields of *line*, None when it is no line of an audit log."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None
