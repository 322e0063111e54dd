"""The results of a run: whether each step worked, by client and mode."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tests.e2e.matrix.client import Client, TLSMode

Verdict = Literal["works", "cannot"]


@dataclass(slots=True)
class Results:
    """Verdicts of this run; what did not run is as it is declared."""

    seen: dict[tuple[str, TLSMode, str], Verdict] = field(default_factory=dict)

    def note(self, client: Client, mode: TLSMode, step: str, verdict: Verdict) -> None:
        """Remember what came of a case that passed."""
        self.seen[client.name, mode, step] = verdict

    def verdict(self, client: Client, mode: TLSMode, step: str) -> Verdict:
        """Return what came of a case, or what is declared for one that did not run."""
        declared: Verdict = "works" if client.inability(mode, step) is None else "cannot"
        return self.seen.get((client.name, mode, step), declared)
