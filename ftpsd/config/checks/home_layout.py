"""
Homes and mounts beside each other and beside the server's own files: layouts that give a user more than was meant.

A directory that holds the configuration, the users file or a private key hands out the server itself, and `/` hands out
the machine: errors. Homes that overlap are warnings, since two users may share what they have.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from ftpsd.config.parsing.document import ConfigError, Key
from ftpsd.config.users import UserRecord, Users

ROOT: Final = "/"
# What a directory of backups has in it: nobody's home is such a directory, or around one.
OBJECTS: Final = "objects"

Home = tuple[Users, UserRecord]


def overlapping(everybody: Iterable[Users], secrets: Iterable[Path]) -> Iterator[ConfigError]:
    """Yield complaints about the directories of *everybody* who may log in; none may hold one of *secrets*. Blocks."""
    # Texts and not Paths: with 10,000 users that is a third of the time.
    real = _Real()
    holders = _holders(secrets)
    homes: dict[str, list[Home]] = {}
    for users in everybody:
        for user in users.users.values():
            if not user.enabled:
                continue
            for key, directory in _trees(user):
                found = real(str(directory))
                problem = _shows_too_much(directory, found, holders)
                if problem is not None:
                    yield users.complaint(("users", user.name, *key), problem)
                if key == ("home",):
                    homes.setdefault(found, []).append((users, user))
    for home, people in homes.items():
        (_, first), *others = people
        above = next((folder for folder in _above(home) if folder in homes), None)
        # A missing directory is reported elsewhere, and overlaps with nothing.
        if (others or above is not None) and not os.path.isdir(home):
            continue
        if others:
            # Once for all of them: a thousand users may share a home.
            users, user = others[0]
            more = f" and of {len(others) - 1} more" if len(others) > 1 else ""
            message = f"{user.home} is the home of {first.name} too{more}: each can change what the others have"
            yield users.complaint(("users", user.name, "home"), message, "warning")
        if above is not None:
            owner = homes[above][0][1].name
            for users, user in people:
                message = f"{user.home} lies in {above}, the home of {owner}, who can change it; move one of the two"
                yield users.complaint(("users", user.name, "home"), message, "warning")


def _trees(user: UserRecord) -> Iterator[tuple[Key, Path]]:
    yield ("home",), user.home
    for number, mount in enumerate(user.mounts):
        yield ("mounts", number, "directory"), mount.directory


def _shows_too_much(directory: Path, real: str, holders: dict[str, Path]) -> str | None:
    if real == ROOT:
        return f"{directory} is the whole machine; give the user a directory of its own"
    secret = holders.get(real)
    if secret is None:
        return None
    return f"{directory} holds {secret}, which belongs to the server; move that out of it, or name another directory"


def _holders(secrets: Iterable[Path]) -> dict[str, Path]:
    """Return the directories that one of *secrets* is below, by links or without, each with the first of them."""
    holders: dict[str, Path] = {}
    for secret in secrets:
        absolute = os.path.abspath(secret)
        folder, name = os.path.split(absolute)
        # The file that a link leads to, and the link: a user who can replace it is as good as the owner of the file.
        for path in (absolute, os.path.realpath(absolute), os.path.join(os.path.realpath(folder), name)):
            for above in _above(path):
                holders.setdefault(above, secret)
    return holders


def _above(path: str) -> Iterator[str]:
    """Yield the directories that *path* is in, from the nearest on, without the root."""
    end = path.rfind("/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)


class _Real:
    """A resolver of links, which looks at the folder of thousands of homes once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        folder, name = os.path.split(path)
        if name in ("", ".", ".."):
            return os.path.realpath(path)
        real = self._folders.get(folder)
        if real is None:
            real = self._folders[folder] = os.path.realpath(folder)
        inside = os.path.join(real, name)
        return os.path.realpath(inside) if os.path.islink(inside) else inside
