"""
The walk: from the jail's root descriptor to one name in one directory, component by component.

Every component is opened below the one before it with O_NOFOLLOW, so the kernel never follows a symlink and never
sees `..`. Where a component turns out to be a symlink its text is spliced into the names still to go, and the walk
begins again at the root: directories opened before are not trusted a second time, and a directory or link that is
swapped meanwhile can only make the walk fail, never leave. Directories are opened with O_PATH, which needs search
permission only and touches no device.
"""

from __future__ import annotations

import errno
import fcntl
import os
from threading import Lock
from types import TracebackType
from typing import Literal
from weakref import WeakValueDictionary

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.disk.names import decode_name, encode_name, is_reserved
from ftpsd.storage.disk.openat2 import is_near, open_directory
from ftpsd.storage.errnos import from_oserror
from ftpsd.values.path import VirtualPath
from ftpsd.values.trace import Trace

Symlinks = Literal["inside", "none"]

# The kernel's own bound (path_resolution(7)).
MAX_LINKS = 40

# macOS has no O_PATH; there a directory must be readable to be walked through.
O_PATH: int = getattr(os, "O_PATH", os.O_RDONLY)
_STEP = O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINK_SEEN = frozenset({errno.ENOTDIR, errno.ELOOP})


class Place:
    """
    One name in one open directory; the name need not exist.

    As a context it closes the directory at the end, and makes every error a StorageError about *path*. The descriptor
    of a *root* is the root's, which is kept from closing it meanwhile.
    """

    __slots__ = ("_names", "_root", "fd", "name", "path")

    def __init__(
        self, fd: int, name: bytes, path: VirtualPath, root: Root | None = None, names: list[bytes] | None = None
    ) -> None:
        self.fd = fd
        self.name = name
        self.path = path
        self._root = root
        self._names = names

    @property
    def real(self) -> VirtualPath:
        """The path of it without links, of which only the last name can be one."""
        return self.path if self._names is None else VirtualPath(tuple(map(decode_name, self._names)))

    def goes_by(self, names: list[bytes]) -> None:
        """Note the *names* from the root to it, none of which but the last is a link."""
        self._names = names[:]

    def lstat(self) -> os.stat_result:
        """Describe the name itself, be it a link."""
        return os.stat(self.name, dir_fd=self.fd, follow_symlinks=False)

    def lstat_or_none(self) -> os.stat_result | None:
        """Describe the name itself, None where there is nothing."""
        try:
            return self.lstat()
        except FileNotFoundError:
            return None

    def trace(self, status: os.stat_result, *, former: Place | None = None, sha256: str | None = None) -> Trace:
        """Return the trace of the file *status* here, which comes from *former*."""
        was = None if former is None else former.host_path()
        return Trace(self.host_path(), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, was, sha256)

    def host_path(self) -> bytes:
        """Return the path of this machine by which other programs find it now; it is never opened here."""
        return os.path.join(_path_of(self.fd), self.name)

    def sync(self) -> None:
        """Make changes of names in this directory survive a power cut."""
        fd = os.open(b".", _READ_DIRECTORY, dir_fd=self.fd)  # an O_PATH descriptor cannot be synced
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def keep(self) -> Place:
        """Return the same place for good; the end of this one's context leaves it open."""
        kept = Place(self.fd, self.name, self.path, self._root, self._names)
        self.fd = -1
        return kept

    def close(self) -> None:
        """Close the directory; idempotent."""
        fd, self.fd = self.fd, -1
        if fd >= 0 and self._root is None:
            os.close(fd)

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()
        if isinstance(error, OSError):
            raise from_oserror(error, self.path) from error
        if isinstance(error, StorageError) and error.path is None:
            error.path = self.path


class Root:
    """
    The directory a jail consists of, held open.

    Its descriptor closes with the last reference, not before: a worker in the middle of a walk must never see the
    number come to mean another user's directory.
    """

    __slots__ = ("__weakref__", "fd", "path", "symlinks")

    def __init__(self, directory: bytes, symlinks: Symlinks) -> None:
        self.fd = -1
        self.symlinks = symlinks
        self.path = os.path.realpath(directory)
        self.fd = os.open(self.path, _STEP)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)

    @classmethod
    def shared(cls, directory: bytes, symlinks: Symlinks) -> Root:
        """
        Return the root that others hold open for *directory*, or a new one; with a descriptor each, sessions cost two.

        A directory that has been replaced since, by a rename or a mount, is opened anew.
        """
        path = os.path.realpath(directory)
        with _opening:
            root = _roots.get((path, symlinks))
        if root is None or not os.path.samestat(os.stat(path), os.fstat(root.fd)):
            root = cls(path, symlinks)
        with _opening:
            _roots[path, symlinks] = root
            if is_near(root.fd):
                _near[directory] = os.fstat(root.fd).st_dev
                if len(_near) > _MOST_NEAR:
                    del _near[next(iter(_near))]
        return root

    @classmethod
    def cached(cls, directory: bytes, symlinks: Symlinks) -> Root | None:
        """
        Return the root of *directory* where that needs no waiting: it was opened before, on a near file system.

        The one way to a root that the reactor thread may take. A login then needs no worker: waking one and being woken
        is a sixth of the cost of a login.
        """
        device = _near.get(directory)
        if device is None or (fd := open_directory(directory)) is None:
            return None
        try:
            status = os.fstat(fd)
            path = os.readlink(b"/proc/self/fd/%d" % fd)
            root = _roots.get((path, symlinks))
            if root is not None and os.path.samestat(status, os.fstat(root.fd)):
                return root
            if status.st_dev != device:  # something else is mounted there by now
                return None
            root = cls.__new__(cls)
            root.path, root.symlinks, root.fd, fd = path, symlinks, fd, -1
        except OSError:
            return None
        finally:
            if fd >= 0:
                os.close(fd)
        _roots[path, symlinks] = root
        return root

    def find(self, path: VirtualPath, *, follow: bool = False) -> Place:
        """
        Walk to the last name of *path*, and with *follow* to where that leads when it is a link.

        Raises: NOT_FOUND also for a link that leads out of the jail or into a reserved name.
        """
        return self.locate(path, follow=follow)[0]

    def locate(self, path: VirtualPath, *, follow: bool = False) -> tuple[Place, list[bytes]]:
        """Walk as find() does; return also the names from the root to there, of which the last alone can be a link."""
        try:
            names = [encode_name(name) for name in path.parts]
            for name in path.parts:
                if is_reserved(name):
                    raise StorageError(Kind.NOT_FOUND)
            for times in range(MAX_LINKS + 1):
                found = self._walk(names, path, follow)
                if isinstance(found, Place):
                    if times:  # through a link
                        found.goes_by(names)
                    return found, names
                names = found
        except OSError as error:
            raise from_oserror(error, path) from error
        except StorageError as error:
            error.path = path
            raise
        raise StorageError(Kind.TOO_MANY_LINKS, path)

    def open_directory(self, path: VirtualPath) -> int:
        """Open the directory *path*, through links, for reading; return its descriptor, which is the caller's."""
        with self.find(path) as place:
            try:
                return os.open(place.name, _READ_DIRECTORY, dir_fd=place.fd)
            except OSError as error:
                if error.errno not in _LINK_SEEN or _link_or_none(place.fd, place.name) is None:
                    raise
        with self.find(path, follow=True) as place:
            return os.open(place.name, _READ_DIRECTORY, dir_fd=place.fd)

    def _walk(self, names: list[bytes], path: VirtualPath, follow: bool) -> Place | list[bytes]:
        """Walk once along *names*; where that is not the end of it, return the names to walk along instead."""
        if not names:
            return Place(self.fd, b".", path, self)
        directory = self.fd
        last = len(names) - 1
        try:
            for index in range(last):
                name = names[index]
                if name == b"..":  # out of a link; everything before it was just seen to be a real directory
                    return _above(names[:index]) + names[index + 1 :]
                try:
                    step = os.open(name, _STEP, dir_fd=directory)
                except OSError as error:
                    link = _link_or_none(directory, name) if error.errno in _LINK_SEEN else None
                    if link is None:
                        raise
                    return self._splice(names, index, link)
                if directory != self.fd:
                    os.close(directory)
                directory = step
            name = names[last]
            if name == b"..":
                return _above(names[:last])
            if follow and (link := _link_or_none(directory, name)) is not None:
                return self._splice(names, last, link)
            if not last:
                return Place(self.fd, name, path, self)
            place = Place(directory, name, path)
            directory = self.fd  # it is the place's now
            return place
        finally:
            if directory != self.fd:
                os.close(directory)

    def _splice(self, names: list[bytes], index: int, link: bytes) -> list[bytes]:
        """Return *names* with the text of the link at *index* in its place. Raises: NOT_FOUND when that leads out."""
        if self.symlinks == "none":
            raise StorageError(Kind.NOT_FOUND)
        before = names[:index]
        if link.startswith(b"/"):
            # The link was written by a user outside the jail, who sees the real root path.
            if link != self.path and not link.startswith(self.path.rstrip(b"/") + b"/"):
                raise StorageError(Kind.NOT_FOUND)
            before, link = [], link[len(self.path) :]
        said = [name for name in link.split(b"/") if name not in (b"", b".")]
        if any(is_reserved(decode_name(name)) for name in said):
            raise StorageError(Kind.NOT_FOUND)
        while said and said[0] == b"..":
            before, said = _above(before), said[1:]
        return before + said + names[index + 1 :]


# The open roots of this process; each is gone with the last session that uses it.
_roots: WeakValueDictionary[tuple[bytes, Symlinks], Root] = WeakValueDictionary()
_opening = Lock()
# The device of each directory that was opened on a file system of this machine; about 100 bytes each.
_near: dict[bytes, int] = {}
_MOST_NEAR = 10_000


def _path_of(directory: int) -> bytes:
    """Return the path of an open directory."""
    if (get_path := getattr(fcntl, "F_GETPATH", None)) is not None:  # macOS has no /proc
        return fcntl.fcntl(directory, get_path, bytes(1024)).rstrip(b"\0")
    return os.readlink(b"/proc/self/fd/%d" % directory)


def relative_text(directory: list[bytes], target: list[bytes]) -> bytes:
    """Return the text of a link in *directory*, whose names are no links, that leads to *target*."""
    shared = 0
    for ours, theirs in zip(directory, target, strict=False):
        if ours != theirs:
            break
        shared += 1
    return b"/".join([b".."] * (len(directory) - shared) + target[shared:])


def _above(names: list[bytes]) -> list[bytes]:
    if not names:
        raise StorageError(Kind.NOT_FOUND)
    return names[:-1]


def _link_or_none(directory: int, name: bytes) -> bytes | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise
