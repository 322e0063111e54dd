"""
The beginning of an atomic upload: with nothing, with the owner's partial, or with bytes of the published file.

SIZE answers for the published file, and clients that come back after an interruption (curl -C -, lftp's reput) go on
from there. When it was their new version that was interrupted, old bytes must not become its beginning:

* While an owner's new version of a published file is unfinished, only a new upload from byte 0 begins from the
  published one for this owner. REST goes on from the partial's bytes, which are the new version's, as far as they
  reach; beyond them, or when the published file is no longer the one they were to replace, it is refused. APPE is
  always refused: it may mean "add to the old file" or "go on".
* The owner finds again only a partial that came from the client alone. One begun with bytes of a published file is
  thrown away when it is interrupted; the published file still has them.
* A partial may be empty and mean only that a new version was begun of which nothing is left. So may an attribute of the
  published file, when there was no room (origin.py).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from ftpsd.storage.base import Kind, StorageError, UnfinishedUpload
from ftpsd.storage.disk.content import PLAIN, Content
from ftpsd.storage.disk.source import READ_FILE, require_regular
from ftpsd.storage.disk.walk import Place
from ftpsd.storage.quota.ledger import Ledger
from ftpsd.storage.uploads.origin import is_refusal_noted, origin_of, stored_origin
from ftpsd.storage.uploads.partial import Partial, claim_partial, random_partial
from ftpsd.storage.uploads.unfinished import look_at_partial, partial_name


@dataclass(frozen=True, slots=True)
class Begun:
    """A partial that is ready for the byte at *start*."""

    partial: Partial
    start: int
    published: os.stat_result | None  # the file that the upload is to replace
    is_resumed: bool = False  # its bytes are the owner's unfinished upload
    is_findable: bool = True  # its owner may find it again
    has_dropped: bool = False  # it took the place of an unfinished upload

    @property
    def holds_published(self) -> bool:
        """Return whether its first bytes are those of the published file."""
        return self.start > 0 and not self.is_resumed


@dataclass(frozen=True, slots=True)
class Beginning:
    """An upload of *owner* to *place* that is about to begin; *published* is there already."""

    place: Place
    owner: str
    ledger: Ledger
    keep: float  # seconds a partial can be resumed
    published: os.stat_result | None
    content: Content = PLAIN

    def begin(self, wanted: int | None, *, resumable: bool) -> Begun:
        """
        Begin at byte *wanted*, or None: where the file ends.

        With *resumable* False it goes on from no unfinished upload, and the owner never finds it again.

        Raises: BAD_OFFSET, BUSY, UNFINISHED, QUOTA.
        """
        if wanted == 0:
            return self._fresh() if resumable else self._with(self._random(), 0, is_findable=False)
        if self.published is None:
            return self._resume(wanted)
        unfinished = look_at_partial(self.place, self.owner, self.keep, self.content)
        if unfinished is None:
            return self._copy_published(wanted)
        length = unfinished.length
        is_usable = resumable and unfinished.origin == origin_of(self.published)
        if wanted is None or not is_usable or wanted > length:
            if unfinished.is_held(self.place):
                raise StorageError(Kind.BUSY)
            if unfinished.is_nothing:
                return self._copy_published(wanted)
            raise UnfinishedUpload(length, is_append=wanted is None)
        return self._resume(wanted)

    def _with(self, partial: Partial, start: int, *, is_resumed: bool = False, is_findable: bool = True) -> Begun:
        return Begun(partial, start, self.published, is_resumed=is_resumed, is_findable=is_findable)

    def _claim(self) -> Partial | None:
        return claim_partial(self.place, self.owner, self.ledger, beyond=self._beyond, content=self.content)

    def _random(self) -> Partial:
        return random_partial(self.place, self.owner, self.ledger, beyond=self._beyond, content=self.content)

    @property
    def _beyond(self) -> int:
        # An upload that replaces a file has one more for as long as that takes, also when there is no room for another.
        return 0 if self.published is None else 1

    def _fresh(self) -> Begun:
        """Begin with nothing, if possible in the partial that the owner finds again."""
        partial = self._claim()
        if partial is None:
            return self._beside()
        with partial:
            partial.hide(partial.found)
            has_dropped = partial.empty(origin_of(self.published))
        return Begun(partial, 0, self.published, has_dropped=has_dropped)

    def _beside(self) -> Begun:
        """Begin with nothing, in a partial that the owner finds when the other one is gone."""
        partial = self._random()
        if self.published is not None:
            partial.begin_over(origin_of(self.published))
        return self._with(partial, 0)

    def _resume(self, wanted: int | None) -> Begun:
        """Go on with the owner's partial at *wanted*, or where it ends."""
        partial = self._claim()
        if partial is None:
            return self._take_over(wanted)
        origin = origin_of(self.published)
        with partial:
            length = partial.resumable_size(origin, self.keep)
            start = length if wanted is None else wanted
            if start > length:
                if not os.fstat(partial.fd).st_size and stored_origin(partial.fd) is None:
                    partial.unlink()  # made just now
                raise StorageError(Kind.BAD_OFFSET)
            partial.hide(partial.found)
            if start:
                partial.truncate(start)
            else:
                partial.empty(origin)
        return self._with(partial, start, is_resumed=start > 0)

    def _take_over(self, wanted: int | None) -> Begun:
        """
        Begin beside the owner's partial, which another upload holds.

        A client whose connection died comes back before we have noticed: the bytes below *wanted* do not change any
        more, so they are copied. An append has no such border. It has to wait until the other upload is over.
        """
        held = look_at_partial(self.place, self.owner, self.keep, self.content)
        origin = origin_of(self.published)
        length = held.length if held is not None and held.origin == origin else 0
        if wanted is None and length:
            raise StorageError(Kind.BUSY)
        if not wanted:
            return self._beside()
        if held is None or wanted > length:
            raise StorageError(Kind.BAD_OFFSET)
        try:
            source = os.open(held.name, READ_FILE, dir_fd=self.place.fd)
        except FileNotFoundError:  # published or given up since
            raise StorageError(Kind.BUSY) from None
        try:
            if not os.path.samestat(os.fstat(source), held.status):
                raise StorageError(Kind.BUSY)
            partial = self._copy_of(source, wanted, growing=True)
            if origin is not None:
                partial.begin_over(origin)
            return self._with(partial, wanted, is_resumed=True)
        finally:
            os.close(source)

    def _copy_published(self, wanted: int | None) -> Begun:
        """Begin with the first *wanted* bytes of the published file, or all of them."""
        source = os.open(self.place.name, READ_FILE, dir_fd=self.place.fd)
        try:
            status = os.fstat(source)
            require_regular(status)
            if wanted != 0 and is_refusal_noted(source, partial_name(self.owner, self.place.name), self.keep):
                raise UnfinishedUpload(0, is_append=wanted is None)
            length = self.content.length(status.st_size)
            start = length if wanted is None else wanted
            if start > length:
                raise StorageError(Kind.BAD_OFFSET)
            if wanted is None and not length:
                # Nothing is copied that would show it, but an encrypted file may have been cut to this.
                self.content.reading(source)
            return Begun(self._copy_of(source, start, is_loan=True), start, status, is_findable=False)
        finally:
            os.close(source)

    def _copy_of(self, source: int, count: int, *, is_loan: bool = False, growing: bool = False) -> Partial:
        """Return a partial that begins as *source* does, see `Partial.fill`."""
        partial = self._random()
        with partial:
            try:
                partial.fill(source, count, is_loan=is_loan, growing=growing)
            except BaseException:
                partial.unlink()
                raise
        return partial
