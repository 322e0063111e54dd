"""
LocalJail: a directory of the local file system as a storage, and nothing outside of it.

Why a path cannot leave the jail:
1. The jail is a descriptor of its root directory. No host path is ever put together or opened.
2. A name is reached component by component, each opened below the one before with O_NOFOLLOW (walk.py). The kernel
follows no link and sees no `..` and no `/`; a component swapped during the walk can make it fail, not leave.
3. Links are resolved by hand inside the walk, at most 40. A relative one counts from where it is, an absolute one only
   if it points into the real path of the root; `..` above the root and everything else that leads out is NOT_FOUND.
   With symlinks="none" every link is. The links made here are relative: they mean the same to other programs, also to
   those that see the home under another path.
4. The last component: stat, list, open, set_modified and set_mode go where a link leads; remove and rename act on the
   link itself.
5. Files are opened with O_NONBLOCK and looked at before they are read or written: only regular ones are.
6. Names beginning with `.ftpsd-` are the server's own (names.py): in no listing, and NOT_FOUND or BAD_NAME in every
operation, also when a link holds them.
7. Every descriptor is O_CLOEXEC.

The rights of a user inside are decided in guarded.py.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ftpsd.storage.base import Kind, Listing, Sink, Source, StorageError, Terms, Traits
from ftpsd.storage.cached_file import CachedFile
from ftpsd.storage.disk.cached import read_cached
from ftpsd.storage.disk.content import PLAIN, Content, ContentListing, shown
from ftpsd.storage.disk.entries import PARTIAL_PERM, ROOT_PERM, DirectoryListing, entry_of
from ftpsd.storage.disk.names import encode_name, is_reserved, unique_name
from ftpsd.storage.disk.openat2 import is_near
from ftpsd.storage.disk.source import FileSource, require_writable, set_time_of_file
from ftpsd.storage.disk.syscalls import make_directory, rename_to_new, sync_name, turn, turns
from ftpsd.storage.disk.walk import O_PATH, Place, Root, Symlinks, relative_text
from ftpsd.storage.errnos import from_oserror
from ftpsd.storage.file_systems import NOTHING, waits_for
from ftpsd.storage.modes import change_mode, give_mode
from ftpsd.storage.quota.ledger import NO_LEDGER, Ledger
from ftpsd.storage.retention.holding import require_free
from ftpsd.storage.uploads.atomic import open_atomic
from ftpsd.storage.uploads.direct import open_direct
from ftpsd.storage.uploads.gating import OPEN
from ftpsd.storage.uploads.partial import discard_partial
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.storage.uploads.sweep import discard_partials_alone
from ftpsd.storage.uploads.unfinished import Unfinished, find_partial, partial_name
from ftpsd.values.entry import Entry
from ftpsd.values.path import VirtualPath
from ftpsd.values.quota import Standing
from ftpsd.values.trace import Trace


class LocalJail:
    """
    A tree of the local file system, for one user.

    *ledger* is called for all that comes and goes in it, *content* defines how its files hold the users' bytes.
    """

    def __init__(
        self, root: Root, uploads: UploadPolicy, owner: str, ledger: Ledger = NO_LEDGER, content: Content = PLAIN
    ) -> None:
        if not content.is_plain and not uploads.atomic:
            raise ValueError("what is written in place lies on the disk as it came")
        self._root: Root | None = root
        self._is_near = is_near(root.fd)
        self._uploads = uploads
        self._owner = owner
        self._ledger = ledger
        can_resume = not uploads.atomic or uploads.keep_partial > 0
        waited_for = NOTHING if self._is_near else waits_for(Path(os.fsdecode(root.path)))
        self._traits = Traits(waited_for, root.symlinks != "none", can_resume, uploads.atomic)
        self._content = content

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        uploads: UploadPolicy,
        owner: str,
        symlinks: Symlinks = "inside",
        ledger: Ledger = NO_LEDGER,
        content: Content = PLAIN,
    ) -> LocalJail:
        """Open the jail in *directory*; *owner* is the owner of interrupted uploads to resume. Raises: StorageError."""
        try:
            return cls(Root.shared(os.fsencode(directory), symlinks), uploads, owner, ledger, content)
        except OSError as error:
            raise from_oserror(error) from error

    @classmethod
    def open_cached(
        cls, directory: Path, *, uploads: UploadPolicy, owner: str, symlinks: Symlinks = "inside"
    ) -> LocalJail | None:
        """Open the same where that needs no waiting; None also for every error."""
        root = Root.cached(os.fsencode(directory), symlinks)
        return None if root is None else cls(root, uploads, owner)

    def close(self) -> None:
        """Let the root go; a walk under way finishes it."""
        self._root = None

    def traits(self, path: VirtualPath) -> Traits:
        """Return the traits that follow from the policies, and from the file system."""
        return self._traits

    def stat(self, path: VirtualPath) -> Entry:
        """Describe *path*, through links; where there is nothing, the owner's unfinished upload to it."""
        with self._find(path) as place:
            entry = self._entry(place)
        if entry is None:
            with self._find(path, follow=True) as place:
                entry = self._entry(place)
        if entry is None:  # swapped in since the walk
            raise StorageError(Kind.NOT_FOUND, path)
        return entry

    def list(self, path: VirtualPath) -> Listing:
        """Open the directory *path* for reading."""
        root = self._opened(path)
        listing = DirectoryListing(root, path, root.open_directory(path))
        return listing if self._content.is_plain else ContentListing(listing, self._content)

    def open_source(self, path: VirtualPath, offset: int = 0) -> Source:
        """Open the regular file *path*, through links, for sending from *offset* on."""
        with self._find(path) as place:
            try:
                return FileSource(place, offset, digests=self._uploads.digests, content=self._content)
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
        with self._find(path, follow=True) as place:
            return FileSource(place, offset, digests=self._uploads.digests, content=self._content)

    def read_cached(self, path: VirtualPath, limit: int) -> CachedFile | None:
        """Return the small file *path* if the kernel has it in memory, and no link is on the way. Never waits."""
        root = self._root  # held until the answer: with the last reference its descriptor closes
        if root is None or not self._is_near or not self._content.is_plain:
            return None
        return read_cached(root.fd, path, limit, digests=self._uploads.digests)

    def open_sink(self, path: VirtualPath, terms: Terms = Terms()) -> Sink:
        """Open an upload to *path*, through links; in the way of the policy."""
        if terms.unique:
            # Unlike a number that is free right now, it is still free when the upload is published.
            path, terms = path.parent / unique_name(path.name), terms.under_new_name()
        with self._find_new(path, is_file=True) as place:
            published = place.lstat_or_none()
            if published is None or not stat.S_ISLNK(published.st_mode):
                return self._open_sink(place, published, terms)
        with self._find_new(path, is_file=True, follow=True) as place:
            return self._open_sink(place, place.lstat_or_none(), terms)

    def _open_sink(self, place: Place, published: os.stat_result | None, terms: Terms) -> Sink:
        self._ledger.require_counted()
        if not self._uploads.atomic:
            return open_direct(place, self._uploads, terms, self._ledger)
        return open_atomic(place, published, self._uploads, self._owner, terms, self._ledger, self._content)

    def make_directory(self, path: VirtualPath) -> None:
        """Make the directory *path*."""
        with self._find_new(path) as place:
            self._ledger.require_counted()
            with turn(place), self._ledger.change() as change:
                change.need_directory()
                make_directory(place, self._uploads.directory_mode)
                made = place.lstat()
                change.came(made)
            with self._or_not_at_all(place, made):
                give_mode(place, made, self._uploads.directory_mode)
                if self._uploads.durable:
                    sync_name(place)

    def make_link(self, path: VirtualPath, target: VirtualPath) -> None:
        """Make the link *path*, which leads through the names of *target* as they are given."""
        root = self._opened(path)
        self._require_new(path)
        if root.symlinks == "none":
            raise StorageError(Kind.NO_LINKS, path)
        if self._uploads.gate is not OPEN:
            # It would give a file, or whatever its text leads to later, a name that is behind the gate.
            raise StorageError(Kind.DENIED, path, why="no links are made in a tree that has accept rules")
        place, there = root.locate(target, follow=True)
        with place:
            if stat.S_ISLNK(place.lstat().st_mode):  # swapped in since the walk
                raise StorageError(Kind.NOT_FOUND)
        place, here = root.locate(path)
        with place:
            self._ledger.require_counted()
            del here[-1]
            if here[: len(there)] == there:
                raise StorageError(Kind.CIRCULAR)
            text = relative_text(here, [encode_name(name) for name in target.parts])
            with turn(place), self._ledger.change() as change:
                change.need_file()
                os.symlink(text, place.name, dir_fd=place.fd)
                made = place.lstat()
                change.came(made)
            with self._or_not_at_all(place, made):
                if self._uploads.durable:
                    sync_name(place)

    def remove_directory(self, path: VirtualPath) -> None:
        """Remove the directory *path*, and with it the unfinished uploads of this owner alone in it."""
        with self._find_own(path) as place, turn(place), self._ledger.change() as change:
            status = place.lstat()
            require_free(self._uploads.holding.on(place))
            change.going(status)
            try:
                os.rmdir(place.name, dir_fd=place.fd)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                if not discard_partials_alone(place, self._owner, self._ledger):
                    raise
                os.rmdir(place.name, dir_fd=place.fd)
            change.went(status)

    def remove_file(self, path: VirtualPath) -> None:
        """Remove the file or link *path*, and this owner's unfinished upload to it."""
        with self._find_own(path) as place, turn(place), self._ledger.change() as change:
            status = place.lstat_or_none()
            if status is not None and stat.S_ISDIR(status.st_mode):
                raise StorageError(Kind.IS_A_DIRECTORY)
            if status is not None:
                require_free(self._uploads.holding.on(place))
            # First: after a death between the two calls the partial would come to light as an upload to a free name.
            is_discarded = self._discard_partial(place)
            if status is None:
                if not is_discarded:
                    raise StorageError(Kind.NOT_FOUND)
                return
            change.going(status)
            os.unlink(place.name, dir_fd=place.fd)
            change.went(status)

    def rename(self, old: VirtualPath, new: VirtualPath, *, may_replace: bool = True, any_kind: bool = True) -> None:
        """Rename the file, directory or link *old* to *new*; this owner's unfinished upload to *old* goes."""
        with self._find_own(old) as source, self._find_new(new) as target:
            with turns(source, target), self._ledger.change() as change:
                moved = source.lstat()
                if not any_kind and not stat.S_ISREG(moved.st_mode):
                    raise StorageError(Kind.DENIED, old)
                self._uploads.gate.require_move(source, target, is_file=stat.S_ISREG(moved.st_mode))
                holding = self._uploads.holding
                require_free(holding.inside(source) if stat.S_ISDIR(moved.st_mode) else holding.on(source))
                kept = holding.on(target) if may_replace else None
                if kept is not None and target.lstat_or_none() is not None:
                    require_free(kept)
                if may_replace and kept is None:
                    replaced = target.lstat_or_none()
                    if replaced is not None and os.path.samestat(moved, replaced):
                        replaced = None  # two names of one file: then rename(2) does nothing
                    if replaced is not None:
                        require_writable(target, replaced)
                        change.going(replaced)
                    os.rename(source.name, target.name, src_dir_fd=source.fd, dst_dir_fd=target.fd)
                    if replaced is not None:
                        change.went(replaced)
                else:
                    rename_to_new(source, target)
                change.moved(moved)
            # Else a partial begun to replace the file would come to light as an upload to a name that is free now.
            self._discard_partial(source)
            if self._uploads.durable:
                sync_name(target)
                if old.parent != new.parent:
                    sync_name(source)

    def trace(self, path: VirtualPath, becoming: VirtualPath | None = None) -> Trace:
        """Return the trace of *path* itself, be it a link, or the one that it will have as *becoming*."""
        with self._find_own(path) as place:
            if becoming is None:
                return place.trace(place.lstat())
            with self._find_new(becoming) as target:
                return target.trace(place.lstat(), former=place)

    def set_modified(self, path: VirtualPath, modified_ns: int) -> int:
        """Set the modification time of the file that *path* leads to, or will; return the one that is kept."""
        with self._find(path, follow=True) as place:
            if self._uploads.gate.carry(place, modified_ns=modified_ns):
                return modified_ns
            status = place.lstat()
            if stat.S_ISREG(status.st_mode):
                self._uploads.gate.before_retime(place, status.st_mtime_ns, modified_ns)
            times = (status.st_atime_ns, modified_ns)
            if not (stat.S_ISREG(status.st_mode) and set_time_of_file(place, times, self._content)):
                os.utime(place.name, ns=times, dir_fd=place.fd, follow_symlinks=False)
            return place.lstat().st_mtime_ns

    def set_mode(self, path: VirtualPath, mode: int) -> int:
        """
        Set the permission bits of the file that *path* leads to, or will; directories keep all of their owner's.

        Raises: DENIED for set-user-id and its like.
        """
        if mode & ~0o777:
            raise StorageError(Kind.DENIED, path, why="special mode bits are not set")
        with self._find(path, follow=True) as place:
            if self._uploads.gate.carry(place, mode=mode):
                return mode
            change_mode(place, mode)
            return stat.S_IMODE(place.lstat().st_mode)

    def free_bytes(self, path: VirtualPath) -> int:
        """Return how many bytes can still be stored in the directory *path* with regard to disk and quota."""
        with self._find(path, follow=True) as place:
            fd = os.open(place.name, O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.fd)
            try:
                disk = os.fstatvfs(fd)
            finally:
                os.close(fd)
        left = self._ledger.free_bytes()
        free = disk.f_bavail * disk.f_frsize
        return free if left is None else min(free, left)

    def standing(self, path: VirtualPath) -> Standing | None:
        """Return the state of the quota, which is that of the whole jail."""
        self._opened(path)
        return self._ledger.standing()

    def _opened(self, path: VirtualPath) -> Root:
        """Return the root, for as long as the caller keeps it. Raises: IO after close()."""
        root = self._root
        if root is None:
            raise StorageError(Kind.IO, path)
        return root

    def _find(self, path: VirtualPath, *, follow: bool = False) -> Place:
        return self._opened(path).find(path, follow=follow)

    def _find_own(self, path: VirtualPath) -> Place:
        """Find the name that is to be removed or renamed itself."""
        if path.is_root:
            raise StorageError(Kind.DENIED, path, why="the root of a tree stays")
        return self._find(path)

    def _find_new(self, path: VirtualPath, *, is_file: bool = False, follow: bool = False) -> Place:
        """Find the name under which something is to be made."""
        self._require_new(path, is_file=is_file)
        return self._find(path, follow=follow)

    @staticmethod
    def _require_new(path: VirtualPath, *, is_file: bool = False) -> None:
        """Refuse names that never can be made."""
        if path.is_root:
            raise StorageError(Kind.IS_A_DIRECTORY if is_file else Kind.EXISTS, path)
        if is_reserved(path.name):
            raise StorageError(Kind.BAD_NAME, path)

    def _entry(self, place: Place) -> Entry | None:
        """Describe the file at *place*, None for a link."""
        name = place.path.name
        try:
            status = place.lstat()
        except FileNotFoundError:
            partial = self._unfinished(place)
            if partial is None:
                raise
            return entry_of(name, partial.status)._replace(size=partial.length, perm=PARTIAL_PERM)
        if stat.S_ISLNK(status.st_mode):
            return None
        entry = shown(entry_of(name, status), self._content)
        return entry._replace(perm=ROOT_PERM) if place.path.is_root else entry

    @contextmanager
    def _or_not_at_all(self, place: Place, made: os.stat_result) -> Iterator[None]:
        """Remove *made*, new at *place*, when something goes wrong: a command that is refused leaves nothing behind."""
        try:
            yield
        except BaseException:
            with suppress(OSError), turn(place), self._ledger.change() as change:
                if os.path.samestat(place.lstat(), made):
                    change.going(made)
                    (os.rmdir if stat.S_ISDIR(made.st_mode) else os.unlink)(place.name, dir_fd=place.fd)
                    change.went(made)
            raise

    def _unfinished(self, place: Place) -> Unfinished | None:
        """Describe the owner's unfinished upload to *place*, where nothing is."""
        keep = self._uploads.keep_partial
        return find_partial(place, self._owner, keep, self._content) if self._uploads.atomic else None

    def _discard_partial(self, place: Place) -> bool:
        name = partial_name(self._owner, place.name)
        return self._uploads.atomic and discard_partial(place, name, ledger=self._ledger)
