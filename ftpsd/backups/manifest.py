"""
The list of one backup: a line of JSON for each file and directory, between a first and a last line.

The last line has the SHA-256 of all before it: a list that is cut off, or was changed by chance, is refused. It has the
names of owners, and the signature of the server that made the list, over all of it: for lists that others could change
on purpose. Nothing is in a backup but what is in its list, which is written when all else is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ftpsd.backups.list_signatures import is_signed_by, shown_key, sign

FORMAT: Final = 2
# Lists of the first one have neither names of owners nor a signature.
READABLE: Final = (1, FORMAT)
# Bytes of one line: PATH_MAX as JSON, and attributes of a file.
LONGEST_LINE: Final = 256 * 1024


class Damaged(Exception):
    """A backup that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """
    The facts of a backup as a whole; *moment* is a Unix time: all of before it is in the backup.

    *sequence* counts the backups of one place; 0 is unknown.
    """

    name: str
    moment: float
    host: str
    version: str
    has_keys: bool
    sequence: int = 0
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Owners:
    """The names of the users and groups of the machine, by their numbers, as far as they have some."""

    users: dict[int, str] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Item:
    """
    One file or directory: *names* below *root*, a path of the machine. *part*: "config", "keys", "state" or "homes".

    *inode* and *changed_ns* tell the next backup that a file is still the same one.
    """

    part: str
    root: str
    names: tuple[str, ...]
    kind: str
    mode: int
    uid: int
    gid: int
    modified_ns: int
    size: int = 0
    sha256: str = ""
    inode: int = 0
    changed_ns: int = 0
    target: str = ""
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Return where it belongs."""
        return "/".join((self.root.rstrip("/"), *self.names)) or "/"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of a list; *signer* is the key that has signed it ("ed25519:…"), None for none."""

    header: Header
    items: list[Item]
    owners: Owners
    signer: str | None


class ManifestWriter:
    """Writes a list to *stream*, signed with *key*."""

    def __init__(self, stream: BinaryIO, header: Header, key: Ed25519PrivateKey | None) -> None:
        self._stream = stream
        self._key = key
        self._sum = hashlib.sha256()
        self._count = 0
        self._write(asdict(header))

    def add(self, item: Item) -> None:
        """Add *item*."""
        self._count += 1
        self._write(asdict(item))

    def end(self, owners: Owners) -> None:
        """Close the list; without it nothing counts."""
        last: dict[str, Any] = {"items": self._count, "sha256": self._sum.hexdigest(), **asdict(owners)}
        if self._key is not None:
            last["signer"] = shown_key(self._key.public_key())
            last["signature"] = sign(self._key, _line(last))
        self._stream.write(_line(last))
        self._stream.flush()

    def _write(self, value: dict[str, Any]) -> None:
        line = _line(value)
        self._sum.update(line)
        self._stream.write(line)


def read_manifest(stream: BinaryIO) -> Manifest:
    """Return what the list in *stream* says; a signature in it is a good one. Raises: Damaged."""
    lines = _lines(stream)
    total = hashlib.sha256()
    try:
        first = next(lines)
        total.update(first)
        values = json.loads(first)
        if values.get("format") not in READABLE:
            raise Damaged(f"it has the format {values.get('format')}, of another version of ftpsd")
        header = Header(**values)
        items: list[Item] = []
        for line in lines:
            values = json.loads(line)
            if "items" in values:
                if (values["items"], values["sha256"]) != (len(items), total.hexdigest()) or next(lines, None):
                    raise Damaged("its list was changed")
                return Manifest(header, items, _owners(values), _signer(values))
            total.update(line)
            items.append(_item(values))
    except (StopIteration, ValueError, TypeError, KeyError, AttributeError):
        raise Damaged("its list cannot be read") from None
    raise Damaged("its list has no end: the backup was not finished")


def _owners(last: dict[str, Any]) -> Owners:
    users, groups = (
        {int(number): str(name) for number, name in last.get(kind, {}).items()} for kind in ("users", "groups")
    )
    return Owners(users, groups)


def _signer(last: dict[str, Any]) -> str | None:
    signature = last.pop("signature", None)
    if signature is None:
        return None
    signer = str(last["signer"])
    # Numbers of JSON keys are text already, so this is the line as it was signed.
    if not is_signed_by(signer, str(signature), _line(last)):
        raise Damaged("its list was changed: the signature is not one of it")
    return signer


def _item(values: dict[str, Any]) -> Item:
    item = Item(**{**values, "names": tuple(values["names"])})
    if any(name in ("", ".", "..") or "/" in name or "\0" in name for name in item.names) or item.root[:1] != "/":
        raise Damaged("its list names files that no backup has")
    return item


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    while line := stream.readline(LONGEST_LINE):
        yield line
