"""Watchers of uploads for tests, and the watchers that the contract is run over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.disk.digest import StreamDigest
from ftpsd.storage.uploads.growing import Watcher
from ftpsd.values.path import ROOT, VirtualPath


@dataclass
class Recording:
    """The bytes one upload showed; it takes several questions to decide, and refuses bytes that hold *unwanted*."""

    path: VirtualPath = ROOT
    unwanted: bytes | None = None
    questions: int = 2
    seen: bytearray = field(default_factory=bytearray)
    is_finished: bool = False
    closed: int = 0

    def update(self, data: memoryview | bytes, /) -> None:
        """Keep *data*."""
        assert not self.is_finished
        assert not self.closed
        self.seen += data

    def finish(self) -> bool:
        """Decide, in two steps."""
        assert not self.is_finished
        assert not self.closed
        self.questions -= 1
        if self.unwanted is not None and self.unwanted in self.seen:
            raise StorageError(Kind.REFUSED, why="it holds what is unwanted")
        self.is_finished = self.questions == 0
        return self.is_finished

    def close(self) -> None:
        """Count the calls."""
        self.closed += 1


class Gate:
    """Makes a `Recording` for each upload, and keeps all of them."""

    def __init__(self, unwanted: bytes | None = None) -> None:
        self.unwanted = unwanted
        self.made: list[Recording] = []

    def __call__(self, path: VirtualPath) -> Recording:
        """Return the watcher of an upload to *path*."""
        self.made.append(Recording(path, self.unwanted))
        return self.made[-1]


WATCHERS: dict[str, Callable[[], Watcher]] = {"digest": StreamDigest, "recording": Recording}
