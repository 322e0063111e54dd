"""
The gate in front of a tree: what is asked of an upload by the names it has, and what becomes of one that is refused.

A file comes to a name in two ways: its bytes come in, for which the gate has watchers, or it is renamed, for which it
looks at both names. A link gives a file a second name, so each of them is two paths: as it was asked for, and where
it lies.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.disk.walk import Place
from ftpsd.storage.uploads.growing import Watcher
from ftpsd.values.path import VirtualPath


@dataclass(frozen=True, slots=True)
class Arrival:
    """A whole upload of *size* bytes, which is to take the place of *replaced*, or of any file with *may_replace*."""

    size: int
    sha256: str | None
    replaced: os.stat_result | None
    may_replace: bool


class Hiding(Protocol):
    """The place of uploads that are to be judged; *watchers* ask what is asked at once."""

    watchers: Sequence[Watcher]

    def take(self, arrival: Arrival, place: Place, fd: int, /) -> os.stat_result:
        """
        Take the file at *place*, open as *fd*, out of its tree, durably; return its status where it is then.

        Raises: StorageError, and it is where it was.
        """


class Gate(Protocol):
    """The decisions about what comes into a tree, by its own paths. Every call blocks."""

    def watch(self, asked: VirtualPath, real: VirtualPath, /) -> Sequence[Watcher]:
        """
        Return the watchers of an upload to *asked*, which lies at *real*.

        Raises: StorageError for a name under which nothing is taken.
        """

    def hide(self, asked: VirtualPath, real: VirtualPath, /) -> Hiding | None:
        """
        Return what takes an upload that gets its name when it has been judged; None: its verdict is awaited.

        Raises: StorageError for a name under which nothing is taken.
        """

    def note(self, watchers: Sequence[Watcher], sha256: str, /) -> bytes:
        """Return what is kept with a file of *sha256* that these *watchers* of it have taken, nothing for none."""

    def verdict(self, watchers: Sequence[Watcher], /) -> str | None:
        """Return the word of those of these *watchers* that have judged the bytes, None for none."""

    def require_move(self, old: Place, new: Place, /, *, is_file: bool) -> None:
        """Let the file, or else the directory or link, at *old* be renamed to *new*. Raises: StorageError."""

    def before_retime(self, place: Place, before_ns: int, after_ns: int, /) -> None:
        """
        Note that the file at *place*, modified at *before_ns*, is about to say *after_ns*, and is the same one then.
        """

    def carry(self, place: Place, /, *, modified_ns: int | None = None, mode: int | None = None) -> bool:
        """Have the owner's upload that is to come to *place* get this time or mode then; False where none is to."""

    def require_settled(self, place: Place, /) -> None:
        """
        Let the file at *place* be what a further upload is built on. Raises: StorageError where a newer one is to come.
        """


class Open:
    """A gate that is open."""

    def watch(self, asked: VirtualPath, real: VirtualPath, /) -> Sequence[Watcher]:
        """Return none."""
        return ()

    def hide(self, asked: VirtualPath, real: VirtualPath, /) -> Hiding | None:
        """Return None."""
        return None

    def note(self, watchers: Sequence[Watcher], sha256: str, /) -> bytes:
        """Return nothing."""
        return b""

    def verdict(self, watchers: Sequence[Watcher], /) -> str | None:
        """Return None."""
        return None

    def require_move(self, old: Place, new: Place, /, *, is_file: bool) -> None:
        """Let it."""

    def before_retime(self, place: Place, before_ns: int, after_ns: int, /) -> None:
        """Nobody asks."""

    def carry(self, place: Place, /, *, modified_ns: int | None = None, mode: int | None = None) -> bool:
        """None is."""
        return False

    def require_settled(self, place: Place, /) -> None:
        """None is to come."""


OPEN = Open()


class Refusal(StorageError):
    """
    An upload that the gate does not take, as one *incident*.

    *verdict* is a fixed word, *found* the name of what was found, *engine* and *signatures* who found it with what.
    The sink adds the rest: the bytes that had come in, and their SHA-256 when all have been seen.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        incident: str,
        verdict: str,
        text: str,
        code: int,
        engine: str = "",
        signatures: str = "",
        found: str = "",
        custody: Custody | None = None,
    ) -> None:
        super().__init__(kind, why=f"{verdict}, incident {incident}")
        self.incident = incident
        self.verdict = verdict
        self.text = text
        self.code = code
        self.engine = engine
        self.signatures = signatures
        self.found = found
        self.custody = custody
        self.bytes = 0
        self.sha256: str | None = None
        self.is_kept = False  # whether custody has it
        self.not_kept = ""  # why it has not, where it should


class Custody(Protocol):
    """The place to which refused files are taken."""

    def take(self, refusal: Refusal, place: Place, fd: int, replaced: os.stat_result | None, /) -> bool:
        """
        Take the file at *place*, open as *fd*, out of its tree; False leaves it there. *replaced* it was to replace.

        Raises no errors: a file that could not be taken is for the tree to remove, and the refusal says so.
        """
