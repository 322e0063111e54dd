"""
The metrics of the whole server: those of every process, added up.

A process is asked for its numbers (`taken`), they are kept as they came last (`told`), and what a dead process had
counted is kept for ever (`ended`), so that no counter ever goes backwards. What it had counted after it was last
asked is lost with it, which is a few seconds' worth.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

# What is not the sum over the processes. A reload and the start are the supervisor's business.
OF_THE_SUPERVISOR = frozenset(
    {
        "ftpsd_config_last_reload_successful",
        "ftpsd_config_last_reload_success_timestamp_seconds",
        "process_start_time_seconds",
    }
)
THE_LEAST = frozenset({"ftpsd_tls_certificate_not_after_timestamp_seconds", "process_max_fds"})
THE_SAME = frozenset({"ftpsd_build_info"})
COUNTING = frozenset({"counter", "histogram"})

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Family:
    """One metric: its samples by name and labels, in the order in which they are shown."""

    name: str
    explanation: str
    kind: str
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def add(self, other: Family, combine: Callable[[float, float], float]) -> None:
        """Take the samples of *other* in; *combine* makes one number of two."""
        for key, value in other.samples.items():
            self.samples[key] = combine(self.samples[key], value) if key in self.samples else value


Families = dict[str, Family]


def taken(registry: Collector) -> Families:
    """Return what *registry* shows now."""
    families: Families = {}
    for metric in registry.collect():
        samples = {(sample.name, tuple(sample.labels.items())): sample.value for sample in metric.samples}
        families[metric.name] = Family(metric.name, metric.documentation, metric.type, samples)
    return families


def to_text(families: Families) -> str:
    """Return *families* as text for another process."""
    rows = [
        (each.name, each.explanation, each.kind, [(*key, value) for key, value in each.samples.items()])
        for each in families.values()
    ]
    return json.dumps(rows, separators=(",", ":"))


def from_text(text: str) -> Families:
    """Return the families that `to_text` wrote."""
    families: Families = {}
    for name, explanation, kind, rows in json.loads(text):
        samples = {(sample, tuple((key, label) for key, label in labels)): value for sample, labels, value in rows}
        families[name] = Family(name, explanation, kind, samples)
    return families


class Sums(Collector):
    """Adds up what the processes have told and what *own*, the supervisor's registry, shows."""

    def __init__(self, own: CollectorRegistry) -> None:
        self._own = own
        self._latest: dict[int, Families] = {}
        self._gone: Families = {}

    def told(self, process: int, families: Families) -> None:
        """Keep what *process* shows now."""
        self._latest[process] = families

    def ended(self, process: int) -> None:
        """Keep what *process* has counted; it is dead, and what it measured is no more."""
        for family in self._latest.pop(process, {}).values():
            if family.kind in COUNTING:
                mine = self._gone.setdefault(family.name, Family(family.name, family.explanation, family.kind))
                mine.add(family, _plus)

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance: the processes are not there yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Show the sums."""
        own = taken(self._own)
        sums: Families = {}
        for families in (own, self._gone, *self._latest.values()):
            for name, family in families.items():
                if name in OF_THE_SUPERVISOR and families is not own:
                    continue
                total = sums.setdefault(name, Family(name, family.explanation, family.kind))
                total.add(family, _rule(name))
        for family in sums.values():
            metric = Metric(family.name, family.explanation, family.kind)
            for (sample, labels), value in family.samples.items():
                metric.add_sample(sample, dict(labels), value)
            yield metric


def _rule(name: str) -> Callable[[float, float], float]:
    if name in THE_LEAST:
        return min
    return max if name in THE_SAME else _plus


def _plus(one: float, other: float) -> float:
    return one + other
