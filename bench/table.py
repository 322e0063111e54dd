"""The table: Markdown, one line for each figure, one column for each server, ftpsd/best peer at the end."""

from __future__ import annotations

from bench.cases.base import Case, Metric
from bench.measure import median
from bench.results import Cell, Results

NOTHING = "–"
MARKS = {True: "yes", False: "**no**", None: ""}


def render(results: Results) -> str:
    """Return the table and, below it, what a reader must know of single cells."""
    servers = results.servers
    header = ["case", "unit", *(server.name for server in servers), "ftpsd/best", "best peer", "target", "met"]
    lines = [_row(header), _row(["---"] * len(header))]
    notes: list[str] = []
    for case in results.cases:
        if not any(results.cell(case, server).samples for server in servers):
            continue
        for metric in case.metrics:
            lines.append(_row(_cells(results, case, metric)))
        for server in servers:
            if remarks := results.cell(case, server).notes:
                notes.append(f"* {case.title}, {server.name}: {'; '.join(remarks)}")
    notes += [f"* {name} is missing: {why}" for name, why in results.missing.items()]
    notes += [f"* {server.name}: {server.about}" for server in servers]
    return "\n".join([f"{results.scale}.", "", *lines, "", *notes, ""])


def _cells(results: Results, case: Case, metric: Metric) -> list[str]:
    figures = [_figure(results.cell(case, server), metric) for server in results.servers]
    ratio = results.ratio(case, metric)
    is_met = ratio.is_met(metric) if ratio else None
    wanted = _wanted(metric)
    ours = results.cell(case, results.servers[0]).values(metric) if results.servers[0].name == "ftpsd" else []
    if metric.limit is not None and ours:
        is_met = median(ours) <= metric.limit and is_met is not False
    return [
        case.title,
        metric.unit,
        *figures,
        f"{ratio.value:.2f}" if ratio else NOTHING,
        ratio.peer if ratio else NOTHING,
        wanted,
        MARKS[is_met],
    ]


def _wanted(metric: Metric) -> str:
    sign = "≥" if metric.better == "high" else "≤"
    found = [f"{sign} {metric.target:g}"] if metric.target is not None else []
    if metric.limit is not None:
        found.append(f"≤ {metric.limit:g} {metric.unit}")
    return ", ".join(found)


def _figure(cell: Cell, metric: Metric) -> str:
    values = cell.values(metric)
    if not values:
        return "failed" if cell.failures else NOTHING
    middle = f"{median(values):.{metric.digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{metric.digits}f}–{max(values):.{metric.digits}f})"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
