"""The definition of a case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bench.measure import Sample
from bench.running import RunningServer


@dataclass(frozen=True)
class Metric:
    """
    One figure of a case.

    *target* is the ratio ftpsd/best peer that docs ask for, None when there is none; *limit* a bound on ftpsd's own
    figure.
    """

    key: str
    unit: str
    better: Literal["high", "low"]
    digits: int = 0
    target: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Case:
    """
    One thing to measure: *run* does it once against a server that runs.

    *name* is `family-variant`. *fresh* wants the server just started, because what it did before would show.
    *most_rounds* bounds what takes long. *is_ours* is for ftpsd alone.
    """

    name: str
    title: str
    metrics: tuple[Metric, ...]
    run: Callable[[RunningServer], Sample]
    protocols: frozenset[str] = frozenset({"ftps"})
    fresh: bool = False
    most_rounds: int = 1000
    is_ours: bool = False

    @property
    def family(self) -> str:
        return self.name.partition("-")[0]
