"""
The chain's writer: numbers and links lines, signs checkpoints, follows a rotation.

* The head of the chain is the last line of the file itself, so nothing else can disagree with it. Each process
  remembers the end that it wrote; where the file is longer, another process has written, and its last line is read. All
  of this happens under the turn that is held around a write.
* Beside that turn the file itself is locked (flock): processes of a server that was killed may still write their last
  lines when the next one has started, and share no turn with it.
* A torn line at the end (a crash, a full disk) is ended, and the next line tells its length and digest: `audit-torn`. A
  line that lacks its end alone is whole.
* Every file begins with `audit-segment`, linked to the last line of the file before. A file that was rotated away ends
  with a checkpoint; nothing is written to it behind that, by any process.
* The last checkpoint also lies beside the log (`NAME.checkpoint`). It is written when the log is on the disk up to
  there, so a log that ends before it was cut off.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.logger import Logger

from ftpsd.audit.evidence.link import (
    CHECKPOINT,
    INTERVAL,
    MAX_LINE,
    NOTHING,
    ROTATED,
    SEGMENT,
    STOPPED,
    TORN,
    Head,
    digest,
    head_of,
    is_signed_by,
    link,
    link_of,
    name_of,
    own_line,
    read_line,
    sign,
)
from ftpsd.audit.evidence.log_segments import rotated_files

# Bytes that are read at the end of a file: enough for the last lines. Lines are some hundreds long.
FIRST_LOOK: Final = 4096
FILE_MODE: Final = 0o640


@dataclass(frozen=True, slots=True)
class Framed:
    """Linked *lines*, with lines about the log itself *before* and *behind* them."""

    before: bytes
    lines: list[bytes]
    behind: bytes


@dataclass(frozen=True, slots=True)
class _Tail:
    """The end of a file: its last linked line, where there is one, and a rest without a line end."""

    line: bytes | None
    rest: bytes

    @property
    def head(self) -> Head | None:
        return None if self.line is None else head_of(self.line)

    @property
    def is_closed(self) -> bool:
        """Whether the file ends with the checkpoint behind which nothing is written."""
        fields = read_line(self.line) if self.line is not None and not self.rest else None
        return fields is not None and fields.get("event") == CHECKPOINT and fields.get("reason") == ROTATED


class Chain:
    """
    The chain of the log at *path*, signed with *key* after so many *lines* of a process, or *seconds* after the first.

    `patience` apart, its methods are called by the thread that writes the log, and under the turn of all writers.
    """

    _log = Logger()

    def __init__(
        self,
        path: Path,
        key: Ed25519PrivateKey,
        lines: int,
        seconds: float,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._key = key
        self._name = name_of(key.public_key())
        self._lines = lines
        self._seconds = seconds
        self._now = now
        self._clock = clock
        self._head: Head | None = None
        # The file and its length when we wrote last; None when what it holds has to be looked at.
        self._end: tuple[int, int, int] | None = None
        self._unsigned = 0
        self._due: float | None = None
        self._promised: tuple[Head, bytes | None] | None = None

    @property
    def patience(self) -> float | None:
        """The seconds until the next checkpoint; None while there is nothing to sign."""
        return None if self._due is None else max(0.0, self._due - self._clock())

    def check(self, fd: int) -> None:
        """Raises: OSError when *fd* is nothing that a chain can be written to."""
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(None, "a chained log must be a plain file; remove audit.chain, or name a file")

    @contextmanager
    def alone(self, fd: Callable[[], int]) -> Iterator[None]:
        """Keep all other writers out of the file *fd*, and of the one that takes its place meanwhile."""
        fcntl.flock(fd(), fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(fd(), fcntl.LOCK_UN)

    def follow(self, fd: int, *, is_ordered: bool) -> int | None:
        """
        Return the descriptor, locked, of the file that has taken the place of *fd*, which ends with a checkpoint then.

        None where there is none. A file that was moved away is written to until another process has left it, or until
        the order to reopen the log, with which a new one is made.
        """
        old, new = os.fstat(fd), _status(self._path)
        if new is not None and (new.st_dev, new.st_ino) == (old.st_dev, old.st_ino):
            return None
        if new is None and not is_ordered:
            return None
        fresh = open_log(self._path)
        fcntl.flock(fresh, fcntl.LOCK_EX)
        before, head, tail = self._begin(fd)
        if not tail.is_closed:
            checkpoint, closed = self._checkpoint(head, ROTATED)
            if self._append(fd, before + checkpoint):
                self._signed(fd, closed, checkpoint)
                head = closed
            else:
                head = self._head or tail.head or NOTHING
        self._head, self._end = head, None
        return fresh

    def frame(self, fd: int, lines: list[bytes], *, is_last: bool) -> Framed:
        """
        Return *lines* as the next ones of the file *fd*; `written` has to be called behind that.

        *is_last* where none will follow.
        """
        before, head, _ = self._begin(fd)
        linked = []
        for line in lines:
            following, head = link(line, head)
            linked.append(following)
        unsigned = self._unsigned + len(lines) + bool(before)
        is_due = unsigned >= self._lines or (self._due is not None and self._clock() >= self._due)
        behind = None
        if unsigned and (is_due or is_last):
            behind, head = self._checkpoint(head, STOPPED if is_last else INTERVAL)
        if before or linked or behind:
            self._unsigned = unsigned
            if self._due is None:
                self._due = self._clock() + self._seconds
        self._promised = (head, behind)
        return Framed(before, linked, behind or b"")

    def written(self, fd: int, is_whole: bool) -> None:
        """Note that what `frame` has returned was written to *fd*, whole or not."""
        promised, self._promised = self._promised, None
        if not is_whole or promised is None:
            self._end = None
            return
        head, checkpoint = promised
        self._head = head
        self._remember(fd)
        if checkpoint is not None:
            self._signed(fd, head, checkpoint)

    # --- the end of the file

    def _begin(self, fd: int) -> tuple[bytes, Head, _Tail]:
        """
        Look at the end of the file *fd*.

        Return what has to stand in front of the next line, the head of the chain behind that, and the end found.
        """
        status = os.fstat(fd)
        if self._end == (status.st_dev, status.st_ino, status.st_size) and self._head is not None:
            return b"", self._head, _Tail(None, b"")
        tail = _tail_of(fd, status.st_size)
        found, rest = tail.head, tail.rest
        before = b"\n" if rest else b""
        whole = link_of(rest + b"\n")
        if whole is not None and found is not None and whole.follows(found):
            found, rest = head_of(rest + b"\n"), b""
        # Of a file that was cut off behind our back we know more than it does: the missing numbers then show.
        known = [self._head, found]
        if self._head is None or found is None:
            known.append(self._of_checkpoint())
        if self._head is None and found is None:
            known.append(self._of_rotated())
        head = max((each for each in known if each is not None), key=lambda each: each.seq, default=NOTHING)
        if head == found and not rest and tail.line is not None and _is_checkpoint(tail.line):
            self._unsigned, self._due = 0, None
        if rest:
            line, head = link(own_line(TORN, self._now(), bytes=len(rest), sha256=digest(rest)), head)
            before += line
        if found is None:
            # Lines in front of it, of a log that was not chained, are told by their length.
            begun = own_line(SEGMENT, self._now(), offset=status.st_size + len(before), key=self._name)
            line, head = link(begun, head)
            before += line
        return before, head, tail

    def _of_checkpoint(self) -> Head | None:
        """Return the head that the last checkpoint is."""
        try:
            line = checkpoint_file(self._path).read_bytes()[:MAX_LINE]
        except OSError:
            return None
        return head_of(line) if is_signed_by(line, self._key.public_key()) else None

    def _of_rotated(self) -> Head | None:
        """Return the head of the file that was rotated away last."""
        newest = max(rotated_files(self._path), key=lambda each: each.stat().st_mtime_ns, default=None)
        if newest is None:
            return None
        try:
            line = last_line(newest)
        except (OSError, EOFError, zlib.error) as error:
            self._log.error("{file} cannot be read: {why}; the audit chain begins anew.", file=str(newest), why=error)
            return None
        return None if line is None else head_of(line)

    def _append(self, fd: int, data: bytes) -> bool:
        try:
            return os.write(fd, data) == len(data)
        except OSError as error:
            self._log.error("The audit log is left without a last checkpoint: {why}.", why=error.strerror)
            return False

    def _remember(self, fd: int) -> None:
        status = os.fstat(fd)
        self._end = status.st_dev, status.st_ino, status.st_size

    # --- checkpoints

    def _checkpoint(self, head: Head, reason: str) -> tuple[bytes, Head]:
        line, _ = link(own_line(CHECKPOINT, self._now(), reason=reason, key=self._name), head)
        signed = sign(line, self._key)
        return signed, Head(head.seq + 1, digest(signed))

    def _signed(self, fd: int, head: Head, checkpoint: bytes) -> None:
        """Put the log on the disk, then *checkpoint*, its last line, beside it."""
        self._head, self._unsigned, self._due = head, 0, None
        file = checkpoint_file(self._path)
        try:
            os.fdatasync(fd)
            fresh = file.with_name(file.name + ".new")
            opened = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
            with open(opened, "wb") as stream:
                if os.geteuid() == 0:
                    # A command of root writes it too; the daemon has to be able to read it then.
                    log = os.fstat(fd)
                    os.fchown(opened, log.st_uid, log.st_gid)
                stream.write(checkpoint)
                stream.flush()
                os.fdatasync(opened)
            os.replace(fresh, file)
        except OSError as error:
            self._log.error("{file} cannot be written: {why}.", file=str(file), why=error.strerror)


def open_log(path: Path) -> int:
    """
    Open the log at *path* to be appended to, and read at its end.

    Never through a link: whoever can point one elsewhere would have the chain go on in a file of their choice, and
    commands, as root, write into it.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK
    return os.open(path, flags, FILE_MODE)


def checkpoint_file(log: Path) -> Path:
    """Return where the last checkpoint of *log* lies."""
    return log.with_name(log.name + ".checkpoint")


def last_line(file: Path) -> bytes | None:
    """
    Return the last linked line of *file*, plain or gzip, None where there is none. Blocks.

    Raises: OSError, EOFError, zlib.error.
    """
    if file.suffix != ".gz":
        with open(file, "rb") as stream:
            return _tail_of(stream.fileno(), os.fstat(stream.fileno()).st_size).line
    found = None
    packed: IO[bytes]
    with gzip.open(file, "rb") as packed:  # type: ignore[assignment]
        while line := packed.readline(MAX_LINE):
            if link_of(line) is not None:
                found = line
    return found


def _tail_of(fd: int, size: int) -> _Tail:
    """Return the end of the file *fd* of *size* bytes; of lines further back than MAX_LINE nothing is known."""
    look = FIRST_LOOK
    while True:
        start = max(0, size - look)
        data = os.pread(fd, size - start, start)
        lines = data.split(b"\n")
        rest = lines.pop()
        # The first of them may be the end of a longer one.
        for line in reversed(lines if start == 0 else lines[1:]):
            if link_of(line + b"\n") is not None:
                return _Tail(line + b"\n", rest)
        if start == 0 or look >= MAX_LINE:
            return _Tail(None, rest)
        look *= 16


def _is_checkpoint(line: bytes) -> bool:
    fields = read_line(line)
    return fields is not None and fields.get("event") == CHECKPOINT


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=False)
    except OSError:
        return None
