"""
The text that servers send, read: replies, passive answers, MLSD, LIST. Pure, and believes nothing.

A name in a listing is one component, without control characters; every other entry is left out, for what comes from
another server becomes a path here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from ftpsd.partners.contact import Fault, PartnerError, RemoteFile
from ftpsd.values.text import has_control, one_line

LONGEST_REASON: Final = 200
_EPSV: Final = re.compile(r"\(([!-~])\1\1(\d{1,5})\1\)")
_PASV: Final = re.compile(r"(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3})")
# No file has more bytes than these; Python refuses to read a number of 5000 digits.
_SIZE: Final = re.compile(r"[0-9]{1,19}")
# Zeros stand for nothing on servers that do not know.
_UNIQUE: Final = re.compile(r"(?=.*[1-9A-Za-fh-z])[!-~]{1,64}")
_MODIFIED: Final = re.compile(r"\d{14}(?:\.\d{1,9})?")
# -rw-r--r--   1 owner group  1234 Nov 30 12:01 name
_UNIX: Final = re.compile(
    r"([-d])[-rwxsStTl]{9}[+.@]?\s+\d+\s+\S+\s+(?:\S+\s+)?(\d{1,19})\s+[A-Za-z]{3}\s+\d{1,2}\s+(?:\d{1,2}:\d\d|\d{4})\s(.+)"
)
# 11-30-26  12:01PM  1234 name, of IIS.
_WINDOWS: Final = re.compile(r"\d\d-\d\d-\d{2,4}\s+\d\d:\d\d(?:[AP]M)?\s+(<DIR>|\d{1,19})\s+?(.+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply: its *code*, and the *lines* of its text."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return the text as one line for people."""
        return one_line(" ".join(line.strip() for line in self.lines))[:LONGEST_REASON]

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


def passive_port(answer: Answer) -> int:
    """
    Return the port in a 227 or 229. The address in a 227 is not looked at: the data come from where the control is.

    Raises: PartnerError.
    """
    text = " ".join(answer.lines)
    if answer.code == 229 and (found := _EPSV.search(text)) is not None:
        port = int(found[2])
    elif answer.code == 227 and (found := _PASV.search(text)) is not None:
        port = int(found[5]) * 256 + int(found[6])
    else:
        port = 0
    if not 0 < port < 65536:
        raise PartnerError(Fault.BROKEN, f"its passive answer has no port: {answer}")
    return port


def passive_address(answer: Answer) -> str | None:
    """Return the address in a 227, None where it has none: what the server believes, and no place to connect to."""
    found = _PASV.search(" ".join(answer.lines)) if answer.code == 227 else None
    return None if found is None or any(int(each) > 255 for each in found.groups()) else ".".join(found.groups()[:4])


def features(answer: Answer) -> frozenset[str]:
    """Return the first words of the lines of FEAT."""
    if answer.code != 211:
        return frozenset()
    return frozenset(line.split()[0].upper() for line in answer.lines[1:-1] if line.strip())


def fact_line(line: str, name: str | None = None) -> RemoteFile | None:
    """Return the file or directory of a line of MLSD or MLST, under *name* where it is known; None for all else."""
    head, separator, rest = line.strip("\r\n").lstrip(" ").partition(" ")
    if not separator or "=" not in head:
        return None
    facts = {}
    for each in head.rstrip(";").split(";"):
        key, _, value = each.partition("=")
        facts[key.lower()] = value
    size = facts.get("size", "")
    kind = facts.get("type", "").lower()
    if kind == "dir":
        found, unique = _entry(name or rest, 0, "", is_directory=True), facts.get("unique", "")
        return replace(found, unique=unique) if found is not None and _UNIQUE.fullmatch(unique) else found
    if kind != "file" or not _SIZE.fullmatch(size):
        return None
    modified = facts.get("modify", "")
    return _entry(name or rest, int(size), modified if _MODIFIED.fullmatch(modified) else "")


def list_line(line: str) -> RemoteFile | None:
    """Return what a line of LIST tells of, without its time: that is in another form when it is six months old."""
    line = line.rstrip("\r\n")
    if (found := _UNIX.fullmatch(line)) is not None:
        return _entry(found[3], int(found[2]), "", is_directory=found[1] == "d")
    if (found := _WINDOWS.fullmatch(line)) is not None:
        is_directory = found[1] == "<DIR>"
        return _entry(
            found[2].lstrip() if is_directory else found[2],
            0 if is_directory else int(found[1]),
            "",
            is_directory=is_directory,
        )
    return None


def modified_in(answer: Answer) -> str:
    """Return the time in the answer to MDTM, "" where there is none."""
    text = answer.text.strip()
    return text if answer.code == 213 and _MODIFIED.fullmatch(text) else ""


def size_in(answer: Answer) -> int | None:
    """Return the number in the answer to SIZE."""
    text = answer.text.strip()
    return int(text) if answer.code == 213 and text.isdecimal() and len(text) < 20 else None


def lines_of(data: bytes) -> Iterator[str]:
    """Return the lines of a listing."""
    return (line.decode("utf-8", "surrogateescape") for line in data.replace(b"\r\n", b"\n").split(b"\n") if line)


def _entry(name: str, size: int, modified: str, *, is_directory: bool = False) -> RemoteFile | None:
    if name in ("", ".", "..") or "/" in name or has_control(name) or len(name) > 255 or size >= 1 << 62:
        return None
    return RemoteFile(name, 0 if is_directory else size, modified, is_directory)
