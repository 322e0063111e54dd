"""
The list of one backup: a line of JSON for each file and directory, between a first and a last line.

The last line has the SHA-256 of all before it: a list that is cut off, or was changed, is refused. Nothing is in a
backup but what is in its list, which is written when all else is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO, Final

FORMAT: Final = 1
# Bytes of one line: PATH_MAX as JSON, and attributes of a file.
LONGEST_LINE: Final = 256 * 1024


class Damaged(Exception):
    """A backup that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """What is said of a backup as a whole; *moment* is a Unix time: all of before it is in the backup."""

    name: str
    moment: float
    host: str
    version: str
    has_keys: bool
    format: int = FORMAT


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


class ManifestWriter:
    """Writes a list to *stream*."""

    def __init__(self, stream: BinaryIO, header: Header) -> None:
        self._stream = stream
        self._sum = hashlib.sha256()
        self._count = 0
        self._write(asdict(header))

    def add(self, item: Item) -> None:
        """Add *item*."""
        self._count += 1
        self._write(asdict(item))

    def end(self) -> None:
        """Close the list; without it nothing counts."""
        self._stream.write(_line({"items": self._count, "sha256": self._sum.hexdigest()}))
        self._stream.flush()

    def _write(self, value: dict[str, Any]) -> None:
        line = _line(value)
        self._sum.update(line)
        self._stream.write(line)


def read_manifest(stream: BinaryIO) -> tuple[Header, list[Item]]:
    """Return what the list in *stream* says. Raises: Damaged."""
    lines = _lines(stream)
    total = hashlib.sha256()
    try:
        first = next(lines)
        total.update(first)
        values = json.loads(first)
        if values.get("format") != FORMAT:
            raise Damaged(f"it has the format {values.get('format')}, of another version of ftpsd")
        header = Header(**values)
        items: list[Item] = []
        for line in lines:
            values = json.loads(line)
            if "items" in values:
                if values != {"items": len(items), "sha256": total.hexdigest()} or next(lines, None) is not None:
                    raise Damaged("its list was changed")
                return header, items
            total.update(line)
            items.append(_item(values))
    except (StopIteration, ValueError, TypeError, KeyError, AttributeError):
        raise Damaged("its list cannot be read") from None
    raise Damaged("its list has no end: the backup was not finished")


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
