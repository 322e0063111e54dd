"""
Verdicts: what an engine says about one file, and the conversation in which it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

# Seconds that one offer may take with an engine that goes on taking bytes: a quantum of a transfer has as many.
OFFER = 0.01

# Characters of the words of an engine that are kept.
MOST_SAID = 200


class Word(StrEnum):
    """A verdict, in the words of logs and metrics."""

    CLEAN = "clean"
    INFECTED = "infected"
    ENCRYPTED = "encrypted"
    OVER_LIMIT = "over-limit"
    UNAVAILABLE = "unavailable"
    PROGRAM = "program"
    """The operator's program has said no."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of *engine*, with *signatures* of some version; *found* is its name for what it has found."""

    word: Word
    engine: str
    signatures: str = ""
    found: str = ""


class EngineFailed(Exception):
    """An engine cannot be reached, is silent, or says what it should not; the text is for the operator."""


class Conversation(Protocol):
    """One file shown to one engine. No call waits for one that does nothing, but where it says so."""

    signatures: str
    """The version of the engine and its signatures, as far as it has been told."""

    def offer(self, data: memoryview | bytes, /) -> int:
        """Return how many of the next bytes the engine has taken, within `OFFER` seconds. Raises: EngineFailed."""

    def answer(self, wait: float, /) -> Verdict | None:
        """
        Return the verdict on all bytes that were taken; None: ask again. Waits for *wait* seconds at most.

        No more bytes are offered. Raises: EngineFailed.
        """

    def early(self) -> Verdict | None:
        """Return a verdict for which the engine needs no further bytes, None as long as there is none."""

    def close(self) -> None:
        """End it; idempotent."""


class Engine(Protocol):
    """A program that looks at files."""

    name: str

    def begin(self) -> Conversation:
        """Begin to show a file, without waiting. Raises: EngineFailed."""


def word_of_find(found: str) -> Word:
    """Tell what was *found* from what could not be looked into, in ClamAV's words (AlertEncrypted, AlertExceedsMax)."""
    if found.startswith("Heuristics.Encrypted."):
        return Word.ENCRYPTED
    if found.startswith("Heuristics.Limits.Exceeded"):
        return Word.OVER_LIMIT
    return Word.INFECTED


def said(text: bytes | str) -> str:
    """Return what an engine has said as it may stand in a log: printable, and not long."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text[:MOST_SAID])
