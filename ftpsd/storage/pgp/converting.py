"""
An upload on its way through gpg: what comes in is encrypted or decrypted, and only that reaches the disk.

* Encrypting: the client's bytes are in memory, in a pipe and in gpg, never on the disk. Watchers of uploads (scanners)
  see the client's bytes before gpg does: plaintext is scanned.
* Decrypting: the plaintext goes into the hidden partial, which is the stored file, so its watchers see the plaintext
  too. It is published when gpg has ended with 0 and all that was asked about the signature holds, and is removed
  otherwise.
* write() takes all of its bytes and returns within a quantum; `Conversion.drain` tells when the next may come. Nothing
  is resumable, for half a message cannot be gone on with.
* gpg that moves nothing for `patience` seconds is killed: IO, 451. A message that is not to be used is REFUSED, 550.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from time import monotonic

from ftpsd.storage.base import Conversion, Kind, Sink, StorageError
from ftpsd.storage.pgp.gpg_child import GpgChild, StatusTooLong
from ftpsd.storage.pgp.gpg_status import fault_of_keys, fault_of_opening, is_sealed
from ftpsd.storage.pgp.key_home import KeyHome, NoGnuPG
from ftpsd.storage.pgp.treatment import Treatment
from ftpsd.storage.uploads.growing import Watcher
from ftpsd.values.path import VirtualPath

# Seconds of a call: that of a quantum.
BUDGET = 0.010


class ConvertingSink:
    """An upload called *sent_as* by its client, which goes through gpg into *inner*; *watchers* see what comes in."""

    def __init__(
        self, inner: Sink, sent_as: VirtualPath, treatment: Treatment, home: KeyHome, watchers: Sequence[Watcher]
    ) -> None:
        self.path = inner.path
        self.offset = 0
        self.sha256: str | None = None
        self.conversion = Conversion(sent_as, self._drain)
        self._inner = inner
        self._treatment = treatment
        self._watchers = watchers
        self._deciding = [*watchers]
        self._digest = hashlib.sha256()
        self._received = self._written = 0
        self._waiting = memoryview(b"")
        self._is_stuck = False
        self._is_judged = False
        try:
            self._gpg = GpgChild(home, treatment.arguments, needs_agent=treatment.needs_agent)
        except (NoGnuPG, OSError) as error:
            self._let_go()
            raise StorageError(Kind.IO, self.path, why=f"gpg cannot be started: {error}") from error

    def write(self, data: memoryview) -> None:
        """Take all of *data*; what gpg does not take at once waits, and one who writes again at once waits for it."""
        while self._waiting:
            self._is_stuck = False
            self._drain()
        for watcher in self._watchers:
            watcher.update(data)
        self._digest.update(data)
        self._received += len(data)
        taken = self._pump(data, BUDGET)
        if taken < len(data):
            self._waiting = memoryview(bytes(data[taken:]))

    def prepare(self) -> bool:
        """Do a piece of the rest of the way; True when gpg has ended well, and the inner upload is ready."""
        if not self._is_judged:
            self._is_stuck = False
            if not self._drain():
                return False
            while self._deciding:
                if not self._deciding[0].finish():
                    return False
                del self._deciding[0]
            try:
                if not self._gpg.finish(BUDGET, self._take):
                    self._require_motion()
                    return False
            except StatusTooLong:
                raise self._fault(Kind.REFUSED, "gpg has said too much") from None
            self._judge()
            self._is_judged = True
        return self._inner.prepare()

    def commit(self) -> None:
        """Publish."""
        try:
            while not self.prepare():
                pass
            self._inner.commit()
            self.sha256 = self._inner.sha256
        finally:
            self.abort()

    def abort(self) -> None:
        """Give up: nothing of it stays."""
        self._gpg.close()
        self._let_go()

    def _let_go(self) -> None:
        for watcher in self._watchers:
            watcher.close()
        self._inner.abort()

    def _drain(self) -> bool:
        """Go on with what waits; True when nothing does. Raises: IO when gpg moves nothing."""
        if not self._waiting:
            return True
        # A gpg that has not moved at the last call is only looked at, so that it holds no worker.
        taken = self._pump(self._waiting, 0.0 if self._is_stuck else BUDGET)
        self._waiting = self._waiting[taken:]
        self._is_stuck = not taken
        if self._waiting:
            self._require_motion()
        return not self._waiting

    def _pump(self, data: memoryview, wait: float) -> int:
        try:
            return self._gpg.pump(data, wait, self._take)
        except StatusTooLong:
            raise self._fault(Kind.REFUSED, "gpg has said too much") from None

    def _take(self, data: memoryview) -> None:
        self._written += len(data)
        if not self._treatment.allows(self._received, self._written):
            most = self._treatment.max_expansion
            raise self._fault(Kind.REFUSED, f"it opens to more than {most} times its size (max_expansion)")
        self._inner.write(data)

    def _require_motion(self) -> None:
        if monotonic() - self._gpg.moved > self._treatment.patience:
            raise self._fault(Kind.IO, f"gpg has moved nothing for {self._treatment.patience:g} s and was ended")

    def _judge(self) -> None:
        code = self._gpg.code
        assert code is not None
        if code < 0:
            raise self._fault(Kind.IO, f"gpg was ended by signal {-code}")
        treatment = self._treatment
        if treatment.decrypts:
            fault, signer = fault_of_opening(code, self._gpg.status, treatment.verify_from)
        else:
            fault = fault_of_keys(self._gpg.status)
            signer = treatment.sign_with
            if fault is None and not is_sealed(code, self._gpg.status, signs=signer is not None):
                raise self._fault(Kind.IO, f"gpg did not encrypt it, and ended with {code}")
        if fault is not None:
            raise self._fault(Kind.REFUSED, fault)
        self.conversion.sha256 = self._digest.hexdigest()
        self.conversion.signer = signer

    def _fault(self, kind: Kind, why: str) -> StorageError:
        self._gpg.close()
        return StorageError(kind, self.path, why=f"pgp: {why}")
