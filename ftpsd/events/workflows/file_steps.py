"""
The steps that change files: move, copy, and the way through gpg. Everything here blocks.

* A step works in the trees of the event's user (home and mounts), by the storage that sessions have: the jail, quotas,
  accept rules, legal holds and encryption at rest count. The user's own rights do not: it is the operator's step.
* No file is ever replaced. Where a name is taken, the id of the event comes into it.
* A change is announced before it is made (`Doing`): after a crash a look at the target, by its inode, says whether it
  was made. So a file step is done once, whatever dies when.
* The file has to be the one of the event. One that was replaced since has an event of its own: the run is superseded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from ftpsd.events.sinks.receiver import GivenUp, NotTaken
from ftpsd.events.workflows.runs import Doing
from ftpsd.storage.base import Kind, NotYet, Sink, Source, Storage, StorageError, Terms
from ftpsd.storage.pgp.converting import ConvertingSink
from ftpsd.storage.pgp.key_home import KeyHome
from ftpsd.storage.pgp.treatment import Treatment
from ftpsd.storage.pieces.piece import read_piece
from ftpsd.values.entry import EntryType
from ftpsd.values.path import VirtualPath
from ftpsd.values.trace import Trace

# A file that is not replaced, whole, and on the disk when it is published.
TERMS: Final = Terms(resumable=False, may_replace=False, durable=True)
PAUSE: Final = 0.02
# No later attempt can change these.
_FINAL: Final = frozenset(
    {
        Kind.NOT_FOUND,
        Kind.BAD_NAME,
        Kind.REFUSED,
        Kind.HELD,
        Kind.DAMAGED,
        Kind.IS_A_DIRECTORY,
        Kind.NOT_REGULAR,
        Kind.NOT_A_DIRECTORY,
        Kind.UNSUPPORTED,
    }
)
_WORDS: Final = {
    Kind.NOT_FOUND: "there is no such file",
    Kind.NO_SPACE: "there is no space left",
    Kind.QUOTA: "the quota is used up",
    Kind.COUNTING: "the quota is being counted",
    Kind.BUSY: "the file is being changed",
    Kind.UNJUDGED: "it cannot be scanned now",
}


class Superseded(Exception):
    """The file of the event was replaced since; the newer one has an event of its own."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The file that a step is about: at *path*, of *size* and *sha256* where these are known."""

    path: VirtualPath
    size: int | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """The file behind a step."""

    path: VirtualPath
    size: int
    sha256: str | None


class FileStep:
    """
    A step that makes *target* of *subject* in the trees of *storage*, in two halves: `announce`, then `finish`.

    *treatment* takes the bytes through gpg, with the keys of *home*; without one they stay. With *removes* the old file
    goes. *id* is that of the event, *is_stopped* tells that there is no time left.
    """

    def __init__(
        self,
        storage: Storage,
        subject: Subject,
        target: VirtualPath,
        id: str,
        *,
        removes: bool,
        is_stopped: Callable[[], bool],
        treatment: Treatment | None = None,
        home: KeyHome | None = None,
    ) -> None:
        self._storage = storage
        self._subject = subject
        self._target = target
        self._id = id
        self._removes = removes
        self._is_stopped = is_stopped
        self._treatment = treatment
        self._home = home
        self._open = ExitStack()
        self._open.callback(storage.close)
        self._sink: Sink | None = None

    def found_done(self, doing: Doing) -> Result | None:
        """Return the result of what was announced before a crash, which is completed; None when it was not done."""
        with explained():
            target = VirtualPath.parse(doing.target)
            try:
                trace = self._storage.trace(target)
            except StorageError as error:
                if error.kind in (Kind.NOT_FOUND, Kind.NOT_A_DIRECTORY):
                    return None
                raise
            if (trace.device, trace.inode, trace.size) != (doing.device, doing.inode, doing.size):
                return None
            if doing.source is not None:
                self._remove(VirtualPath.parse(doing.source))
            return self._result(target)

    def announce(self) -> Doing | None:
        """
        Do all but the change itself, and return that; None where the file is there already, under its very name.

        Raises: NotTaken; Superseded.
        """
        with explained():
            source = self._subject.path
            require_subject(self._storage, self._subject)
            if self._target == source:
                if self._removes and self._treatment is None:
                    return None
                raise GivenUp("a file cannot be copied onto itself")
            self._make_directories(self._target.parent)
            self._target = self._free_name()
            if self._removes and self._treatment is None:
                try:
                    return _doing(self._storage.trace(source, becoming=self._target), self._target)
                except StorageError as error:
                    if error.kind is not Kind.OTHER_TREE:
                        raise
            return self._announce_copy()

    def announce_copy(self) -> Doing:
        """Announce a copy, for a rename that leads to another file system. Raises: NotTaken."""
        with explained():
            return self._announce_copy()

    def finish(self, doing: Doing | None) -> Result | None:
        """
        Make the change; None when it takes a copy, which is to be announced.

        Raises: NotTaken.
        """
        with explained():
            if doing is None:
                return self._result(self._target)
            if self._sink is not None:
                self._sink.commit()
                if doing.source is not None:
                    self._remove(self._subject.path)
                return self._result(self._target)
            try:
                self._storage.rename(self._subject.path, self._target, may_replace=False, any_kind=False)
            except StorageError as error:
                if error.kind is Kind.OTHER_TREE:
                    return None
                raise
            return self._result(self._target)

    def close(self) -> None:
        """Let all go; what is not published is given up."""
        self._open.close()

    # --- the parts

    def _announce_copy(self) -> Doing:
        source = self._storage.open_source(self._subject.path)
        self._open.callback(source.close)
        sink = self._open_sink()
        self._open.callback(sink.abort)
        _copied(source, self._subject.path, sink, self._is_stopped)
        while not _is_prepared(sink):
            self._require_time()
        self._sink = sink
        return _doing(sink.trace(), self._target, str(self._subject.path) if self._removes else None)

    def _open_sink(self) -> Sink:
        if self._treatment is None or self._home is None:
            return self._storage.open_sink(self._target, TERMS)
        seals = not self._treatment.decrypts
        terms = Terms(resumable=False, may_replace=False, durable=True, is_sealed=seals)
        # A file that is encrypted here was watched when it came; a decrypted one is watched by the inner upload.
        inner = self._storage.open_sink(self._target, terms)
        return ConvertingSink(inner, self._subject.path, self._treatment, self._home, ())

    def _make_directories(self, folder: VirtualPath) -> None:
        # A mount point has no trace of its own.
        if folder.is_root or _is_found(lambda: self._storage.stat(folder)):
            return
        self._make_directories(folder.parent)
        try:
            self._storage.make_directory(folder)
        except StorageError as error:
            if error.kind is not Kind.EXISTS:
                raise

    def _free_name(self) -> VirtualPath:
        """Return the target, with the id of the event in its name where that is taken."""
        target = self._target
        if not self._is_there(target):
            return target
        stem, dot, suffix = target.name.rpartition(".")
        name = f"{stem}-{self._id}.{suffix}" if stem and dot else f"{target.name}-{self._id}"
        other = target.parent / name
        if self._is_there(other):
            raise GivenUp(f"{other} is taken")
        return other

    def _is_there(self, path: VirtualPath) -> bool:
        return _is_found(lambda: self._storage.trace(path))

    def _remove(self, path: VirtualPath) -> None:
        """Remove the old file, if it still is that."""
        with suppress(Superseded):
            try:
                require_subject(self._storage, self._subject)
                self._storage.remove_file(path)
            except StorageError as error:
                if error.kind is not Kind.NOT_FOUND:
                    raise

    def _result(self, target: VirtualPath) -> Result:
        entry = self._storage.stat(target)
        source = self._storage.open_source(target)
        try:
            return Result(target, entry.size, source.sha256)
        finally:
            source.close()

    def _require_time(self) -> None:
        if self._is_stopped():
            raise NotTaken("the server is being stopped")


def require_subject(storage: Storage, subject: Subject) -> None:
    """Raises: Superseded, NotTaken for a file that is not the one of the event."""
    entry = storage.stat(subject.path)
    if entry.type is not EntryType.FILE:
        raise GivenUp("it is no file")
    if subject.size is not None and entry.size != subject.size:
        raise Superseded
    if subject.sha256 is not None:
        source = storage.open_source(subject.path)
        try:
            if source.sha256 is not None and source.sha256 != subject.sha256:
                raise Superseded
        finally:
            source.close()


def _is_found(look: Callable[[], object]) -> bool:
    try:
        look()
    except StorageError as error:
        if error.kind in (Kind.NOT_FOUND, Kind.NOT_A_DIRECTORY):
            return False
        raise
    return True


def _copied(source: Source, path: VirtualPath, sink: Sink, is_stopped: Callable[[], bool]) -> None:
    """Copy all of *source* into *sink*."""

    def take(data: memoryview) -> None:
        is_behind = sink.write(data)
        while is_behind:
            time.sleep(PAUSE)
            is_behind = sink.write(memoryview(b""))

    left = source.size
    while left:
        if is_stopped():
            raise NotTaken("the server is being stopped")
        left -= read_piece(source, path, left, take)


def _is_prepared(sink: Sink) -> bool:
    try:
        return sink.prepare()
    except NotYet as wait:
        time.sleep(wait.seconds)
        return False


def _doing(trace: Trace, target: VirtualPath, source: str | None = None) -> Doing:
    return Doing(str(target), trace.device, trace.inode, trace.size, source)


@contextmanager
def explained() -> Iterator[None]:
    """
    Turn a StorageError into the reason why a step was not done, and say whether another attempt makes sense.

    Raises: NotTaken.
    """
    try:
        yield
    except StorageError as error:
        reason = _WORDS.get(error.kind, error.reason)
        if error.path is not None:
            reason = f"{error.path}: {reason}"
        raise (GivenUp if error.kind in _FINAL else NotTaken)(reason) from error
