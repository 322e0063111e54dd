"""
The doctor's findings: a level, a sentence, and the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The level of a finding: a problem keeps clients out, a warning will or may."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; *remedy* is a command or a key to change."""

    level: Level
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.level}: {self.text}" + (f"; {self.remedy}" if self.remedy else "")

    def as_json(self) -> dict[str, str]:
        """Return it for programs."""
        return {"level": self.level.value, "text": self.text, "remedy": self.remedy}


def ok(text: str) -> Finding:
    """Return a line about a part that is as it should be."""
    return Finding(Level.OK, text)


def warning(text: str, remedy: str) -> Finding:
    """Return a line about a fault that some clients will notice."""
    return Finding(Level.WARNING, text, remedy)


def problem(text: str, remedy: str) -> Finding:
    """Return a line about a fault that keeps clients out."""
    return Finding(Level.PROBLEM, text, remedy)
