"""
Groups: how those of a directory or a machine become a role, a home and the state of a user here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ftpsd.auth.credentials import LoginDenied, Refusal
from ftpsd.config.people.layers import fault_in_name
from ftpsd.config.sources.source_sections import Grouped


@dataclass(frozen=True, slots=True)
class Groups:
    """
    The groups that matter, by their names as *fold* spells them.

    *roles* are in the order of the configuration: a user has the first of them.
    """

    roles: Mapping[str, str]
    disabled: frozenset[str]
    default_role: str | None
    home: str
    fold: Callable[[str], str] = field(default=str, compare=False)

    @classmethod
    def of(cls, section: Grouped, fold: Callable[[str], str] = str) -> Groups:
        """Return those of *section*."""
        roles = {fold(group): role for group, role in section.roles.items()}
        disabled = frozenset(map(fold, section.disabled_groups))
        return cls(roles, disabled, section.default_role, section.home, fold)

    def describe(self, name: str, groups: Iterable[str], home: str | None = None) -> dict[str, Any]:
        """
        Return the user *name*, who is in *groups*, as a users file would.

        *home* is that of the source, in place of the template.

        Raises:
            LoginDenied: no group has a role, or the name cannot be that of a home.
        """
        theirs = {self.fold(group) for group in groups}
        role = next((role for group, role in self.roles.items() if group in theirs), self.default_role)
        if role is None:
            raise LoginDenied(Refusal.NO_ROLE)
        if home is None:
            # As one name in a path: no other user's home, nor a folder above.
            if fault_in_name(name) is not None:
                raise LoginDenied(Refusal.INVALID_RECORD)
            home = self.home.replace("{user}", name)
        return {"home": home, "role": role, "enabled": not (theirs & self.disabled)}
