"""
Accounts in which partners try their clients: complaints about those that reach files of others.

Such an account asks for less than others do (`resolution.py`), so it must have nothing that is worth protecting.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from ftpsd.config.parsing.document import ConfigError, Document, shown_name
from ftpsd.config.people.layers import PLACEHOLDER, as_written, layers, nearest_with

Entries = Mapping[str, Any]


def about_preflights(document: Document, users: Entries, groups: Entries, roles: Entries) -> Iterator[ConfigError]:
    """Look at the users with `preflight: true`: no mounts, and a home in which there is nothing of another user."""
    tried = [name for name, user in users.items() if as_written(user, "preflight") is True]
    if not tried:
        return
    places = {name: list(_directories(name, user, groups, roles)) for name, user in users.items()}
    for name in tried:
        key = ("users", name, "preflight")
        if as_written(users[name], "source") is not None:
            yield document.error(key, "goes with a home that is named here; remove source: or preflight:")
            continue
        if len(places[name]) > 1:
            yield document.error(key, "an account for trying clients has a home and no mounts; remove mounts:")
        home = places[name][0] if places[name] else None
        other = next((each for each in places if each != name and home and _meet(home, places[each])), None)
        if other is not None:
            said = (
                f"the home is, holds, or lies in a directory of {shown_name(other)}; give the account for trying "
                "clients a home of its own"
            )
            yield document.error(key, said)


def _directories(name: str, user: Any, groups: Entries, roles: Entries) -> Iterator[str]:
    """Return the home of the user, and the directories of mounts."""
    found = layers(name, user, groups, roles, as_written)
    home, mounts = nearest_with(found, "home", as_written), nearest_with(found, "mounts", as_written)
    paths = [] if home is None else [as_written(home[1], "home")]
    listed = None if mounts is None else as_written(mounts[1], "mounts")
    paths += [as_written(each, "directory") for each in (listed if isinstance(listed, list) else ())]
    for path in paths:
        if isinstance(path, str):
            yield os.path.normpath(path.replace(PLACEHOLDER, name))


def _meet(home: str, others: list[str]) -> bool:
    """Return whether one of *others* is *home*, in it, or above it."""
    return any(os.path.commonpath([home, other]) in (home, other) for other in others if _alike(home, other))


def _alike(one: str, other: str) -> bool:
    # Relative paths begin at the folder of the file, which says nothing about absolute ones.
    return os.path.isabs(one) == os.path.isabs(other)
