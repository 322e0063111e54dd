"""
Making a backup: the state first, then the files, then the list; then what is too old goes.

* The state is copied by SQLite, as of one moment. All that was published before it is in the files that follow: an
  upload is published by a rename, so each file is an old or a new version, never half of one.
* A file that is the one of the last backup (inode, size, both times) is not read again, and bytes that are there are
  not stored again. Unfinished uploads are left out.
* Files of encrypted trees are taken as they lie on the disk: sealed.
* Nothing is taken from the last backup but what this server has signed: a list that somebody else wrote there does not
  get into the next one.
* A file that cannot be read is told, and makes the backup one with troubles; it is made all the same.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ftpsd import __version__
from ftpsd.backups.list_signatures import shown_key
from ftpsd.backups.manifest import Damaged, Header, Item, Manifest, ManifestWriter
from ftpsd.backups.owner_names import OwnerNames
from ftpsd.backups.repository import CHUNK, Repository, name_behind
from ftpsd.backups.stored_backups import manifest_of
from ftpsd.storage.disk.descent import Descent
from ftpsd.storage.disk.names import RESERVED_PREFIX

# Files that change while they are read are read so often.
ATTEMPTS: Final = 3
MOST_TROUBLES: Final = 20
# Attributes that are worth keeping: ours, and the rights of others.
ATTRIBUTES: Final = ("user.ftpsd.", "system.posix_acl_")


@dataclass(slots=True)
class Copied:
    """How far a backup is: *files* and *bytes* that are in it, and those of them that had to be stored."""

    files: int = 0
    bytes: int = 0
    stored: int = 0
    copied: int = 0
    now: str = ""
    removed: int = 0
    sequence: int = 0
    troubles: list[str] = field(default_factory=list)
    name: str = ""

    def trouble(self, text: str) -> None:
        """Note what could not be done."""
        if len(self.troubles) < MOST_TROUBLES:
            self.troubles.append(text)


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of a backup: single files by part, *trees* by part, the *state* file; *never* has what is in none."""

    files: tuple[tuple[str, Path], ...]
    trees: tuple[tuple[str, Path], ...]
    state: Path | None
    has_keys: bool
    never: frozenset[str]


@dataclass(frozen=True, slots=True)
class LastMade:
    """The backup *name* that this server has made last in a place, the *sequence*-th there."""

    name: str
    sequence: int


class Backup:
    """
    One backup of *scope* into *repository*, signed with *key*; *told* hears after each file.

    *before* is what this server knows of the last one that it has made there.
    """

    def __init__(
        self,
        scope: Scope,
        repository: Repository,
        told: Callable[[Copied], object] = bool,
        *,
        key: Ed25519PrivateKey | None = None,
        before: LastMade | None = None,
    ) -> None:
        self._scope = scope
        self._repository = repository
        self._told = told
        self._key = key
        self._before = before
        self._known: dict[str, Item] = {}
        self._passed: set[tuple[str, Path]] = set()
        self._owners = OwnerNames()
        self.copied = Copied()

    def make(self) -> Copied:
        """Make it. Raises: OSError, sqlite3.Error, PartnerError, Damaged."""
        now = time.time()
        last, sequence = self._build_on_the_last()
        name = self.copied.name = name_behind(last, now)
        self.copied.sequence = sequence
        header = Header(name, now, socket.gethostname(), __version__, self._scope.has_keys, sequence)
        with tempfile.TemporaryFile() as file:
            writer = ManifestWriter(file, header, self._key)
            for item in self._items():
                self._owners.note(item)
                writer.add(item)
                self._told(self.copied)
            writer.end(self._owners.found)
            self._repository.publish(name, file)
        return self.copied

    def _build_on_the_last(self) -> tuple[str, int]:
        """Take what the last backup knows of files; return its name, "" for none, and the number of this one."""
        before, names = self._before, self._repository.names()
        last = self._last(names)
        if last is not None:
            self._known = {item.path: item for item in last.items}
        if before is not None and before.name not in names:
            self.copied.trouble(f"the backup {before.name}, number {before.sequence}, was made there and is gone")
        made = [] if before is None else [(before.name, before.sequence)]
        if last is not None:
            made.append((last.header.name, last.header.sequence))
        return max((each for each, _ in made), default=""), max((number for _, number in made), default=0) + 1

    def _last(self, names: list[str]) -> Manifest | None:
        """Return the last list that is whole and ours; others are none to stand on."""
        ours = None if self._key is None else shown_key(self._key.public_key())
        for name in reversed(names):
            try:
                manifest = manifest_of(self._repository, name)
            except Damaged as damage:
                self.copied.trouble(f"the backup {name}: {damage}")
                continue
            if manifest.signer == ours:
                return manifest
            self.copied.trouble(f"the backup {name}: its list is not signed by this server")
        return None

    def _items(self) -> Iterator[Item]:
        state = self._scope.state
        if state is not None and state.exists():
            try:
                copied = self._state(state)
            except sqlite3.Error as error:
                # Homes are not to go without a backup because of it.
                self.copied.trouble(f"{state}: {error}")
            else:
                yield from self._above("state", state)
                yield copied
        for part, path in self._scope.files:
            yield from self._above(part, path)
            yield from self._single(part, path)
        for part, tree in self._scope.trees:
            yield from self._above(part, tree)
            yield from self._tree(part, tree)

    def _above(self, part: str, path: Path) -> Iterator[Item]:
        """Return the directories above *path*: where they are made anew, the daemon's user has to get through them."""
        for folder in reversed(Path(os.path.realpath(path.parent), path.name).parents[:-1]):
            if (part, folder) in self._passed:
                continue
            self._passed.add((part, folder))
            with suppress(OSError):  # what is below it tells of it
                yield _item(part, str(folder), (), os.stat(folder))

    def _state(self, path: Path) -> Item:
        with tempfile.NamedTemporaryFile(suffix=".tmp", dir=self._repository.scratch) as made:
            source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30.0)
            with closing(source), closing(sqlite3.connect(made.name)) as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")
            status = os.stat(path)
            with open(made.name, "rb") as file:
                digest, size = _digest(file)
                self._keep(file, digest, size)
        return _item("state", str(path.parent), (path.name,), status, size=size, sha256=digest)

    def _single(self, part: str, path: Path) -> Iterator[Item]:
        try:
            # Certificates are links in many places; what they lead to is what counts.
            with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                yield self._file(part, str(path.parent), (path.name,), file)
        except OSError as error:
            self.copied.trouble(f"{path}: {error.strerror}")

    def _tree(self, part: str, tree: Path) -> Iterator[Item]:
        try:
            yield _item(part, str(tree), (), os.stat(tree))
        except OSError as error:
            self.copied.trouble(f"{tree}: {error.strerror}")
            return
        descent = Descent(os.fsencode(tree))
        passed: set[tuple[int, int]] = set()
        for found in descent:
            name = found.entry.name
            if name.startswith(RESERVED_PREFIX):
                continue
            names = descent.place_of(found)
            if found.inside in passed or "/".join((str(tree), *names)) in self._scope.never:
                passed.add((found.inside[0], found.entry.inode()))
                continue
            try:
                status = os.stat(name, dir_fd=found.directory, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                    with open(os.open(name, flags, dir_fd=found.directory), "rb") as file:
                        yield self._file(part, str(tree), names, file)
                elif stat.S_ISLNK(status.st_mode):
                    target = os.readlink(name, dir_fd=found.directory)
                    yield _item(part, str(tree), names, status, target=target)
                elif stat.S_ISDIR(status.st_mode):
                    yield _item(part, str(tree), names, status)
            except FileNotFoundError:
                continue  # it has been taken away meanwhile
            except OSError as error:
                self.copied.trouble(f"{'/'.join((str(tree), *names))}: {error.strerror}")
        if descent.unseen is not None:
            self.copied.trouble(f"{tree}: {descent.unseen} cannot be looked at")

    def _file(self, part: str, root: str, names: tuple[str, ...], file: BinaryIO) -> Item:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "it is no plain file")
        item = _item(part, root, names, status, attributes=_attributes(file.fileno()))
        self.copied.now = item.path
        known = self._known.get(item.path)
        if known is not None and _same(known, item) and self._repository.has(known.sha256, known.size):
            self.copied.files += 1
            self.copied.bytes += known.size
            return _with(item, known.sha256, known.size)
        for attempt in range(ATTEMPTS):
            # From a copy: what is stored under a digest must have it, whatever happens to the file meanwhile.
            with tempfile.TemporaryFile(dir=self._repository.scratch) as copy:
                file.seek(0)
                digest, size = _digest(file, copy)
                after = os.fstat(file.fileno())
                if (after.st_size, after.st_mtime_ns) == (size, status.st_mtime_ns) or attempt == ATTEMPTS - 1:
                    self._keep(copy, digest, size)
                    return _with(item, digest, size)
            status = after
        raise AssertionError("the last attempt returns")

    def _keep(self, file: BinaryIO, digest: str, size: int) -> None:
        self.copied.files += 1
        self.copied.bytes += size
        if not self._repository.has(digest, size):
            self._repository.store(file, digest, size)
            self.copied.stored += 1
            self.copied.copied += size


def _item(
    part: str,
    root: str,
    names: tuple[str, ...],
    status: os.stat_result,
    *,
    size: int = 0,
    sha256: str = "",
    target: str = "",
    attributes: dict[str, str] | None = None,
) -> Item:
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
    return Item(
        part=part,
        root=root,
        names=names,
        kind=kinds[stat.S_IFMT(status.st_mode)],
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        modified_ns=status.st_mtime_ns,
        size=size or status.st_size,
        sha256=sha256,
        inode=status.st_ino,
        changed_ns=status.st_ctime_ns,
        target=target,
        attributes=attributes or {},
    )


def _with(item: Item, digest: str, size: int) -> Item:
    return replace(item, sha256=digest, size=size)


def _same(known: Item, item: Item) -> bool:
    facts: Iterable[str] = ("inode", "size", "modified_ns", "changed_ns")
    return known.kind == "file" and all(getattr(known, name) == getattr(item, name) for name in facts)


def _digest(file: BinaryIO, copy: BinaryIO | None = None) -> tuple[str, int]:
    total, size = hashlib.sha256(), 0
    while piece := file.read(CHUNK):
        total.update(piece)
        size += len(piece)
        if copy is not None:
            copy.write(piece)
    return total.hexdigest(), size


def _attributes(fd: int) -> dict[str, str]:
    try:
        names = [name for name in os.listxattr(fd) if name.startswith(ATTRIBUTES)]
        return {name: base64.b64encode(os.getxattr(fd, name)).decode("ascii") for name in names}
    except OSError:
        return {}  # a file system without them
