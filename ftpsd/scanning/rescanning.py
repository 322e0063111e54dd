"""
Rescanning: stored files, for which accept rules with engines hold, are shown to the engines whose signatures are other
ones now than those of the verdict kept with the file. Infected files go into the quarantine.

* One file after the other, in steps of a tenth of a second, while clients work. A file that changes meanwhile is left
  alone: it has just passed the gate, or is no longer there.
* A file that is clean keeps the new verdict, and so is passed by the next time: a run that ended early, however it did,
  is simply begun again and does what is left.
* No verdict on a file leaves it where it is, and is told. Several files in a row on which an engine that is down has
  none end the run.
* Links are not followed, and the server's own names are passed by.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ftpsd.config.accept.accept_rules import Unavailable
from ftpsd.config.accept.engines import EngineAddress
from ftpsd.scanning.accept_gate import AcceptGate, engine_at, incident_number
from ftpsd.scanning.custodian import Custodian
from ftpsd.scanning.judgements import RELEASED, Judgement, judged, of_note, to_note
from ftpsd.scanning.scan import FOUND, Scan
from ftpsd.scanning.verdict import Verdict, Word
from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.disk.content import Content
from ftpsd.storage.disk.descent import Descent, Found
from ftpsd.storage.disk.digest import StreamDigest, keep_digest, stored_digest
from ftpsd.storage.disk.names import decode_name, encode_name, is_reserved, name_of
from ftpsd.storage.disk.source import READ_FILE
from ftpsd.storage.disk.syscalls import turn
from ftpsd.storage.disk.walk import Place
from ftpsd.storage.quota.ledger import Ledger
from ftpsd.storage.uploads.gating import Refusal
from ftpsd.storage.uploads.growing import Growing
from ftpsd.storage.uploads.note import keep_note, stored_note
from ftpsd.values.path import MAX_PATH, PathError, VirtualPath
from ftpsd.values.text import without_control

# Troubles, and files in which something was found, that are told one by one.
MOST_TOLD = 100
# Files in a row without a verdict for which an engine is taken to be down.
MOST_DOWN = 3
_REFUSE = Unavailable()


@dataclass(frozen=True, slots=True)
class GuardedTree:
    """A directory, the *gates* of all who see it, and how its files lie on the disk."""

    directory: Path
    gates: tuple[AcceptGate, ...]
    content: Content
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Find:
    """A file in which something was found; *is_kept* says whether it is in the quarantine, as *incident*."""

    incident: str
    owner: str
    host: str
    path: str
    bytes: int
    sha256: str
    verdict: Verdict
    is_kept: bool
    not_kept: str


@dataclass(slots=True)
class RescanProgress:
    """
    The files so far, out of *total* with *total_bytes*.

    *current* are those that the present signatures have judged already, *clean* those they have now found to be,
    *unjudged* those without a verdict, *changed* those that changed meanwhile.
    """

    total: int = 0
    total_bytes: int = 0
    files: int = 0
    bytes: int = 0
    current: int = 0
    clean: int = 0
    found: int = 0
    unjudged: int = 0
    changed: int = 0
    failed: int = 0
    troubles: list[str] = field(default_factory=list)
    finds: list[Find] = field(default_factory=list)

    def trouble(self, text: str) -> None:
        """Note what went wrong with a file."""
        if len(self.troubles) < MOST_TOLD:
            self.troubles.append(text)

    @property
    def is_complete(self) -> bool:
        """Whether every file has been judged, and what was found is in the quarantine."""
        return not (self.unjudged or self.failed)


class _Judged(StorageError):
    """The verdict with which a scan ends that does not take the file."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(Kind.REFUSED)
        self.verdict = verdict


class EngineDown(Exception):
    """An engine has no verdicts any more; the text says which, and why."""


class Rescan:
    """
    One run through *trees*; *signatures* are the present ones of each engine.

    With *is_dry* nothing is changed; with *is_all* files are read that the present signatures have judged, too.
    """

    def __init__(
        self,
        trees: Sequence[GuardedTree],
        signatures: Mapping[EngineAddress, str],
        *,
        is_dry: bool = False,
        is_all: bool = False,
    ) -> None:
        self._trees = trees
        self._signatures = signatures
        self._is_dry = is_dry
        self._is_all = is_all
        self._down = 0
        self.progress = RescanProgress()
        self.new_finds: list[Find] = []
        """The finds since it was emptied; its caller tells of them."""

    def run(self) -> Generator[float, None, None]:
        """Do it in steps; yields how many seconds to wait before the next. Raises: EngineDown."""
        for tree in self._trees:
            yield from self._count(tree)
        for tree in self._trees:
            yield from self._tree(tree)

    def _count(self, tree: GuardedTree) -> Iterator[float]:
        """Count what is to be looked at, for people who wait."""
        for _, found, _, _ in self._guarded(tree, tells=False):
            try:
                self.progress.total_bytes += found.entry.stat(follow_symlinks=False).st_size
            except OSError:
                continue
            self.progress.total += 1
            yield 0.0

    def _tree(self, tree: GuardedTree) -> Iterator[float]:
        for path, found, gate, engines in self._guarded(tree, tells=True):
            self.progress.files += 1
            name = encode_name(name_of(found.entry))
            try:
                fd = os.open(name, READ_FILE, dir_fd=found.directory)
            except FileNotFoundError:
                self.progress.changed += 1
                continue
            except OSError as error:
                self._failed(tree, path, error.strerror or "")
                continue
            try:
                if stat.S_ISREG(os.fstat(fd).st_mode):
                    yield from self._file(tree, gate, engines, Place(found.directory, name, path), fd)
            except StorageError as error:
                self._failed(tree, path, error.reason)
            except OSError as error:
                self._failed(tree, path, error.strerror or "")
            finally:
                os.close(fd)
            yield 0.0

    def _guarded(
        self, tree: GuardedTree, *, tells: bool
    ) -> Iterator[tuple[VirtualPath, Found, AcceptGate, list[EngineAddress]]]:
        """Yield each file of *tree* for which there are engines, with them and the first gate that has any."""
        descent = Descent(os.fsencode(tree.directory))
        try:
            for found in descent:
                if is_reserved(name_of(found.entry)) or not _is_file(found):
                    continue
                names = descent.place_of(found)
                try:
                    path = _path_of(names)
                    asked = [(gate, gate.engines_for(path)) for gate in tree.gates]
                except PathError as error:  # beyond what any client can name
                    if tells:
                        self._failed(tree, VirtualPath(()), f"{'/'.join(names)[:MAX_PATH]}: {error}")
                    continue
                engines = list(dict.fromkeys(engine for _, each in asked for engine in each))
                if engines:
                    yield path, found, next(gate for gate, each in asked if each), engines
            if tells and descent.unseen is not None:
                self._failed(tree, VirtualPath(()), f"{descent.unseen} cannot be looked at")
        except OSError as error:
            if tells:
                self._failed(tree, VirtualPath(()), error.strerror or "")

    def _file(
        self, tree: GuardedTree, gate: AcceptGate, engines: Sequence[EngineAddress], place: Place, fd: int
    ) -> Iterator[float]:
        progress, before, content = self.progress, os.fstat(fd), tree.content
        size = content.length(before.st_size)
        known = of_note(stored_note(fd, content), stored_digest(fd, before, content))
        is_released = any(each.verdict == RELEASED for each in known.values())
        due = [engine for engine in engines if self._is_all or not self._is_current(engine, known)]
        if is_released or not due:
            progress.current += 1
            progress.bytes += size
            return
        digest = StreamDigest()
        scans = [self._scan(engine, gate, place.path) for engine in due]
        judgement: Verdict | None = None
        try:
            yield from Growing(content.reading(fd), size, (digest, *scans)).shown()
        except _Judged as ended:
            judgement = ended.verdict
        progress.bytes += size
        if judgement is not None and judgement.word in FOUND:
            self._down = 0
            # An engine that finds something early is shown the rest, too, and so is the digest.
            self._found(tree, gate, place, fd, before, digest.hex(), judgement)
        elif judgement is not None:
            self._unjudged(tree, place.path, judgement)
        elif not _is_same(fd, place, before):
            progress.changed += 1
        else:
            self._down = 0
            progress.clean += 1
            if not self._is_dry:
                verdicts = {each.verdict.engine: judged(each.verdict, time.time()) for each in scans if each.verdict}
                keep_digest(fd, digest.hex(), before, content=content)
                kept: Mapping[str, Judgement] = {**known, **verdicts}
                keep_note(fd, to_note(digest.hex(), kept.values()), content)

    def _is_current(self, engine: EngineAddress, known: Mapping[str, Judgement]) -> bool:
        judgement = known.get(str(engine))
        return judgement is not None and judgement.is_clean_by(self._signatures[engine])

    def _scan(self, address: EngineAddress, gate: AcceptGate, path: VirtualPath) -> Scan:
        parts = gate.parts
        engine = engine_at(address, parts.scanning.timeout, str(gate.shown(path)), parts.processes)
        return Scan(engine, parts.scanning.limit, _REFUSE, lambda verdict, _: _Judged(verdict), parts.tell)

    def _unjudged(self, tree: GuardedTree, path: VirtualPath, verdict: Verdict) -> None:
        self.progress.unjudged += 1
        self.progress.trouble(f"{tree.directory}{path}: {verdict.word.value}, {verdict.found}")
        self._down = self._down + 1 if verdict.word is Word.UNAVAILABLE else 0
        if self._down >= MOST_DOWN:
            raise EngineDown(f"{verdict.engine} has no verdicts: {verdict.found}")

    def _failed(self, tree: GuardedTree, path: VirtualPath, why: str) -> None:
        self.progress.failed += 1
        self.progress.trouble(f"{tree.directory}{path}: {why}")

    def _found(
        self,
        tree: GuardedTree,
        gate: AcceptGate,
        place: Place,
        fd: int,
        before: os.stat_result,
        sha256: str,
        verdict: Verdict,
    ) -> None:
        refusal = Refusal(
            Kind.REFUSED,
            incident=incident_number(),
            verdict=verdict.word.value,
            text="",
            code=550,
            engine=verdict.engine,
            signatures=verdict.signatures,
            found=verdict.found,
        )
        refusal.bytes, refusal.sha256 = tree.content.length(before.st_size), sha256
        shown = gate.shown(place.path)
        if not self._is_dry:
            custodian = gate.custodian(shown, place.path)
            if not _take(tree.ledger, custodian, refusal, place, fd, before):
                self.progress.changed += 1
                return
        self.progress.found += 1
        if not (refusal.is_kept or self._is_dry):
            self._failed(tree, place.path, f"something was found in it, and it is where it was: {refusal.not_kept}")
        origin = gate.origin
        find = Find(
            refusal.incident,
            origin.owner,
            origin.host,
            str(shown),
            refusal.bytes,
            sha256,
            verdict,
            refusal.is_kept,
            refusal.not_kept,
        )
        self.new_finds.append(find)
        if len(self.progress.finds) < MOST_TOLD:
            self.progress.finds.append(find)


def _path_of(names: Iterable[str]) -> VirtualPath:
    """
    Return the path of the file under *names* on the disk. Raises: PathError.

    Other programs give files names with control characters, which no client can: these are "?" in the path, by which
    rules hold, so that such a file is looked at, too, and its name keeps nobody's from that.
    """
    return VirtualPath(tuple(without_control(decode_name(os.fsencode(each))) for each in names))


def _take(
    ledger: Ledger, custodian: Custodian, refusal: Refusal, place: Place, fd: int, before: os.stat_result
) -> bool:
    """Have the file taken into the quarantine; False where it is not the one any more that was looked at."""
    with turn(place), ledger.change() as change:
        if not _is_same(fd, place, before):
            return False
        change.going(before)
        if custodian.take(refusal, place, fd, None):
            change.went(before)
    return True


def _is_file(found: Found) -> bool:
    try:
        return found.entry.is_file(follow_symlinks=False)
    except OSError:
        return False


def _is_same(fd: int, place: Place, before: os.stat_result) -> bool:
    """Return whether *place* still is the file *fd*, unchanged since *before*."""
    now, there = os.fstat(fd), place.lstat_or_none()
    if there is None or not os.path.samestat(there, now):
        return False
    return (now.st_size, now.st_mtime_ns, now.st_ctime_ns) == (before.st_size, before.st_mtime_ns, before.st_ctime_ns)
