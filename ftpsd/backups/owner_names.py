"""
Owners of files across machines: numbers of one become those of another, by names, as with tar.

A number whose name the other machine does not know stays, and is told. ACLs name users and groups as well.
"""

from __future__ import annotations

import base64
import grp
import pwd
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from ftpsd.backups.manifest import Item, Owners

ACL: Final = "system.posix_acl_"
# linux/posix_acl_xattr.h: a version, then entries of tag, permissions and number.
_VERSION: Final = struct.Struct("<I")
_ENTRY: Final = struct.Struct("<HHI")
_USER, _GROUP = 0x02, 0x08


class OwnerNames:
    """The names of the owners of a backup's files on this machine, as they are met; *found* has them."""

    def __init__(self) -> None:
        self.found = Owners()
        self._nameless: set[tuple[bool, int]] = set()

    def note(self, item: Item) -> None:
        """Look up the names of those whom *item* belongs to, or whose rights it has."""
        self._note(item.uid, is_group=False)
        self._note(item.gid, is_group=True)
        for name, value in item.attributes.items():
            if name.startswith(ACL):
                for tag, _, number in _entries(base64.b64decode(value)):
                    if tag in (_USER, _GROUP):
                        self._note(number, is_group=tag == _GROUP)

    def _note(self, number: int, *, is_group: bool) -> None:
        names = self.found.groups if is_group else self.found.users
        if number in names or (is_group, number) in self._nameless:
            return
        try:
            names[number] = grp.getgrgid(number).gr_name if is_group else pwd.getpwuid(number).pw_name
        except (KeyError, OverflowError):
            self._nameless.add((is_group, number))


class OwnerMap:
    """Items of a backup with *owners* as this machine has them; *unknown* says which names it does not have."""

    def __init__(self, owners: Owners) -> None:
        self.unknown: list[str] = []
        self._users = self._mapped(owners.users, "user", lambda name: pwd.getpwnam(name).pw_uid)
        self._groups = self._mapped(owners.groups, "group", lambda name: grp.getgrnam(name).gr_gid)

    def _mapped(self, names: dict[int, str], kind: str, look_up: Callable[[str], int]) -> dict[int, int]:
        mapped = {}
        for number, name in names.items():
            try:
                mapped[number] = look_up(name)
            except KeyError:
                self.unknown.append(f"there is no {kind} {name} here: what belongs to it keeps the number {number}")
        return {old: new for old, new in mapped.items() if old != new}

    def here(self, item: Item) -> Item:
        """Return *item* with the numbers of this machine."""
        if not self._users and not self._groups:
            return item
        attributes = {
            name: self._acl(value) if name.startswith(ACL) else value for name, value in item.attributes.items()
        }
        uid, gid = self._users.get(item.uid, item.uid), self._groups.get(item.gid, item.gid)
        return replace(item, uid=uid, gid=gid, attributes=attributes)

    def _acl(self, value: str) -> str:
        data = base64.b64decode(value)
        mapped = bytearray(data[: _VERSION.size])
        for tag, rights, number in _entries(data):
            names = self._users if tag == _USER else self._groups if tag == _GROUP else {}
            mapped += _ENTRY.pack(tag, rights, names.get(number, number))
        return base64.b64encode(mapped).decode("ascii")


def _entries(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Return tag, rights and number of each entry of an ACL; an attribute that is none has none."""
    whole = (len(data) - _VERSION.size) // _ENTRY.size * _ENTRY.size
    yield from _ENTRY.iter_unpack(data[_VERSION.size : _VERSION.size + max(0, whole)])
