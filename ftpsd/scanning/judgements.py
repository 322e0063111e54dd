"""
The verdicts on a stored file, as they are kept with it: who has looked at it, with which signatures, and when.

They are about the bytes of one SHA-256. Of a file with another one, or of none that is known, nothing is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from ftpsd.scanning.verdict import Verdict, Word
from ftpsd.storage.uploads.note import MOST_NOTED

# The verdict of the operator who has released a file, whatever engines say.
RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The *verdict* of *engine* with *signatures*, at a *time* (Unix)."""

    engine: str
    signatures: str
    verdict: str
    time: int

    def is_clean_by(self, signatures: str) -> bool:
        """Return whether these *signatures* have found nothing."""
        return self.verdict == Word.CLEAN and self.signatures == signatures


def judged(verdict: Verdict, now: float) -> Judgement:
    """Return *verdict* as a judgement of *now*."""
    return Judgement(verdict.engine, verdict.signatures, verdict.word.value, int(now))


def to_note(sha256: str, judgements: Iterable[Judgement]) -> bytes:
    """Return the note of *judgements* on the bytes of *sha256*: as many as there is room for."""
    kept = [asdict(each) for each in judgements]
    while kept:
        note = json.dumps({"sha256": sha256, "verdicts": kept}, separators=(",", ":")).encode()
        if len(note) <= MOST_NOTED:
            return note
        kept.pop()
    return b""


def of_note(note: bytes, sha256: str | None) -> Mapping[str, Judgement]:
    """Return the judgements in *note*, by their engines; none where it is about other bytes than those of *sha256*."""
    try:
        told = json.loads(note) if note else {}
        if sha256 is None or told.get("sha256") != sha256:
            return {}
        found = [
            Judgement(str(each["engine"]), str(each["signatures"]), str(each["verdict"]), int(each["time"]))
            for each in told["verdicts"]
        ]
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
    return {each.engine: each for each in found}
