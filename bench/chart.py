"""
The chart: one bar for each figure, how many times better (right) or worse (left) than the best peer ftpsd is.

Figures that only ftpsd has are held against their limit instead.
"""

from __future__ import annotations

import math
from pathlib import Path

from bench.results import Results

BETTER, WORSE = "#2a7f62", "#b5473c"


def draw(results: Results, path: Path) -> None:
    """Write the chart to *path*; needs matplotlib (the extra `bench`)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    bars = _bars(results)
    if not bars:
        return
    figure, axes = pyplot.subplots(figsize=(10, 1.2 + 0.32 * len(bars)))
    places = range(len(bars), 0, -1)
    heights = [math.log2(factor) for _, factor, _ in bars]
    axes.barh(places, heights, color=[BETTER if height >= 0 else WORSE for height in heights])
    axes.set_yticks(list(places), [label for label, _, _ in bars], fontsize=8)
    reach = max(1, math.ceil(max(abs(height) for height in heights)))
    ticks = range(-reach, reach + 1)
    axes.set_xticks(list(ticks), [f"{2**tick:g}×" if tick >= 0 else f"1/{2**-tick:g}" for tick in ticks])
    for place, height, (_, factor, peer) in zip(places, heights, bars, strict=True):
        text = f" {factor:.2f} ({peer}) "
        axes.text(height, place, text, va="center", ha="left" if height >= 0 else "right", fontsize=7)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlim(-reach - 0.8, reach + 0.8)
    axes.set_title("ftpsd against the best peer, or its limit; to the right is better", fontsize=10)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def _bars(results: Results) -> list[tuple[str, float, str]]:
    """Return label, factor (above 1 is better) and peer of each figure that has a ratio or, ftpsd's alone, a limit."""
    bars = []
    for case in results.cases:
        for metric in case.metrics:
            ratio = results.ratio(case, metric)
            if ratio is not None and ratio.value > 0:
                factor = ratio.value if metric.better == "high" else 1 / ratio.value
                bars.append((f"{case.title}: {metric.unit}", factor, ratio.peer))
            elif case.is_ours and metric.limit is not None and (found := results.ours(case, metric)):
                bars.append((f"{case.title}: {metric.unit}", metric.limit / found, f"limit {metric.limit:g}"))
    return bars
