"""
Atomic uploads: they grow in a hidden partial and appear under their name, whole, in one rename.

* Readers of the target see the old whole file until that rename, and the new whole file after it.
* The client goes on from the owner's own partial or from a copy of the published bytes (beginning.py), never from the
  published file itself.
* An upload that may not replace is published by a rename that cannot. An append, and an upload that holds bytes of the
  old file in front of its own (REST) or around them (over_same), is published only over the very file it began with, or
  nothing if it began with none: it must not undo an upload that came in meanwhile.
* A new version of a file keeps of it all that the process may give (kept.py).
* When the disk did not take the bytes (fsync failed) the contents of the partial are unknown: it goes.
* An upload refused for want of room goes as well. Its owner sees no partial, and others lack the room. So does an
  upload that a watcher has refused (growing.py).
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from ftpsd.storage.base import Kind, NotYet, StorageError, Terms
from ftpsd.storage.disk.content import PLAIN, Content
from ftpsd.storage.disk.digest import PIECE, StreamDigest, keep_digest
from ftpsd.storage.disk.kept import Kept
from ftpsd.storage.disk.source import READ_FILE, require_regular, require_writable
from ftpsd.storage.disk.syscalls import rename_to_new, turn
from ftpsd.storage.disk.walk import Place
from ftpsd.storage.errnos import from_oserror
from ftpsd.storage.quota.ledger import NO_LEDGER, Ledger
from ftpsd.storage.retention.holding import require_free
from ftpsd.storage.uploads.beginning import Beginning, Begun
from ftpsd.storage.uploads.gating import Arrival, Hiding, Refusal
from ftpsd.storage.uploads.growing import Growing, Watcher
from ftpsd.storage.uploads.note import keep_note
from ftpsd.storage.uploads.origin import keep_origin, note_refusal
from ftpsd.storage.uploads.partial import PARTIAL_MODE
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.trace import Trace

# Refusals after which the partial is of no use to its owner, who cannot bring more, or is not allowed here, or could
# only go on from bytes that cannot be read.
_REFUSALS = frozenset({Kind.QUOTA, Kind.NO_SPACE, Kind.REFUSED, Kind.DAMAGED, Kind.HELD})


def open_atomic(
    place: Place,
    published: os.stat_result | None,
    policy: UploadPolicy,
    owner: str,
    terms: Terms,
    ledger: Ledger = NO_LEDGER,
    content: Content = PLAIN,
) -> AtomicSink:
    """Open an upload to *place*, which the sink keeps; *published* was there just now."""
    if published is None and not terms.may_create:
        raise StorageError(Kind.NOT_FOUND)
    if published is not None:
        _require_replaceable(place, published)
        if not terms.may_replace:
            raise StorageError(Kind.EXISTS)
        require_free(policy.holding.on(place))
    if terms.offset < 0:
        raise StorageError(Kind.BAD_OFFSET)
    # First: a refused name makes no partial.
    # An upload that is built on a file is judged with it, and at once.
    is_whole = not (terms.append or terms.over_same or (terms.offset and published is not None))
    if not is_whole:
        policy.gate.require_settled(place)
    hides = terms.may_hide and is_whole and not terms.is_sealed
    hiding = policy.gate.hide(place.path, place.real) if hides else None
    if hiding is not None:
        gated = hiding.watchers
    else:
        gated = () if terms.is_sealed else policy.gate.watch(place.path, place.real)
    beginning = Beginning(place, owner, ledger, policy.keep_partial, published, content)
    begun = beginning.begin(None if terms.append else terms.offset, resumable=terms.resumable)
    with begun.partial:
        try:
            return AtomicSink(place, policy, begun, terms, gated, hiding)
        except StorageError as error:
            if error.kind is Kind.DAMAGED:  # its earlier bytes: nobody can go on from them, now or later
                begun.partial.unlink()
            raise


class AtomicSink:
    """An upload that is hidden until it is complete; keeps the place it is given."""

    def __init__(
        self,
        place: Place,
        policy: UploadPolicy,
        begun: Begun,
        terms: Terms,
        gated: Sequence[Watcher] = (),
        hiding: Hiding | None = None,
    ) -> None:
        self._policy = policy
        self._hiding = hiding
        self.is_hidden = hiding is not None
        self._gated = gated
        self._begun = begun
        self._partial = begun.partial
        self._terms = terms
        if terms.over_same and begun.published is not None:  # so many bytes are no new ones
            self._partial.on_loan = begun.published.st_size
        self._is_durable = policy.durable or terms.durable
        self._is_broken = False  # a write has failed: a further one would leave a gap, or the same bytes twice
        self._is_published = False
        self._is_doubtful = False  # whether the disk may have lost bytes that it took
        self._is_refused = False  # whether there was no room for it, or a watcher does not take it
        self._refusal: Refusal | None = None  # with what becomes of it then
        self.path = place.path
        self.offset = begun.start
        self.sha256: str | None = None
        self.conversion = None
        self._kept = Kept(self._partial.fd)
        self._digest = StreamDigest() if policy.digests else None
        digest = () if self._digest is None else (self._digest,)
        watch = () if terms.is_sealed else policy.watch
        watchers = (*digest, *(each(place.path) for each in watch), *gated)
        self._growing = Growing(self._partial.reading(), begun.start, watchers)
        self._place = place.keep()  # last: until here the caller closes it, whatever fails

    @property
    def verdict(self) -> str | None:
        """The word of those who have judged it."""
        return self._policy.gate.verdict(self._gated)

    def write(self, data: memoryview) -> bool:
        """Write all of *data*; return whether more should wait for a watcher."""
        if self._is_broken:
            raise StorageError(Kind.IO, self.path)
        self._is_broken = True
        try:
            if data:
                self._partial.write(data)
            is_behind = self._growing.grew(data)
        except (OSError, StorageError) as error:
            self._fail(error)
        self._is_broken = False
        return is_behind

    def prepare(self) -> bool:
        """Pass a piece of the earlier bytes to the watchers; True when nothing of it is left, and all take it."""
        if self._partial.fd < 0 or self._is_broken:
            raise StorageError(Kind.IO, self.path)
        try:
            return self._growing.catch_up(PIECE)
        except (OSError, StorageError) as error:
            self._is_broken = True
            self._fail(error)

    def trace(self) -> Trace:
        """Return the trace of the file: that of the partial, which is renamed."""
        try:
            self._partial.finish()
            sha256 = None if self._digest is None else self._digest.hex()
            return self._place.trace(os.fstat(self._partial.fd), sha256=sha256)
        except (OSError, StorageError) as error:
            self._fail(error)

    def _has_caught_up(self) -> bool:
        """Do what prepare() does for a caller that never called it, and waits here."""
        try:
            return self._growing.catch_up(PIECE)
        except NotYet as wait:
            time.sleep(wait.seconds)
            return False

    def commit(self) -> None:
        """Bring the bytes to the disk, then the name to the bytes."""
        if self._partial.fd < 0 or self._is_broken:
            self.abort()
            raise StorageError(Kind.IO, self.path)
        try:
            self._set_mode()
            while not self._has_caught_up():
                pass
            self._partial.finish()
            if self._digest is not None:
                self.sha256 = self._digest.hex()
                fd = self._partial.fd
                keep_digest(fd, self.sha256, os.fstat(fd), content=self._partial.content)
                if note := self._policy.gate.note(self._gated, self.sha256):
                    keep_note(fd, note, self._partial.content)
            if self._is_durable:
                self._is_doubtful = True
                os.fsync(self._partial.fd)
                self._is_doubtful = False
            if self._hiding is not None:
                self._hide(self._hiding)
            else:
                self._publish()
            self._is_published = True
            if self._begun.published is not None and self._begun.is_findable:
                keep_origin(self._partial.fd, None)
            if self._is_durable:
                self._sync_name()
            self._partial.close()
        except (OSError, StorageError) as error:
            self._fail(error)
        finally:
            self.abort()

    def abort(self) -> None:
        """Keep the received bytes where their owner finds them again."""
        if self._partial.fd >= 0:
            with suppress(OSError):  # a partial that cannot be kept or removed now is left to the sweep
                if not self._is_published:
                    self._kept.give_back()
                    self._keep_or_unlink()
            self._partial.close()
        self._growing.close()
        self._place.close()

    def _fail(self, error: OSError | StorageError) -> NoReturn:
        """Raise the StorageError for *error*, and remember when it is that nothing of this upload may stay."""
        said = from_oserror(error, self.path) if isinstance(error, OSError) else error
        said.path = self.path
        if isinstance(said, Refusal):
            self._refusal = said
            said.bytes = self._partial.size
            if self._digest is not None and self._growing.has_shown_all(self._digest):
                said.sha256 = self._digest.hex()
        self._is_refused = self._is_refused or said.kind in _REFUSALS
        raise said from (error if said is not error else None)

    def _set_mode(self) -> None:
        """Give it the mode of a new file, or all of the old one's that can be kept."""
        now = self._place.lstat_or_none()
        if now is None or not stat.S_ISREG(now.st_mode):
            mode = self._policy.file_mode
        else:
            mode = self._kept.take_over(self._place, now)
        if mode != PARTIAL_MODE:
            with suppress(PermissionError):  # vfat has no modes
                os.fchmod(self._partial.fd, mode)
        for what in sorted(self._kept.lost):
            self._policy.tell(what, self.path)

    def _publish(self) -> None:
        """Rename the partial to its target, on the terms it was opened on; the lock is still held."""
        terms, target = self._terms, self._place
        is_counted = self._partial.ledger is not NO_LEDGER
        with turn(target), self._partial.ledger.change() as change:
            published = os.fstat(self._partial.fd) if is_counted else None
            if not terms.may_replace:
                rename_to_new(self._partial.place, target)
                if published is not None:
                    change.moved(published)
                    self._partial.take_back(change)
                return
            is_bound = terms.append or terms.over_same or self._begun.holds_published
            # Again: a hold may have begun while the bytes came in.
            hold = self._policy.holding.on(target)
            is_looked_at = is_counted or is_bound or hold is not None or not terms.may_create
            now = target.lstat_or_none() if is_looked_at else None
            if now is not None:
                require_free(hold)
            if is_bound and not _is_same(now, self._begun.published):
                raise StorageError(Kind.BUSY)
            if is_bound:
                self._policy.gate.require_settled(target)
            if not terms.may_create and now is None:
                raise StorageError(Kind.NOT_FOUND)
            if now is None and (is_bound or hold is not None):
                rename_to_new(self._partial.place, target)
            else:
                if now is not None:
                    change.going(now)
                os.rename(self._partial.place.name, target.name, src_dir_fd=target.fd, dst_dir_fd=target.fd)
                if now is not None:
                    change.went(now)
            if published is not None:
                change.moved(published)
                self._partial.take_back(change)

    def _hide(self, hiding: Hiding) -> None:
        """Have it taken away until it has been judged; the lock is still held."""
        with self._partial.ledger.change() as change:
            status = os.fstat(self._partial.fd)
            change.going(status)
            terms, length = self._terms, self._partial.size
            arrival = Arrival(length, self.sha256, self._begun.published, terms.may_replace)
            held = hiding.take(arrival, self._partial.place, self._partial.fd)
            # It counts on, where it is now.
            change.went(status)
            change.came(held)
            self._partial.take_back(change)

    def _sync_name(self) -> None:
        try:
            self._place.sync()
        except PermissionError:
            # An inbox that may be written but not read cannot be opened for that. A rename changes the file's inode
            # too, and the journals of ext4 and XFS bring both to the disk or neither.
            os.fsync(self._partial.fd)

    def _keep_or_unlink(self) -> None:
        """Keep or remove a partial that was not published; the lock is still held."""
        begun, partial = self._begun, self._partial
        came_in = partial.size > begun.start or begun.is_resumed
        is_worth_it = came_in and not self._is_doubtful and not self._is_refused
        # The mark of a new version of a published file must stay: else its client comes back, asks for the SIZE, and
        # goes on from the old version.
        is_worth_knowing = begun.published is not None and (came_in or begun.has_dropped)
        is_wanted = begun.is_findable and self._policy.keep_partial > 0 and (is_worth_it or is_worth_knowing)
        # The upload that held the name we wanted may be over; then this one can be resumed in its stead.
        is_noted = is_wanted and self._is_refused and self._note_refusal()
        if self._is_refused and self._refusal is not None and self._take_into_custody(self._refusal):
            return
        if not is_wanted or is_noted or not partial.become_findable():
            partial.unlink()
            return
        if not is_worth_it:
            try:
                partial.truncate(0)
            except OSError:
                partial.unlink()
                raise
        partial.hide()

    def _take_into_custody(self, refusal: Refusal) -> bool:
        """Have the refused file taken away, where one is to be kept; return whether it is out of the tree."""
        if refusal.custody is None:
            return False
        with suppress(StorageError):  # whole as far as it came, so that it can be looked at and released as a file
            self._partial.finish()
        with self._partial.ledger.change() as change:
            status = os.fstat(self._partial.fd)
            change.going(status)
            is_taken = refusal.custody.take(refusal, self._partial.place, self._partial.fd, self._begun.published)
            if is_taken:
                change.went(status)
                self._partial.take_back(change)
        return is_taken

    def _note_refusal(self) -> bool:
        """Note with the published file that there was no room for this one; False where only the partial can say so."""
        published = self._begun.published
        try:
            fd = os.open(self._place.name, READ_FILE, dir_fd=self._place.fd)
        except OSError:
            return False
        try:
            is_same = published is not None and os.path.samestat(os.fstat(fd), published)
            return is_same and note_refusal(fd, self._partial.findable)
        finally:
            os.close(fd)


def _require_replaceable(place: Place, published: os.stat_result) -> None:
    """Raise DENIED when *published*, which is at *place*, is read-only."""
    if stat.S_ISLNK(published.st_mode):  # swapped in since the walk
        raise StorageError(Kind.NOT_FOUND)
    require_regular(published)
    require_writable(place, published)


def _is_same(now: os.stat_result | None, then: os.stat_result | None) -> bool:
    """Return whether two looks at a name saw the same file in the same state."""
    if now is None or then is None:
        return now is then
    return os.path.samestat(now, then) and (now.st_size, now.st_mtime_ns) == (then.st_size, then.st_mtime_ns)
