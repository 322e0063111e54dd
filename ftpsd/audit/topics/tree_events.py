"""Events of the user's tree: what was deleted, renamed, copied, changed, made, and what had no room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ftpsd.audit.events import Event


@dataclass(frozen=True, slots=True)
class FileDeleted(Event):
    """A file was deleted, by its user or for a *reason*; then by *rule*, and it had so many *bytes*."""

    event = "file-deleted"
    path: str
    reason: str | None = None
    rule: str | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class FileRenamed(Event):
    """A file was renamed, or a *kind* of something else."""

    event = "file-renamed"
    old: str
    new: str
    kind: Literal["directory"] | None = None


@dataclass(frozen=True, slots=True)
class FileCopied(Event):
    """*bytes* were copied from *old* to *new* without crossing the wire (SITE CPTO)."""

    event = "file-copied"
    old: str
    new: str
    bytes: int
    seconds: float
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class FilesCombined(Event):
    """*bytes* of so many *parts* were put behind the bytes of *path* (COMB); *kept* of them could not be deleted."""

    event = "files-combined"
    path: str
    parts: int
    bytes: int
    seconds: float
    sha256: str | None = None
    kept: int = 0


@dataclass(frozen=True, slots=True)
class FileChanged(Event):
    """A change by MFMT, MFF, MDTM or SITE: *modified* as the reply spells it, or *mode* as octal digits."""

    event = "file-changed"
    path: str
    modified: str | None = None
    mode: str | None = None


@dataclass(frozen=True, slots=True)
class DirectoryMade(Event):
    """A directory was made."""

    event = "directory-made"
    path: str


@dataclass(frozen=True, slots=True)
class LinkMade(Event):
    """*path* is a link that leads to *target*, both as seen by the user (SITE SYMLINK)."""

    event = "link-made"
    path: str
    target: str


@dataclass(frozen=True, slots=True)
class DirectoryRemoved(Event):
    """An empty directory was removed."""

    event = "directory-removed"
    path: str


@dataclass(frozen=True, slots=True)
class QuotaExceeded(Event):
    """*command*, a verb of the table, was refused for the quota, of ftpsd or of the file system."""

    event = "quota-exceeded"
    command: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class StorageFailed(Event):
    """The storage itself failed (I/O error, disk full), not a quota, in *operation*, the verb of the command."""

    event = "storage-failed"
    operation: str
    path: str | None = None
    reason: str | None = None
    kind: str = "io"
