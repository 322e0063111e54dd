"""
Homes and mounts beside each other and beside the server's own files: what shows a user more than was meant.

A directory that holds the configuration, the users file or a private key hands out the server itself, and `/` hands out
the machine: errors. Homes that overlap are warnings, since two users may share what they have.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from ftpsd.config.document import ConfigError, Key
from ftpsd.config.users import UserRecord, Users

ROOT: Final = Path("/")

Home = tuple[Users, UserRecord]


def overlapping(everybody: Iterable[Users], secrets: Iterable[Path]) -> Iterator[ConfigError]:
    """Yield complaints about the directories of *everybody* who may log in; none may hold one of *secrets*. Blocks."""
    real = _Real()
    holders = _holders(secrets, real)
    homes: dict[Path, list[Home]] = {}
    for users in everybody:
        for user in users.users.values():
            if not user.enabled:
                continue
            home = real(user.home)
            # What is not there is told elsewhere, and overlaps with nothing.
            if os.path.isdir(home):
                homes.setdefault(home, []).append((users, user))
            for key, directory in _trees(user):
                problem = _shows_too_much(directory, real(directory), holders)
                if problem is not None:
                    yield users.complaint(("users", user.name, *key), problem)
    for home, people in homes.items():
        (_, first), *others = people
        for users, user in others:
            message = f"{user.home} is the home of {first.name} too: each can change what the other has"
            yield users.complaint(("users", user.name, "home"), message, "warning")
        above = next((folder for folder in home.parents if folder in homes and folder != ROOT), None)
        if above is not None:
            owner = homes[above][0][1].name
            for users, user in people:
                message = f"{user.home} lies in {above}, the home of {owner}, who can change it; move one of the two"
                yield users.complaint(("users", user.name, "home"), message, "warning")


def _trees(user: UserRecord) -> Iterator[tuple[Key, Path]]:
    yield ("home",), user.home
    for number, mount in enumerate(user.mounts):
        yield ("mounts", number, "directory"), mount.directory


def _shows_too_much(directory: Path, real: Path, holders: dict[Path, Path]) -> str | None:
    if real == ROOT:
        return f"{directory} is the whole machine; give the user a directory of its own"
    secret = holders.get(real)
    if secret is None:
        return None
    return f"{directory} holds {secret}, which belongs to the server; move that out of it, or name another directory"


def _holders(secrets: Iterable[Path], real: _Real) -> dict[Path, Path]:
    """Return the directories that one of *secrets* is below, by links or without, each with the first of them."""
    holders: dict[Path, Path] = {}
    for secret in secrets:
        absolute = Path(os.path.abspath(secret))
        # The file that a link leads to, and the link: who can replace it is as good as the owner of the file.
        for path in (absolute, Path(os.path.realpath(absolute)), real(absolute.parent) / absolute.name):
            for folder in path.parents:
                holders.setdefault(folder, secret)
    return holders


class _Real:
    """Resolves links, the folder that thousands of homes lie in once."""

    def __init__(self) -> None:
        self._folders: dict[Path, Path] = {}

    def __call__(self, path: Path) -> Path:
        parent = path.parent
        folder = self._folders.get(parent)
        if folder is None:
            folder = self._folders[parent] = Path(os.path.realpath(parent))
        inside = folder / path.name
        return Path(os.path.realpath(inside)) if path.name in ("", "..") or os.path.islink(inside) else inside
