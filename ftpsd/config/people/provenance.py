"""
Where the file says what a user is given: for each key and each rule of a record the place it comes from.
"""

from __future__ import annotations

from ftpsd.config.parsing.document import Key
from ftpsd.config.people.layers import Layer, as_checked, chain, nearest_with
from ftpsd.config.people.resolution import layers_of, ruling
from ftpsd.config.people.user_entries import Given, RoleEntry, UsersFile
from ftpsd.config.users import Users


class Provenance:
    """The places in the file of *users*, which must still have it (`load_users`)."""

    def __init__(self, users: Users) -> None:
        assert users.entries is not None
        self._users = users
        self._entries: UsersFile = users.entries
        self._of_roles: dict[str, tuple[Key, ...]] = {}
        self._written: dict[Key, str] = {}

    def key(self, name: str, key: str) -> Key | None:
        """Return the place of *key* of the user called *name*; None where nothing says it."""
        layer = nearest_with(layers_of(name, self._entries), key, as_checked)
        return None if layer is None else (*layer[0], key)

    def rules(self, name: str) -> tuple[Key, ...]:
        """Return the places of the rules of the user's home, in the order of the record."""
        layer = ruling(layers_of(name, self._entries))
        receipts = self.key(name, "receipts")
        if receipts is None or self._users.users[name].receipts is None:
            return () if layer is None else self._rules_of(layer)
        # The rule about receipts, and where there are no others the one that allows everything.
        return (receipts, receipts) if layer is None else (receipts, *self._rules_of(layer))

    def mounts(self, name: str) -> tuple[Key, ...]:
        """Return the places of the user's mounts, in the order of the record."""
        layer = nearest_with(layers_of(name, self._entries), "mounts", as_checked)
        return () if layer is None else tuple((*layer[0], "mounts", n) for n in range(len(layer[1].mounts or ())))

    def rules_of_mount(self, name: str, number: int) -> tuple[Key, ...]:
        """Return the places of the rules of the mount with that *number*."""
        layer = nearest_with(layers_of(name, self._entries), "mounts", as_checked)
        assert layer is not None
        assert layer[1].mounts is not None
        mount = layer[1].mounts[number]
        if mount.role is not None:
            return self._of_role(mount.role)
        return tuple((*layer[0], "mounts", number, "rules", rule) for rule in range(len(mount.rules or ())))

    def place(self, key: Key) -> str:
        """Write the place of *key* as `file:line`."""
        found = self._written.get(key)
        if found is None:
            error = self._users.complaint(key, "")
            found = f"{error.file}:{error.line}"
            if key[0] != "users":
                # Thousands of users have what one role says.
                self._written[key] = found
        return found

    def _rules_of(self, layer: Layer[Given]) -> tuple[Key, ...]:
        key, entry = layer
        if isinstance(entry, RoleEntry):
            return self._of_role(str(key[1]))
        rules = as_checked(entry, "rules")
        assert isinstance(rules, tuple)
        return tuple((*key, "rules", number) for number in range(len(rules)))

    def _of_role(self, role: str) -> tuple[Key, ...]:
        found = self._of_roles.get(role)
        if found is None:
            found = self._of_roles[role] = tuple(
                (*key, "rules", number)
                for key, entry in chain(self._entries.roles, role, as_checked)
                for number in range(len(entry.rules or ()))
            )
        return found
