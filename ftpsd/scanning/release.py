"""
The release of a refused or hidden file: it is published under the name it came for, by the rules of any upload there.

It replaces the file that it was to replace then, and no other, unless that is forced. No rule is asked again: there is
a verdict, or the operator's word stands for it, which is noted with the file, so that no rescan takes it again.
"""

from __future__ import annotations

from collections.abc import Sequence

from ftpsd.scanning.judgements import Judgement, to_note
from ftpsd.scanning.quarantine import Record, is_replaced
from ftpsd.storage.base import Kind, Storage, StorageError, Terms
from ftpsd.storage.disk.content import PLAIN, Content
from ftpsd.storage.uploads.gating import Open
from ftpsd.storage.uploads.growing import Watcher
from ftpsd.values.path import VirtualPath

_PIECE = 1 << 20


class Noting(Open):
    """The gate of a tree into which a file with *judgements* is published: it is open, and notes them."""

    def __init__(self, judgements: Sequence[Judgement]) -> None:
        self._judgements = judgements

    def note(self, watchers: Sequence[Watcher], sha256: str, /) -> bytes:
        """Return them."""
        return to_note(sha256, self._judgements)


def publish_held(
    record: Record, held: int, tree: Storage, *, is_forced: bool = False, content: Content = PLAIN
) -> None:
    """
    Publish the file of *record*, open as *held*, in its *tree*. Blocks for as long as a copy takes.

    Raises: StorageError, EXISTS for a file that has come there since.
    """
    path = VirtualPath.parse(record.inner)
    sink = tree.open_sink(path, _terms(record, tree, path, is_forced=is_forced))
    try:
        reading, offset = content.reading(held), 0
        buffer = memoryview(bytearray(_PIECE))
        while count := reading(buffer, offset):
            sink.write(buffer[:count])
            offset += count
        while not sink.prepare():
            pass
        sink.commit()
    finally:
        sink.abort()


def _terms(record: Record, tree: Storage, path: VirtualPath, *, is_forced: bool) -> Terms:
    if is_forced:
        return Terms(resumable=False, durable=True)
    try:
        there = tree.stat(path)
    except StorageError as error:
        if error.kind is not Kind.NOT_FOUND:
            raise
        return Terms(resumable=False, durable=True, may_replace=False)
    if not record.may_replace or not is_replaced(record, there.modified_ns):
        raise StorageError(Kind.EXISTS, path)
    return Terms(resumable=False, durable=True, over_same=True)
