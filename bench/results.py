"""The samples that were measured, by case and server over the rounds, and the ratios they give."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.cases.base import Case, Metric
from bench.measure import Sample, median
from bench.servers import Server

OURS = "ftpsd"


@dataclass
class Cell:
    """The figures that one server gave for one case, round by round; None in a round that failed."""

    samples: list[Sample | None] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def values(self, metric: Metric) -> list[float]:
        """Return the figures of the rounds that have one."""
        return [sample.values[metric.key] for sample in self.samples if sample and metric.key in sample.values]

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of the last round that has any, then why rounds failed."""
        found = next((sample.notes for sample in reversed(self.samples) if sample and sample.notes), ())
        return (*found, *dict.fromkeys(self.failures))


@dataclass(frozen=True)
class Ratio:
    """ftpsd held against the best peer: *value* is the median of the rounds' ratios."""

    value: float
    peer: str

    def is_met(self, metric: Metric) -> bool | None:
        """Tell whether the target is met; None without one."""
        if metric.target is None:
            return None
        return self.value >= metric.target if metric.better == "high" else self.value <= metric.target


def _read_cell(told: dict[str, Any] | None) -> Cell:
    """Return the cell that Results.document() has told."""
    if told is None:
        return Cell()
    notes = tuple(told["notes"])
    if not any(told["rounds"]):
        return Cell(list(told["rounds"]), list(notes))
    return Cell([values and Sample(values, notes) for values in told["rounds"]])


class Results:
    """All cells of the table."""

    def __init__(self, cases: list[Case], servers: list[Server]) -> None:
        self.cases = cases
        self.servers = servers
        self.scale = ""
        self.missing: dict[str, str] = {}
        self._cells: dict[tuple[str, str], Cell] = {}

    def cell(self, case: Case, server: Server) -> Cell:
        """Return the cell of *case* and *server*."""
        return self._cells.setdefault((case.name, server.name), Cell())

    def ours(self, case: Case, metric: Metric) -> float | None:
        """Return the median of ftpsd's own figures, None without one."""
        cell = self._cells.get((case.name, OURS))
        values = cell.values(metric) if cell is not None else []
        return median(values) if values else None

    def ratio(self, case: Case, metric: Metric) -> Ratio | None:
        """Return how ftpsd compares with the peer that has the best median; None when either is missing."""
        ours = self._cells.get((case.name, OURS))
        best: tuple[float, Server] | None = None
        for server in self.servers:
            if server.is_peer and (values := self.cell(case, server).values(metric)):
                middle = median(values)
                if best is None or (middle > best[0] if metric.better == "high" else middle < best[0]):
                    best = middle, server
        if ours is None or best is None:
            return None
        ratios = []
        for mine, theirs in zip(ours.samples, self.cell(case, best[1]).samples, strict=False):
            if mine and theirs and theirs.values.get(metric.key) and metric.key in mine.values:
                ratios.append(mine.values[metric.key] / theirs.values[metric.key])
        return Ratio(median(ratios), best[1].name) if ratios else None

    def take(self, document: dict[str, Any]) -> None:
        """Take over the cases of a *document* that an earlier run wrote, whole: ratios are those of one run."""
        self.scale = "; ".join(filter(None, [self.scale, document["scale"]]))
        self.missing |= document["missing"]
        cases = {case.name: case for case in self.cases}
        for told in document["cases"]:
            case = cases.get(told["case"])
            for server in self.servers if case is not None else ():
                self._cells[told["case"], server.name] = _read_cell(told["servers"].get(server.name))

    def document(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        cases = []
        for case in self.cases:
            ratios = {metric.key: self.ratio(case, metric) for metric in case.metrics}
            servers = {}
            for server in self.servers:
                cell = self.cell(case, server)
                if cell.samples:
                    rounds = [sample.values if sample else None for sample in cell.samples]
                    servers[server.name] = {"rounds": rounds, "notes": cell.notes}
            found = {key: {"ratio": ratio.value, "peer": ratio.peer} for key, ratio in ratios.items() if ratio}
            cases.append({"case": case.name, "title": case.title, "ratios": found, "servers": servers})
        return {"scale": self.scale, "missing": self.missing, "cases": cases}
