"""
The scan of one upload by one engine: a watcher that hands the bytes on while they arrive, beside the disk.

An engine that is slower than the client leaves the watcher behind, so the client is slowed
(`storage/uploads/growing.py`); no bytes are kept for it. No worker waits for an engine, but for `LOOK` seconds behind
the last byte: the verdict on a small file is there by then.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from ftpsd.config.accept.accept_rules import Policy, Unavailable
from ftpsd.scanning.verdict import Conversation, Engine, EngineFailed, Verdict, Word
from ftpsd.storage.base import NotYet, StorageError

# Seconds that a worker waits for a verdict, in the first looks of each file: less than a quantum of a transfer.
LOOK = 0.005
FIRST_LOOKS = 4
# Seconds between two looks: at first, and at most.
SOON, LATE = 0.005, 0.1

# Verdicts that refuse a file for good.
FOUND = frozenset({Word.INFECTED, Word.PROGRAM})

# Makes the error that refuses the upload for a verdict; with *is_final* the file is not to come again.
Refuse = Callable[[Verdict, bool], StorageError]
# Called with each verdict and how many seconds it took from the first byte.
Tell = Callable[[Verdict, float], None]


class Scan:
    """The watcher of one upload for *engine*; beyond *limit* bytes it is not asked any more."""

    def __init__(self, engine: Engine, limit: int | None, unavailable: Unavailable, refuse: Refuse, tell: Tell) -> None:
        self._engine = engine
        self._limit = limit
        self._policies: dict[Word, Policy] = {
            Word.UNAVAILABLE: unavailable.down,
            Word.OVER_LIMIT: unavailable.over_limit,
            Word.ENCRYPTED: unavailable.encrypted,
        }
        self._refuse = refuse
        self._tell = tell
        self._talk: Conversation | None = None
        self._verdict: Verdict | None = None
        self._seen = 0
        self._looks = 0
        self._started = 0.0

    def update(self, data: memoryview | bytes, /) -> int | None:
        """Hand *data* to the engine, as much as it takes."""
        if self._verdict is not None:
            return None
        if self._limit is not None and self._seen + len(data) > self._limit:
            self._decide(Verdict(Word.OVER_LIMIT, self._engine.name, self._signatures, "scanning.limit"))
            return None
        try:
            talk = self._begun()
            taken = talk.offer(data)
            early = talk.early()
        except EngineFailed as error:
            self._decide(self._unavailable(error))
            return None
        if early is not None:
            self._decide(early)
            return None
        self._seen += taken
        return taken

    def finish(self) -> bool:
        """Take the verdict."""
        if self._verdict is None:
            try:
                wait = LOOK if self._looks < FIRST_LOOKS else 0.0
                verdict = self._begun().answer(wait)
            except EngineFailed as error:
                verdict = self._unavailable(error)
            if verdict is None:
                self._looks += 1
                raise NotYet(min(LATE, SOON * self._looks))
            self._decide(verdict)
        assert self._verdict is not None
        word = self._verdict.word
        if word in FOUND or self._policies.get(word) == "quarantine":
            raise self._refuse(self._verdict, True)
        return True

    def close(self) -> None:
        """Let the engine go."""
        if self._talk is not None:
            self._talk.close()

    @property
    def verdict(self) -> Verdict | None:
        """The verdict, None as long as there is none."""
        return self._verdict

    @property
    def _signatures(self) -> str:
        return "" if self._talk is None else self._talk.signatures

    def _begun(self) -> Conversation:
        if self._talk is None:
            self._started = monotonic()
            self._talk = self._engine.begin()
        return self._talk

    def _unavailable(self, error: EngineFailed) -> Verdict:
        return Verdict(Word.UNAVAILABLE, self._engine.name, self._signatures, str(error))

    def _decide(self, verdict: Verdict) -> None:
        """
        Keep the *verdict*, and let the engine go.

        An upload that the client may send again is refused at once; the rest of what is kept as it came is awaited.
        """
        self._verdict = verdict
        self.close()
        self._tell(verdict, monotonic() - self._started if self._started else 0.0)
        if self._policies.get(verdict.word) == "refuse":
            raise self._refuse(verdict, False)
