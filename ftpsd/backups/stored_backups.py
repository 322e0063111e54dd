"""
The backups in a repository: their lists read, its oldest backups removed, its objects verified. It blocks.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ftpsd.backups.manifest import Damaged, Manifest, read_manifest
from ftpsd.backups.repository import Repository, moment_of

# Files that are named of those that cannot be brought back.
MOST_NAMED: Final = 1000


def manifest_of(repository: Repository, name: str) -> Manifest:
    """Return the list of the backup *name*. Raises: Damaged."""
    with tempfile.TemporaryFile() as file:
        repository.manifest(name, file)
        file.seek(0)
        manifest = read_manifest(file)
    if manifest.header.name != name:
        raise Damaged(f"its list is that of {manifest.header.name}")
    return manifest


def thin_out(repository: Repository, keep: int, keep_for: float | None, now: float) -> int:
    """
    Remove all but the newest *keep* backups, and those younger than *keep_for* seconds; return how many.

    Objects go that no backup has any more. While the list of one of those that stay cannot be read, no object goes.
    """
    names = repository.names()
    going = []
    for name in names[:-keep]:
        if keep_for is None or now - moment_of(name) > keep_for:
            going.append(name)
    if not going:
        return 0
    try:
        needed = {item.sha256 for name in names if name not in going for item in manifest_of(repository, name).items}
    except Damaged:
        return 0
    for name in going:
        repository.remove(name)
    for digest in [digest for digest in repository.objects() if digest not in needed]:
        repository.drop(digest)
    return len(going)


@dataclass(slots=True)
class Verified:
    """
    The findings about the *objects* that are needed; *damaged* ones were put aside, *files* are some that need those.

    *lists* are backups whose list is damaged.
    """

    objects: int = 0
    bytes: int = 0
    damaged: int = 0
    lists: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def verify_all(repository: Repository, told: Callable[[Verified], object] = bool) -> Verified:
    """
    Read every object that a backup needs; *told* hears after each.

    One that is not what it was is put aside, so the next backup stores it anew where the file is still the same.
    """
    found = Verified()
    names = []
    needed: dict[str, None] = {}
    for name in repository.names():
        try:
            needed.update((item.sha256, None) for item in manifest_of(repository, name).items if item.kind == "file")
            names.append(name)
        except Damaged as damage:
            found.lists.append(f"{name}: {damage}")
    damaged = set()
    with open(os.devnull, "wb") as nowhere:
        for digest in needed:
            found.objects += 1
            try:
                found.bytes += repository.fetch(digest, nowhere)
            except Damaged:
                repository.put_aside(digest)
                damaged.add(digest)
                found.damaged += 1
            told(found)
    for name in names if damaged else ():
        lost = (item.path for item in manifest_of(repository, name).items if item.sha256 in damaged)
        found.files += [f"{name}: {path}" for path in lost][: MOST_NAMED - len(found.files)]
    return found
