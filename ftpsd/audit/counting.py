"""
Counters, gauges and histograms of plain numbers, counted on the reactor thread only.

The library's own take a lock and check for labels, buckets and other processes with every number: 22 counts and 5
observations of one small file were a twentieth of its processor time. These take a fifth of that. The numbers appear in
the registry through the library, which knows the formats.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

ChildT = TypeVar("ChildT")
ChildT_co = TypeVar("ChildT_co", covariant=True)


class Labelled(Protocol[ChildT_co]):
    """A metric with labels, ours or the library's."""

    def labels(self, *values: str) -> ChildT_co: ...


class Number:
    """One counter or gauge."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        """Add *amount*."""
        self.value += amount

    def dec(self, amount: float = 1) -> None:
        """Take *amount* away: gauges only."""
        self.value -= amount

    def set(self, value: float) -> None:
        """Replace the value: gauges only."""
        self.value = value


class Distribution:
    """One histogram; *bounds* are the upper bounds of its buckets, without the infinite one."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count *value* in its bucket."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class Family(Generic[ChildT]):
    """The common part of the metrics of one name; children appear in the registry as soon as they are made."""

    def __init__(self, name: str, explanation: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name = name
        self._explanation = explanation
        self._label_names = labels
        self._children: dict[tuple[str, ...], ChildT] = {}
        registry.register(self)

    def labels(self, *values: str) -> ChildT:
        """Return the child with these label values."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._make()
        return child

    def _make(self) -> ChildT:
        raise NotImplementedError

    def collect(self) -> Iterator[Metric]:
        """Give all children to the library."""
        raise NotImplementedError


class Numbers(Family[Number]):
    """Single numbers of one name; *shown* is the library's family for them."""

    shown: type[CounterMetricFamily] | type[GaugeMetricFamily]

    def _make(self) -> Number:
        return Number()

    def collect(self) -> Iterator[Metric]:
        """See `Family.collect`."""
        family = self.shown(self._name, self._explanation, labels=self._label_names)
        for values, child in self._children.items():
            family.add_metric(values, child.value)
        yield family


class Counters(Numbers):
    """Counters of one name, which the registry shows with `_total` behind it."""

    shown = CounterMetricFamily


class Gauges(Numbers):
    """Gauges of one name."""

    shown = GaugeMetricFamily


class Histograms(Family[Distribution]):
    """Histograms of one name with the same *bounds*."""

    def __init__(
        self,
        name: str,
        explanation: str,
        labels: Sequence[str],
        registry: CollectorRegistry,
        *,
        bounds: Sequence[float],
    ) -> None:
        self._bounds = bounds
        self._names: list[str] = [
            floatToGoString(bound)  # type: ignore[no-untyped-call]
            for bound in (*bounds, float("inf"))
        ]
        super().__init__(name, explanation, labels, registry)

    def _make(self) -> Distribution:
        return Distribution(self._bounds)

    def collect(self) -> Iterator[Metric]:
        """See `Family.collect`."""
        family = HistogramMetricFamily(self._name, self._explanation, labels=self._label_names)
        for values, child in self._children.items():
            cumulated, buckets = 0, []
            for name, count in zip(self._names, child.counts, strict=True):
                cumulated += count
                buckets.append((name, float(cumulated)))
            family.add_metric(values, buckets, child.total)
        yield family
