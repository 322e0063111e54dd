"""
An upload on its way through gpg: what comes in is encrypted or decrypted, and only that reaches the disk.

* Encrypting: the client's bytes are in memory, in a pipe and in gpg, never on the disk. Watchers of uploads (scanners)
  see the client's bytes before gpg does: plaintext is scanned.
* Decrypting: the plaintext goes into the hidden partial, which is the stored file, so its watchers see the plaintext
  too. It is published when gpg has ended with 0 and all that was asked about the signature holds, and is removed
  otherwise.
* write() takes all of its bytes, returns within a quantum, and tells when the next are to wait: what gpg or a watcher
  has not taken is in memory, and no more than one write. Nothing is resumable: half a message cannot be gone on with.
* gpg that moves nothing for `patience` seconds is killed: IO, 451. A message that is not to be used is REFUSED, 550.
* Of one user and of all together only so many run at once (gpg_turns.py); an upload waits for its turn as it waits for
  a gpg that takes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from time import monotonic, sleep

from ftpsd.storage.base import Conversion, Kind, NotYet, Sink, StorageError
from ftpsd.storage.pgp.gpg_child import GpgChild, StatusTooLong
from ftpsd.storage.pgp.gpg_status import fault_of_keys, fault_of_opening, is_sealed
from ftpsd.storage.pgp.gpg_turns import TURNS, GpgTurns
from ftpsd.storage.pgp.key_home import KeyHome, NoGnuPG
from ftpsd.storage.pgp.treatment import Treatment
from ftpsd.storage.uploads.gating import Refusal
from ftpsd.storage.uploads.growing import PAUSE, Watcher
from ftpsd.values.path import VirtualPath
from ftpsd.values.trace import Trace

# Seconds of a call: that of a quantum.
BUDGET = 0.010


class ConvertingSink:
    """
    An upload called *sent_as* by its client, which goes through gpg into *inner*; *watchers* see what comes in.

    It is one of *owner*, by whom the *turns* of gpg are counted.
    """

    def __init__(
        self,
        inner: Sink,
        sent_as: VirtualPath,
        treatment: Treatment,
        home: KeyHome,
        watchers: Sequence[Watcher],
        owner: str = "",
        turns: GpgTurns = TURNS,
    ) -> None:
        self.path = inner.path
        self.offset = 0
        self.sha256: str | None = None
        self.conversion = Conversion(sent_as)
        self.is_hidden = inner.is_hidden
        self._inner = inner
        self._treatment = treatment
        self._watchers = [_Seat(watcher) for watcher in watchers]
        self._deciding = [*watchers]
        self._digest = hashlib.sha256()
        self._received = self._written = 0
        self._waiting = memoryview(b"")
        self._is_stuck = False
        self._is_judged = False
        self._home = home
        self._owner = owner
        self._turns = turns
        self._gpg: GpgChild | None = None
        self._has_turn = False
        self._since = monotonic()  # when it began to wait for its turn
        try:
            self._started()
        except StorageError:
            self._let_go()
            raise

    @property
    def verdict(self) -> str | None:
        """The word of those who have judged it."""
        return self._inner.verdict

    def write(self, data: memoryview) -> bool:
        """Take all of *data*; return whether more should wait. A caller that writes on at once waits here."""
        if not data:
            return self._is_behind(0.0 if self._is_stuck else BUDGET)
        while self._is_behind(BUDGET):
            sleep(PAUSE)
        self._digest.update(data)
        self._received += len(data)
        self._show(data)
        taken = self._pump(data, BUDGET)
        self._waiting = memoryview(bytes(data[taken:]))  # the buffer is the caller's
        return self._has_rest

    def prepare(self) -> bool:
        """Do a piece of the rest of the way; True when gpg has ended well, and the inner upload is ready."""
        if not self._is_judged:
            if self._is_behind(BUDGET):
                raise NotYet(PAUSE)
            try:
                while self._deciding:
                    if not self._deciding[0].finish():
                        return False
                    del self._deciding[0]
            except Refusal as refusal:
                refusal.sha256 = self._digest.hexdigest()
                raise self._told(refusal) from None
            if not self._finish():
                self._require_motion()
                raise NotYet(PAUSE)
            self._judge()
            self._is_judged = True
        return self._inner.prepare()

    def trace(self) -> Trace:
        """Return the trace of the published file."""
        return self._inner.trace()

    def commit(self) -> None:
        """Publish."""
        try:
            while not self._is_prepared():
                pass
            self._inner.commit()
            self.sha256 = self._inner.sha256
        finally:
            self.abort()

    def abort(self) -> None:
        """Give up: nothing of it stays."""
        self._end_gpg()
        self._let_go()

    def _started(self) -> GpgChild | None:
        """Return its gpg, which is started when it is its turn; None until then. Raises: IO."""
        if self._gpg is None and not self._has_turn:
            self._has_turn = self._turns.claim(self._owner)
            if self._has_turn:
                try:
                    treatment = self._treatment
                    self._gpg = GpgChild(self._home, treatment.arguments, needs_agent=treatment.needs_agent)
                except (NoGnuPG, OSError) as error:
                    self._end_gpg()
                    raise StorageError(Kind.IO, self.path, why=f"gpg cannot be started: {error}") from error
        return self._gpg

    def _end_gpg(self) -> None:
        """End it, if it was started, and give the turn back."""
        if self._gpg is not None:
            self._gpg.close()
        if self._has_turn:
            self._has_turn = False
            self._turns.give_back(self._owner)

    def _is_prepared(self) -> bool:
        try:
            return self.prepare()
        except NotYet as wait:
            sleep(wait.seconds)
            return False

    def _let_go(self) -> None:
        for seat in self._watchers:
            seat.watcher.close()
        self._inner.abort()

    def _show(self, data: memoryview) -> None:
        try:
            for seat in self._watchers:
                seat.show(data)
        except Refusal as refusal:
            raise self._told(refusal) from None

    def _told(self, refusal: Refusal) -> Refusal:
        """Complete what is said about an upload that the gate refuses; there is no file to be kept."""
        refusal.bytes, refusal.path = self._received, self.path
        refusal.not_kept = "the plaintext of an encrypting path is not kept"
        self._end_gpg()
        return refusal

    def _is_behind(self, wait: float) -> bool:
        """Go on with what waits, for up to *wait* s; return whether something does. Raises: IO when gpg is stuck."""
        self._show(memoryview(b""))
        if self._waiting:
            taken = self._pump(self._waiting, wait)
            self._waiting = self._waiting[taken:]
            # A gpg that has not moved at the last call is only looked at, so that it holds no worker.
            self._is_stuck = not taken
            if self._waiting:
                self._require_motion()
        return self._has_rest

    @property
    def _has_rest(self) -> bool:
        return bool(self._waiting) or any(seat.rest for seat in self._watchers)

    def _pump(self, data: memoryview, wait: float) -> int:
        gpg = self._started()
        if gpg is None:
            return 0
        try:
            return gpg.pump(data, wait, self._take)
        except StatusTooLong:
            raise self._fault(Kind.REFUSED, "gpg has said too much") from None

    def _finish(self) -> bool:
        gpg = self._started()
        if gpg is None:
            return False
        try:
            return gpg.finish(BUDGET, self._take)
        except StatusTooLong:
            raise self._fault(Kind.REFUSED, "gpg has said too much") from None

    def _take(self, data: memoryview) -> None:
        self._written += len(data)
        if not self._treatment.allows(self._received, self._written):
            most = self._treatment.max_expansion
            raise self._fault(Kind.REFUSED, f"it opens to more than {most} times its size (max_expansion)")
        self._inner.write(data)

    def _require_motion(self) -> None:
        patience = self._treatment.patience
        if monotonic() - (self._since if self._gpg is None else self._gpg.moved) > patience:
            if self._gpg is None:
                raise self._fault(Kind.IO, f"too many uploads are with gpg: no turn within {patience:g} s")
            raise self._fault(Kind.IO, f"gpg has moved nothing for {patience:g} s and was ended")

    def _judge(self) -> None:
        gpg = self._gpg
        assert gpg is not None
        code = gpg.code
        assert code is not None
        self._end_gpg()  # others wait for the turn
        if code < 0:
            raise self._fault(Kind.IO, f"gpg was ended by signal {-code}")
        treatment = self._treatment
        if treatment.decrypts:
            fault, signer = fault_of_opening(code, gpg.status, treatment.verify_from)
        else:
            fault = fault_of_keys(gpg.status)
            signer = treatment.sign_with
            if fault is None and not is_sealed(code, gpg.status, signs=signer is not None):
                raise self._fault(Kind.IO, f"gpg did not encrypt it, and ended with {code}")
        if fault is not None:
            raise self._fault(Kind.REFUSED, fault)
        self.conversion.sha256 = self._digest.hexdigest()
        self.conversion.signer = signer

    def _fault(self, kind: Kind, why: str) -> StorageError:
        self._end_gpg()
        return StorageError(kind, self.path, why=f"pgp: {why}")


class _Seat:
    """A watcher, and the *rest* of the bytes that it has not taken yet: they are nowhere else."""

    __slots__ = ("rest", "watcher")

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.rest = memoryview(b"")

    def show(self, data: memoryview) -> None:
        """Show it its rest, or else *data*, which only comes when there is none."""
        shown = self.rest or data
        if not shown:
            return
        taken = self.watcher.update(shown)
        left = shown[len(shown) if taken is None else taken :]
        self.rest = left if self.rest else memoryview(bytes(left))
