"""
Pushing: files of a user go to a partner, each version of them once.

    renaming (all bytes are there)  ->  pushed  ->  left, deleted or archived here: done

* A file is known by its size and time; one that was only touched since, as its SHA-256 tells, is not pushed again.
* A file left at `renaming` by a crash is there if one of that size has the final name, and none the temporary one.
* A file that changes while it is read is left for the next run; one that has changed since stays where it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from typing import Final

from ftpsd.audit.topics.automation.job_events import FilePushed
from ftpsd.audit.topics.tree_events import FileDeleted, FileRenamed
from ftpsd.config.automation.job_sections import Moving
from ftpsd.config.automation.partner_sections import Partner
from ftpsd.jobs.deep_listing import near_files
from ftpsd.jobs.job_tables import KnownFile
from ftpsd.jobs.local_tree import LocalTree
from ftpsd.jobs.moving import Attempt, below, ensure_directory, matcher
from ftpsd.partners.contact import Fault, PartnerError
from ftpsd.partners.pushing import Outgoing, Reader, push, stored_file
from ftpsd.storage.base import Storage, StorageError
from ftpsd.values.entry import Entry
from ftpsd.values.path import VirtualPath

RENAMING: Final = "renaming"
PUSHED: Final = "pushed"
DONE: Final = "done"


async def push_all(attempt: Attempt, partner: Partner) -> None:
    """Push all that is new. Raises: PartnerError, StorageError, StateTrouble."""
    moving, tree, progress = attempt.moving, attempt.tree, attempt.progress
    known = await attempt.known()
    listing = await near_files(attempt)
    # In a worker: so many names would keep the reactor for a second.
    new, paths = await tree.pool.run(_new, moving, listing.files, known)
    await attempt.settle(listing.failed, known, paths)
    progress.of_file = 0
    progress.files_left, progress.bytes_left = len(new), sum(entry.size for _, entry, _ in new)
    for path, entry, record in new:
        progress.now = str(path)
        progress.failed.pop(progress.now, None)
        try:
            if await _one(attempt, partner, path, entry, record):
                progress.files += 1
        except (PartnerError, StorageError) as error:
            attempt.failed(progress.now, error)
        progress.pass_file(entry.size)
    progress.now = ""


def _new(
    moving: Moving, files: list[tuple[VirtualPath, Entry]], known: dict[str, KnownFile]
) -> tuple[list[tuple[VirtualPath, Entry, KnownFile | None]], set[str]]:
    """Return what is to be pushed of *files*, the oldest first, and the paths of all that the job takes."""
    takes = matcher(moving.files)
    found = [(path, entry) for path, entry in files if takes(entry.name)]
    new = []
    for path, entry in sorted(found, key=lambda each: (each[1].modified_ns, each[0].parts)):
        record = known.get(str(path))
        if record is None or record.mark != _mark(entry) or record.step != DONE:
            new.append((path, entry, record))
    return new[: moving.most], {str(path) for path, _ in found}


async def _one(attempt: Attempt, partner: Partner, path: VirtualPath, entry: Entry, record: KnownFile | None) -> bool:
    """Push one file; return whether there was anything to do."""
    tree, moving = attempt.tree, attempt.moving
    inside = path.parts[len(VirtualPath.parse(moving.source).parts) :]
    mark, target = _mark(entry), below(moving.target, "/".join(inside))
    same = record if record is not None and record.mark == mark else None
    if same is None or same.step != PUSHED:
        if same is None and record is not None and await _is_only_touched(tree, path, entry, record):
            await attempt.know(str(path), mark, DONE, **record.data)
            return False
        is_begun = same is not None and same.step == RENAMING
        if not moving.overwrite and not is_begun and await attempt.session.facts(target) is not None:
            raise PartnerError(Fault.REFUSED, f"there is a file {target} already, and overwrite is off")
        await ensure_directory(attempt, target.rpartition("/")[0])
        hashed = _Hashed()
        outgoing = await stored_file(tree.pool, tree.storage, path)
        if f"{outgoing.size}:{outgoing.modified_ns}" != mark:
            raise PartnerError(Fault.CHANGED, "it has changed since it was listed")
        pushed = await push(
            attempt.session,
            hashed.outgoing(outgoing),
            target,
            is_atomic=partner.uploads == "atomic",
            may_be_done=is_begun,
            may_replace=moving.overwrite,
            before_rename=lambda: attempt.know(str(path), mark, RENAMING),
            moved=attempt.progress.move,
        )
        sha256 = hashed.sha256 or await tree.run(_digest, tree.storage, path)
        await attempt.know(str(path), mark, PUSHED, sha256=sha256)
        attempt.progress.bytes += entry.size
        told = FilePushed(
            tree.who, attempt.job.name, moving.partner, str(path), target, entry.size, pushed.offset, sha256 or None
        )
        attempt.bus.publish(told)
    else:
        sha256 = str(same.data.get("sha256", ""))
    await _afterwards(attempt, path, mark, sha256)
    return True


async def _afterwards(attempt: Attempt, path: VirtualPath, mark: str, sha256: str) -> None:
    """Do here what is to be done behind a file that is safe at the far end."""
    moving, tree = attempt.moving, attempt.tree
    now = await tree.entry(path)
    if now is None or _mark(now) != mark:
        return  # it is another one, for the next run
    if moving.after == "delete":
        await tree.change(FileDeleted(tree.who, str(path)), path, None, partial(tree.storage.remove_file, path))
        await attempt.forget([str(path)])
    elif moving.after == "archive":
        assert moving.archive is not None
        inside = path.parent.parts[len(VirtualPath.parse(moving.source).parts) :]
        folder = VirtualPath((*VirtualPath.parse(moving.archive).parts, *inside))
        await tree.make_directories(folder)
        place = folder / path.name
        if await tree.entry(place) is not None:
            place = folder / f"{path.name[:220]}.{now.modified_ns}"
        rename = partial(tree.storage.rename, path, place, may_replace=False)
        await tree.change(FileRenamed(tree.who, str(path), str(place)), path, place, rename)
        await attempt.forget([str(path)])
    else:
        await attempt.know(str(path), mark, DONE, sha256=sha256)


async def _is_only_touched(tree: LocalTree, path: VirtualPath, entry: Entry, record: KnownFile) -> bool:
    """Return whether the bytes of a file are those that were pushed: it is read here rather than pushed again."""
    sha256 = record.data.get("sha256")
    if record.step != DONE or not sha256 or record.mark.partition(":")[0] != str(entry.size):
        return False
    if known := await tree.run(_digest, tree.storage, path):
        return bool(known == sha256)
    reader = await _Hashed().outgoing(await stored_file(tree.pool, tree.storage, path)).open(0)
    assert isinstance(reader, _HashingReader)
    try:
        while await reader.read():
            pass
    finally:
        await reader.close()
    return bool(reader.hashed.sha256 == sha256)


class _Hashed:
    """The SHA-256 of a file that goes out, "" unless all of it went by."""

    def __init__(self) -> None:
        self.sha256 = ""

    def outgoing(self, file: Outgoing) -> Outgoing:
        """Return *file*, looked at as it is read."""

        async def opened(offset: int) -> Reader:
            reader = await file.open(offset)
            return reader if offset else _HashingReader(reader, self)

        return replace(file, open=opened)


class _HashingReader:
    """A reader from the first byte on."""

    def __init__(self, reader: Reader, hashed: _Hashed) -> None:
        self._reader = reader
        self._sum = hashlib.sha256()
        self.hashed = hashed

    async def read(self) -> bytes:
        """Return the next piece."""
        piece = await self._reader.read()
        # A piece is 256 KiB, of which hashlib lets go of the interpreter's lock: 0.2 ms.
        self._sum.update(piece)
        self.hashed.sha256 = "" if piece else self._sum.hexdigest()
        return piece

    async def close(self) -> None:
        """Let it go."""
        await self._reader.close()


def _mark(entry: Entry) -> str:
    return f"{entry.size}:{entry.modified_ns}"


def _digest(storage: Storage, path: VirtualPath) -> str:
    """Return the SHA-256 of *path* where it is at hand, else ""."""
    source = storage.open_source(path)
    try:
        return source.sha256 or ""
    finally:
        source.close()
