"""
Storage as the rest of the server sees it: the interface, and its one exception.

Every call may block and is made in a worker, all but `traits`, `read_cached` and `close`. A storage raises only
`StorageError` for faults of the file system and of the caller's request; a reply may be made of the kind alone, the
cause is for the log. A storage may be called from several workers at once. One `Source`, `Sink` or `Listing` belongs to
one worker at a time.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Protocol

from ftpsd.storage.cached_file import CachedFile
from ftpsd.values.entry import Entry
from ftpsd.values.path import VirtualPath
from ftpsd.values.quota import Standing
from ftpsd.values.trace import Trace


class Kind(Enum):
    """The kind of a failure, as far as a client may know."""

    NOT_FOUND = auto()
    EXISTS = auto()
    DENIED = auto()
    NOT_A_DIRECTORY = auto()
    IS_A_DIRECTORY = auto()
    NOT_EMPTY = auto()
    NO_SPACE = auto()
    QUOTA = auto()
    COUNTING = auto()  # how much there is has not been counted yet, so it is not known whether more would be too much
    UNCOUNTED = auto()  # how much there is cannot be counted: something there cannot be looked at
    BAD_NAME = auto()
    NOT_REGULAR = auto()
    READ_ONLY = auto()
    BUSY = auto()  # may work later: another session is at it, or the server is short of descriptors or memory
    TOO_MANY_LINKS = auto()
    CIRCULAR = auto()  # a link to a directory that the link is in
    NO_LINKS = auto()  # no link is followed here, so none is made
    BAD_OFFSET = auto()
    UNFINISHED = auto()  # going on from a published file, of which this owner has an unfinished new version
    BAD_RANGE = auto()  # an upload into a range that is longer or shorter
    OTHER_TREE = auto()  # a rename from one mount, or one file system, to another
    UNSUPPORTED = auto()
    WHOLE_ONLY = auto()  # only whole files are taken here: nothing is appended, resumed, copied or joined
    HELD = auto()  # it is to stay as it is, by a legal hold
    REFUSED = auto()  # the bytes are not taken: a watcher of the upload has refused them
    DAMAGED = auto()  # what is stored is not what was stored, or cannot be opened: nothing of it is given out
    UNJUDGED = auto()  # whether the bytes may be taken cannot be found out now
    IO = auto()


class StorageError(Exception):
    """
    An operation that was not done; *path* is the virtual path, never a host path.

    *why* names the decision, such as the right that no rule gives, where neither kind nor cause does.
    """

    def __init__(
        self, kind: Kind, path: VirtualPath | None = None, cause: OSError | None = None, *, why: str | None = None
    ) -> None:
        super().__init__(kind, path, cause)
        self.kind = kind
        self.path = path
        self.cause = cause
        self.why = why

    @property
    def reason(self) -> str:
        """The decision, for the log: a rule, the name of the errno, or else the kind."""
        return self.why or self._errno or _ERRNOS.get(self.kind) or self.kind.name.lower().replace("_", " ")

    @property
    def _errno(self) -> str | None:
        return None if self.cause is None else errno.errorcode.get(self.cause.errno or 0, "unknown errno")

    def __str__(self) -> str:
        where = "" if self.path is None else f" {self.path}"
        why = self.why or self._errno
        return f"{self.kind.name}{where}" + (f" ({why})" if why else "")


class NotYet(Exception):
    """Nothing can be done before *seconds* have passed: a watcher of an upload waits for another program's answer."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class UnfinishedUpload(StorageError):
    """An upload that was to go on from a published file while *length* bytes of a new version of it have come in."""

    def __init__(self, length: int, path: VirtualPath | None = None, *, is_append: bool) -> None:
        super().__init__(Kind.UNFINISHED, path)
        self.length = length
        self.is_append = is_append


# The name in the log of a kind that was found out by looking, without a system call that failed.
_ERRNOS = {
    Kind.NOT_FOUND: "ENOENT",
    Kind.EXISTS: "EEXIST",
    Kind.NOT_A_DIRECTORY: "ENOTDIR",
    Kind.IS_A_DIRECTORY: "EISDIR",
    Kind.NOT_EMPTY: "ENOTEMPTY",
    Kind.NO_SPACE: "ENOSPC",
    Kind.READ_ONLY: "EROFS",
    Kind.OTHER_TREE: "EXDEV",
}


class Source(Protocol):
    """One open file to send."""

    size: int  # bytes of the whole file when it was opened

    @property
    def offset(self) -> int:
        """
        The offset of the next read: the end of the last one.

        No caller sets it. A value computed of the bytes that go by is of all of them, in order, or of none.
        """

    @property
    def sha256(self) -> str | None:
        """The SHA-256 of the whole file, in hex, where it is known."""

    @property
    def digests(self) -> bool:
        """Whether sha256 is known at the latest when all of the file has been read, unless it changes meanwhile."""

    def read_into(self, buffer: memoryview) -> int:
        """Fill *buffer* from the offset on and return how many bytes it took, 0 at the end."""

    def fileno(self) -> int | None:
        """Return the descriptor of a plain file that os.sendfile may use, else None."""

    def close(self) -> None:
        """Let the file go; idempotent."""


@dataclass(frozen=True, slots=True)
class Terms:
    """
    The beginning of an upload, and its rights on the target.

    The rights hold when it is opened and when it is committed, without a gap between looking and doing.
    """

    offset: int = 0  # bytes
    append: bool = False  # goes on where the file ends; *offset* does not count
    unique: bool = False  # published beside the path, under a name that no file has
    resumable: bool = True  # False: goes on from what is published alone, and is not gone on with when interrupted
    may_replace: bool = True  # False: a file of that name is EXISTS and stays as it is
    may_create: bool = True  # False: no such file is NOT_FOUND
    over_same: bool = False  # True: published only over the very file that it began with, unchanged; else BUSY
    durable: bool = False  # True: on the disk when commit() returns, also where the storage leaves that to the system
    may_hide: bool = False  # True: it may be taken before it has been judged, where the gate says so
    is_sealed: bool = False  # True: the bytes are an encrypted form; the opener has the plain ones watched

    def under_new_name(self) -> Terms:
        """Return the terms of a *unique* upload once its name has been chosen."""
        return replace(self, offset=0, append=False, unique=False, may_replace=False)


@dataclass(slots=True)
class Conversion:
    """The change of the bytes of an upload on their way to the disk."""

    sent_as: VirtualPath  # the name that the client has sent
    sha256: str | None = None  # of the bytes that the client has sent, known with that of the stored file
    signer: str | None = None  # the fingerprint of the key that has signed them


class Sink(Protocol):
    """One open upload. The opener ends it with commit() or abort()."""

    path: VirtualPath  # where it will be published; for unique=True the chosen name
    offset: int  # where the first byte goes
    sha256: str | None  # of the whole file, in hex, known after commit() where it is computed

    @property
    def conversion(self) -> Conversion | None:
        """The change of the bytes; None: they are stored as they come."""

    @property
    def verdict(self) -> str | None:
        """The word of the engines that have judged the bytes, known when prepare() has returned True; None for none."""

    @property
    def is_hidden(self) -> bool:
        """Whether commit() leaves it invisible, to get its name when it has been judged."""

    def write(self, data: memoryview) -> bool | None:
        """
        Write all of *data*; return whether more should wait, because what watches the bytes is behind.

        Its client is to send no more for a moment then; an empty write asks again. Raises: StorageError, after which
        only abort() makes sense.
        """

    def prepare(self) -> bool:
        """
        Do a piece, of about a tenth of a second, of the long work of commit(); True when nothing of it is left.

        All bytes have been written. Otherwise commit() does all of it. Raises: NotYet; StorageError, after which only
        abort() makes sense.
        """

    def trace(self) -> Trace:
        """
        Return the trace that the file will have when it is published; prepare() has returned True.

        After a crash it tells whether commit() had published it. Raises: StorageError.
        """

    def commit(self) -> None:
        """Make the upload durable and published. Raises: StorageError with nothing half-published; the sink is over."""

    def abort(self) -> None:
        """
        Give up without publishing; the received bytes stay resumable where they can. Idempotent, also after commit().
        """


class Listing(Protocol):
    """A directory read piece by piece, in bounded memory."""

    def read(self, count: int) -> list[Entry]:
        """Return up to *count* further entries, [] only at the end."""

    def close(self) -> None:
        """Let the directory go; idempotent."""


@dataclass(frozen=True, slots=True)
class Traits:
    """The traits of a tree, whatever its files and the user's rights are."""

    waits_for: frozenset[str] = frozenset()
    """Things that calls wait for besides the disks of this machine, such as a network file system, each by its name:
    calls to trees that wait for the same share workers, apart from those of all others."""
    can_link: bool = True  # False: make_link() is NO_LINKS
    can_resume: bool = True  # False: an upload that was interrupted is begun anew
    is_atomic: bool = True  # an upload is published as a whole or not at all, so it may hold bytes of an old file


class Storage(Protocol):
    """A tree of files under virtual paths."""

    def traits(self, path: VirtualPath) -> Traits:
        """
        Return the traits of the tree that *path* is in, be there a file or not.

        It holds for the life of the storage. Never waits, so the reactor thread may call.
        """

    def stat(self, path: VirtualPath) -> Entry:
        """
        Describe *path*.

        Where no published file has its name, an unfinished upload of this owner counts, unless it was to replace one.
        """

    def list(self, path: VirtualPath) -> Listing:
        """Open the directory *path* for reading. Raises: NOT_A_DIRECTORY."""

    def open_source(self, path: VirtualPath, offset: int = 0) -> Source:
        """Open the regular file *path* for sending. Raises: BAD_OFFSET beyond its end, NOT_REGULAR, IS_A_DIRECTORY."""

    def read_cached(self, path: VirtualPath, limit: int) -> CachedFile | None:
        """
        Return the whole of a regular file of up to *limit* bytes where that needs no waiting.

        The one method that the reactor thread may call. None also for every error: `open_source` then raises it.
        """

    def open_sink(self, path: VirtualPath, terms: Terms = Terms()) -> Sink:
        """
        Open an upload to *path* on *terms*.

        Raises: UNFINISHED for an upload that would go on from a published file of which this owner has an unfinished
        new version; COUNTING: ask again in a moment, nothing has been done.
        """

    def make_directory(self, path: VirtualPath) -> None:
        """Make the directory *path*. Raises: COUNTING, see open_sink()."""

    def make_link(self, path: VirtualPath, target: VirtualPath) -> None:
        """
        Make *path* a symbolic link to the file or directory *target*.

        It leads to *target* as long as neither has another name; nothing that is at *path* is ever replaced. Raises:
        NOT_FOUND for a target that is not there, cannot be seen or is in another tree; CIRCULAR; NO_LINKS;
        COUNTING, see open_sink().
        """

    def remove_directory(self, path: VirtualPath) -> None:
        """Remove the empty directory *path*."""

    def remove_file(self, path: VirtualPath) -> None:
        """
        Remove the file *path*, and the unfinished upload of this owner under that name.

        The latter goes first, so that it cannot stay alone; also when the file then cannot be removed.
        """

    def rename(self, old: VirtualPath, new: VirtualPath, *, may_replace: bool = True, any_kind: bool = True) -> None:
        """
        Rename *old* to *new*, and forget the unfinished upload of this owner under *old*.

        With *may_replace* False a file at *new* stays and the answer is EXISTS. With *any_kind* False only a plain
        file is renamed, anything else is DENIED; that holds without a gap between looking and doing. A file that is
        read-only is not replaced: DENIED.
        """

    def trace(self, path: VirtualPath, becoming: VirtualPath | None = None) -> Trace:
        """
        Return the trace of *path* itself, or the one that it will have as *becoming*.

        No right is asked for, and no client learns of it. Raises: NOT_FOUND, OTHER_TREE.
        """

    def set_modified(self, path: VirtualPath, modified_ns: int) -> int:
        """
        Set the modification time, in nanoseconds since 1970 UTC; return the one that is kept.

        File systems keep the years they can (ext4 1901 to 2446), some no fractions of a second.
        """

    def set_mode(self, path: VirtualPath, mode: int) -> int:
        """
        Set the permission bits, at most 0o777; return the mode, with its other bits.

        Directories keep all rights of their owner, which is the server: it must read their contents.
        """

    def free_bytes(self, path: VirtualPath) -> int:
        """Return how many bytes can still be stored in the directory *path*. Raises: NOT_A_DIRECTORY, COUNTING."""

    def standing(self, path: VirtualPath) -> Standing | None:
        """Return the state of the quota of the tree that *path* is in, None where there is none. Raises: COUNTING."""

    def close(self) -> None:
        """Release the tree; sources, sinks and listings that are open stay valid. Never waits."""
