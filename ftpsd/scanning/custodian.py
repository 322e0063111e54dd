"""The custody of refused uploads: into the quarantine, or the refusal says why it could not be kept."""

from __future__ import annotations

import errno
import os
import time

from ftpsd.scanning.quarantine import Full, Origin, Quarantine, Record, replaced_by
from ftpsd.storage.disk.walk import Place
from ftpsd.storage.uploads.gating import Refusal
from ftpsd.values.path import VirtualPath


class Custodian:
    """The custody of one upload of *origin* to *path*, which was to lie at *real*, in *quarantine*."""

    def __init__(self, quarantine: Quarantine, origin: Origin, path: VirtualPath, real: VirtualPath) -> None:
        self._quarantine = quarantine
        self._origin = origin
        self._path = path
        self._real = real

    def take(self, refusal: Refusal, place: Place, fd: int, replaced: os.stat_result | None, /) -> bool:
        """See `Custody.take`."""
        record = Record(
            refusal.incident,
            time.time(),
            self._origin.owner,
            self._origin.host,
            self._origin.tree,
            str(self._path),
            str(self._real),
            refusal.bytes,
            refusal.sha256,
            refusal.verdict,
            refusal.engine,
            refusal.signatures,
            refusal.found,
            "" if replaced is None else replaced_by(replaced.st_mtime_ns),
        )
        try:
            self._quarantine.take(record, place, fd)
        except Full:
            refusal.not_kept = "the quarantine is full"
        except OSError as error:
            refusal.not_kept = errno.errorcode.get(error.errno or 0, "unknown errno")
        else:
            refusal.is_kept = True
        return refusal.is_kept
