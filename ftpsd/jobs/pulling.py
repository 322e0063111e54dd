"""
Pulling: files of a partner become files of a user, each version of them once.

    publishing (its trace is known)  ->  published  ->  left, deleted or archived there: done

* A file is known by its size and time there: the same is not fetched again, another is.
* A fetch that was cut off goes on, where the storage can; then the file must still be the one that was begun.
* A file that a crash has left at `publishing` was published if the file of that trace is there.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Final

from ftpsd.audit.events import FileStored
from ftpsd.audit.topics.automation.job_events import FilePulled
from ftpsd.config.automation.job_sections import Moving
from ftpsd.events.disk_look import is_done
from ftpsd.jobs.deep_listing import far_files
from ftpsd.jobs.job_tables import KnownFile
from ftpsd.jobs.moving import Attempt, below, ensure_directory, matcher, under
from ftpsd.partners.contact import Fault, PartnerError, RemoteFile
from ftpsd.storage.base import Sink, StorageError
from ftpsd.values.direction import Result
from ftpsd.values.path import PathError, VirtualPath
from ftpsd.values.trace import Trace

FETCHING: Final = "fetching"
PUBLISHING: Final = "publishing"
PUBLISHED: Final = "published"
DONE: Final = "done"


async def pull(attempt: Attempt) -> None:
    """Fetch all that is new. Raises: PartnerError, StorageError, StateTrouble."""
    moving, session, progress = attempt.moving, attempt.session, attempt.progress
    known = await attempt.known()
    listing = await far_files(attempt)
    # In a worker: a listing may have half a million names, which would keep the reactor for seconds.
    candidates, paths = await attempt.tree.pool.run(_candidates, moving, listing.files, known)
    await attempt.settle(listing.failed, known, paths)
    new: list[tuple[RemoteFile, KnownFile | None]] = []
    for each in candidates:
        if len(new) == moving.most:
            break
        file = each
        if not each.modified and (told := await session.facts(below(moving.source, each.name))) is not None:
            file = replace(told, name=each.name)
        record = known.get(below(moving.source, each.name))
        if record is None or record.mark != file.mark or record.step != DONE:
            new.append((file, record))
    progress.of_file = 0
    progress.files_left, progress.bytes_left = len(new), sum(file.size for file, _ in new)
    for file, record in new:
        path = progress.now = below(moving.source, file.name)
        progress.failed.pop(path, None)
        try:
            await _one(attempt, path, file, record)
        except (PartnerError, StorageError) as error:
            attempt.failed(path, error)
        except PathError as error:
            attempt.failed(path, PartnerError(Fault.REFUSED, f"it cannot be stored under its name: {error}"))
        else:
            progress.files += 1
        progress.pass_file(file.size)
    progress.now = ""


def _candidates(
    moving: Moving, listed: list[RemoteFile], known: dict[str, KnownFile]
) -> tuple[list[RemoteFile], set[str]]:
    """Return what is perhaps new of *listed*, each name once, and the paths of all that the job takes."""
    takes = matcher(moving.files)
    found, paths = [], set()
    for each in listed:
        path = below(moving.source, each.name)
        if path in paths or not takes(each.name.rpartition("/")[2]):
            continue
        paths.add(path)
        record = known.get(path)
        if not each.modified or record is None or record.mark != each.mark or record.step != DONE:
            found.append(each)
    return found, paths


async def _one(attempt: Attempt, path: str, file: RemoteFile, record: KnownFile | None) -> None:
    target = under(VirtualPath.parse(attempt.moving.target), file.name)
    same = record if record is not None and record.mark == file.mark else None
    if same is not None and same.step == PUBLISHING and await attempt.tree.pool.run(is_done, "", _trace(same)):
        await attempt.know(path, file.mark, PUBLISHED)
    elif same is None or same.step != PUBLISHED:
        await _fetch(attempt, path, file, target, resumes=same is not None)
    await _afterwards(attempt, path, file)


async def _fetch(attempt: Attempt, path: str, file: RemoteFile, target: VirtualPath, *, resumes: bool) -> None:
    tree, moving, progress = attempt.tree, attempt.moving, attempt.progress
    await tree.make_directories(target.parent)
    is_there = await tree.is_published(target)
    offset = 0
    if resumes and not is_there and (begun := await tree.entry(target)) is not None and begun.size <= file.size:
        offset = begun.size
    await attempt.know(path, file.mark, FETCHING)
    started = attempt.clock.seconds()
    sink = await _opened(attempt, target, offset)
    offset = sink.offset

    async def take(data: bytes) -> None:
        await tree.write(sink, data)
        progress.move(len(data))

    try:
        if offset < file.size or not file.size:
            await attempt.session.get(path, offset, file.size, take)
        now = await attempt.session.facts(path)
        if now is None or now.mark != file.mark:
            raise PartnerError(Fault.CHANGED, "it has changed while it was fetched")

        def event(sha256: str | None) -> FileStored:
            seconds = attempt.clock.seconds() - started
            return FileStored(tree.who, str(sink.path), file.size, seconds, offset, Result.COMPLETE, None, sha256)

        async def before(trace: Trace) -> None:
            await attempt.know(path, file.mark, PUBLISHING, **_kept(trace))

        await tree.publish(sink, event, before)
    except BaseException as error:
        await tree.pool.run(sink.abort)
        if isinstance(error, PartnerError) and error.fault is Fault.CHANGED:
            # The part of it that is there is of another version.
            await attempt.forget([path])
        raise
    await attempt.know(path, file.mark, PUBLISHED)
    progress.bytes += file.size
    told = FilePulled(tree.who, attempt.job.name, moving.partner, path, str(sink.path), file.size, offset, sink.sha256)
    attempt.bus.publish(told)


async def _opened(attempt: Attempt, target: VirtualPath, offset: int) -> Sink:
    tree, may_replace = attempt.tree, attempt.moving.overwrite
    try:
        return await tree.open_sink(target, offset, may_replace=may_replace)
    except StorageError:
        if not offset:
            raise
        # It resumes nothing there, or not this.
        return await tree.open_sink(target, 0, may_replace=may_replace)


async def _afterwards(attempt: Attempt, path: str, file: RemoteFile) -> None:
    """Do at the far end what is to be done behind a file that is safe here."""
    moving, session = attempt.moving, attempt.session
    if moving.after == "leave":
        await attempt.know(path, file.mark, DONE)
        return
    now = await session.facts(path)
    if now is None:
        await attempt.forget([path])
        return
    if now.mark != file.mark:
        raise PartnerError(Fault.CHANGED, "it has changed since it was fetched; it stays, and is fetched again")
    if moving.after == "delete":
        await session.delete(path)
    else:
        assert moving.archive is not None
        place = below(moving.archive, file.name)
        await ensure_directory(attempt, place.rpartition("/")[0])
        if await session.facts(place) is not None:
            place = below(moving.archive, f"{file.name}.{file.modified or int(attempt.clock.seconds())}")
        await session.rename(path, place)
    await attempt.forget([path])


def _kept(trace: Trace) -> dict[str, str | int]:
    """Return *trace* as JSON has it; numbers of files are text where they may be large."""
    return {
        "place": os.fsdecode(trace.place),
        "device": str(trace.device),
        "inode": str(trace.inode),
        "size": trace.size,
        "modified_ns": str(trace.modified_ns),
    }


def _trace(record: KnownFile) -> Trace:
    data = record.data
    device, inode, size, modified_ns = (int(data[name]) for name in ("device", "inode", "size", "modified_ns"))
    return Trace(os.fsencode(data["place"]), device, inode, size, modified_ns)
