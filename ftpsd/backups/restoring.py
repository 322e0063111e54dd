"""
The way back: what would change is known before anything does, and nothing is changed before all is known to be good.

* The list and every object are read and verified first; a backup that is damaged or unfinished changes nothing, and
  neither does one whose list no trusted key has signed.
* A file that is there and differs is replaced only where that was asked for. Files that the backup does not have stay.
* Each file comes into being by a rename, below its root by descriptors, without following links: a link in a home
  leads nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from ftpsd.backups.manifest import Damaged, Header, Item
from ftpsd.backups.owner_names import OwnerMap
from ftpsd.backups.repository import CHUNK, Repository
from ftpsd.backups.stored_backups import manifest_of

PREFIX: Final = ".ftpsd-restore-"
_LOOK: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Untrusted(Damaged):
    """A backup whose list is signed by no key that is trusted: whoever can write there may have written it."""


@dataclass(slots=True)
class Plan:
    """
    The plan of a restore of the backup *header*: items to make, to replace, and those that are as they were.

    *signer* is the key that has signed its list, *unknown* says which owners this machine does not have.
    """

    header: Header
    signer: str | None = None
    unknown: list[str] = field(default_factory=list)
    new: list[Item] = field(default_factory=list)
    replaced: list[Item] = field(default_factory=list)
    same: int = 0

    @property
    def bytes(self) -> int:
        """How many bytes would be written."""
        return sum(item.size for item in (*self.new, *self.replaced) if item.kind == "file")


class Restore:
    """
    The restore of the backup *name* of *repository*, of these *parts* of it alone.

    Its list is to be signed by one of the keys *trusted*; None: whoever has written it is believed.
    """

    def __init__(
        self, repository: Repository, name: str, parts: frozenset[str], trusted: frozenset[str] | None
    ) -> None:
        self._repository = repository
        self._name = name
        self._parts = parts
        self._trusted = trusted
        self._items: list[Item] = []

    def verify(self) -> None:
        """Read all of it. Raises: Damaged with everything that is wrong; nothing was changed."""
        self._manifest = manifest = manifest_of(self._repository, self._name)
        if self._trusted is not None and manifest.signer not in self._trusted:
            raise Untrusted(
                f"the list of {self._name} is not signed"
                if manifest.signer is None
                else f"the list of {self._name} is signed by {manifest.signer}, a key that is not trusted here"
            )
        self._owners = owners = OwnerMap(manifest.owners)
        self._items = [owners.here(item) for item in manifest.items if item.part in self._parts]
        wrong: dict[str, str] = {}
        with open(os.devnull, "wb") as nowhere:
            for digest in dict.fromkeys(item.sha256 for item in self._items if item.kind == "file"):
                try:
                    self._repository.fetch(digest, nowhere)
                except Damaged as damage:
                    wrong[digest] = str(damage)
        if wrong:
            first = next(item for item in self._items if item.sha256 in wrong)
            raise Damaged(f"{len(wrong)} of its files cannot be had, such as {first.path}: {wrong[first.sha256]}")

    def plan(self) -> Plan:
        """Return what would change; `verify` has passed."""
        plan = Plan(self._manifest.header, self._manifest.signer, self._owners.unknown)
        for item in self._items:
            found = _standing(item)
            if found is None:
                plan.new.append(item)
            elif found:
                plan.same += 1
            else:
                plan.replaced.append(item)
        return plan

    def apply(self, plan: Plan) -> list[str]:
        """Do what *plan* says; return what could not be done."""
        troubles = []
        directories = []
        for item in (*plan.new, *plan.replaced):
            try:
                self._put(item)
            except OSError as error:
                troubles.append(f"{item.path}: {error.strerror}")
            if item.kind == "directory":
                directories.append(item)
        # Their times change as their files come.
        for item in reversed(directories):
            with suppress(OSError), _parent(item) as (parent, name):
                os.utime(name, ns=(item.modified_ns, item.modified_ns), dir_fd=parent, follow_symlinks=False)
        return troubles

    def _put(self, item: Item) -> None:
        with _parent(item) as (parent, name):
            if item.kind == "directory":
                with suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=parent)
                _own(item, os.open(name, _LOOK, dir_fd=parent))
                return
            temporary = PREFIX + secrets.token_hex(8)
            if item.kind == "link":
                os.symlink(item.target, temporary, dir_fd=parent)
                os.chown(temporary, item.uid, item.gid, dir_fd=parent, follow_symlinks=False)
            else:
                fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=parent)
                try:
                    with open(os.dup(fd), "wb") as file:
                        self._repository.fetch(item.sha256, file)
                except BaseException:
                    os.close(fd)
                    os.unlink(temporary, dir_fd=parent)
                    raise
                _own(item, fd)
            try:
                if item.part == "state":
                    # Of another time, they would be taken for the file's own: gone for good before that is there.
                    for suffix in ("-wal", "-shm"):
                        with suppress(FileNotFoundError):
                            os.unlink(name + suffix, dir_fd=parent)
                    os.fsync(parent)
                os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            except OSError:
                os.unlink(temporary, dir_fd=parent)
                raise
            os.fsync(parent)


def _own(item: Item, fd: int) -> None:
    """Give what *fd* is, which is closed then, the owner, mode, attributes and times of *item*."""
    try:
        with suppress(PermissionError):
            os.fchown(fd, item.uid, item.gid)  # who is not root restores what is their own
        os.fchmod(fd, item.mode)
        for name, value in item.attributes.items():
            with suppress(OSError):
                os.setxattr(fd, name, base64.b64decode(value))
        os.fsync(fd)
        os.utime(fd, ns=(item.modified_ns, item.modified_ns))
    finally:
        os.close(fd)


def _standing(item: Item) -> bool | None:
    """Return whether what stands where *item* belongs is the same; None for nothing."""
    try:
        with _parent(item, makes=False) as (parent, name):
            # Roots, and what is above them, are the operator's, who may have them behind links.
            status = os.stat(name, dir_fd=parent, follow_symlinks=not item.names and item.kind == "directory")
            if item.kind == "directory":
                return stat.S_ISDIR(status.st_mode)
            if item.kind == "link":
                return stat.S_ISLNK(status.st_mode) and os.readlink(name, dir_fd=parent) == item.target
            if not stat.S_ISREG(status.st_mode) or status.st_size != item.size:
                return False
            total = hashlib.sha256()
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with open(os.open(name, flags, dir_fd=parent), "rb") as file:
                while piece := file.read(CHUNK):
                    total.update(piece)
            return total.hexdigest() == item.sha256
    except FileNotFoundError:
        return None
    except OSError:
        return False  # something is in the way: a link, or a file where a directory was


@contextmanager
def _parent(item: Item, *, makes: bool = True) -> Iterator[tuple[int, str]]:
    """Open the directory that *item* is in; below its root no link is followed."""
    if not item.names:
        root, names = os.path.split(item.root.rstrip("/") or "/")
        path: tuple[str, ...] = (names or ".",)
    else:
        root, path = item.root, item.names
    if makes:
        os.makedirs(root, 0o700, exist_ok=True)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in path[:-1]:
            if makes:
                with suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=fd)
            inner = os.open(name, _LOOK, dir_fd=fd)
            os.close(fd)
            fd = inner
        yield fd, path[-1]
    finally:
        os.close(fd)
