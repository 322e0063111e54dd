"""
Accounts as Unix writes them, which vsftpd, ProFTPD and htpasswd share: passwd(5), shadow(5), group(5), lists of names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ftpsd.migrating.old_machine import OldMachine


@dataclass(frozen=True, slots=True, repr=False)
class Account:
    """One line of a passwd file; of a file of names and hashes alone only these."""

    place: str
    name: str
    stored: str
    uid: int | None = None
    gid: int | None = None
    home: str = ""
    shell: str | None = None


def read_accounts(machine: OldMachine, passwd: Path, shadow: Path | None = None) -> list[Account]:
    """Return the accounts of *passwd*, with the hashes of *shadow* where it has them."""
    hashes = {} if shadow is None else {each.name: each.stored for each in _accounts(machine, shadow, whole=False)}
    found = _accounts(machine, passwd, whole=True)
    return [
        Account(each.place, each.name, hashes.get(each.name, each.stored), each.uid, each.gid, each.home, each.shell)
        for each in found
    ]


def _accounts(machine: OldMachine, path: Path, *, whole: bool) -> list[Account]:
    found = []
    for number, line in enumerate(machine.lines(path), 1):
        if line.startswith("#") or ":" not in line:
            continue
        parts = line.split(":")
        place = f"{path.name}:{number}"
        if whole and len(parts) >= 7:
            found.append(Account(place, parts[0], parts[1], _id(parts[2]), _id(parts[3]), parts[5], parts[6]))
        else:
            found.append(Account(place, parts[0], parts[1]))
    return found


def read_groups(machine: OldMachine, path: Path) -> dict[str, tuple[int | None, frozenset[str]]]:
    """Return id and members of each group."""
    groups = {}
    for line in machine.lines(path):
        parts = line.split(":")
        if len(parts) >= 4 and not line.startswith("#"):
            members = frozenset(name.strip() for name in parts[3].split(",") if name.strip())
            groups[parts[0]] = (_id(parts[2]), members)
    return groups


def read_names(machine: OldMachine, path: Path) -> frozenset[str]:
    """Return the names in a list with one on each line."""
    return frozenset(line.strip() for line in machine.lines(path) if line.strip() and not line.startswith("#"))


def _id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None
