"""
The metrics of the whole server: those of every process, added up.

A process is asked for its numbers (`taken`), they are kept as they came last (`keep`), and the counts of a dead process
are kept for ever (`ended`), so that no counter ever goes backwards. Counts after its last answer are lost with it,
which is a few seconds' worth.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

# Metrics that are not the sum over the processes. A reload and the start are the supervisor's business, and the passive
# ports of a client are those that it has in any process.
OF_THE_SUPERVISOR = frozenset(
    {
        "ftpsd_config_last_reload_successful",
        "ftpsd_config_last_reload_success_timestamp_seconds",
        "ftpsd_passive_ports",
        "process_start_time_seconds",
    }
)
THE_LEAST = frozenset(
    {"ftpsd_tls_certificate_not_after_timestamp_seconds", "ftpsd_tls_certificate_in_date", "process_max_fds"}
)
THE_SAME = frozenset({"ftpsd_build_info"})
COUNTING = frozenset({"counter", "histogram"})

Labels = tuple[tuple[str, str], ...]
Number = float | Fraction


@dataclass(slots=True)
class Family:
    """One metric: its samples by name and labels, in the order of the exposition."""

    name: str
    explanation: str
    kind: str
    samples: dict[tuple[str, Labels], Number] = field(default_factory=dict)

    def add(self, other: Family, combine: Callable[[Number, Number], Number]) -> None:
        """Take the samples of *other* in; *combine* makes one number of two."""
        for key, value in other.samples.items():
            self.samples[key] = combine(self.samples[key], value) if key in self.samples else value


Families = dict[str, Family]


def taken(registry: Collector) -> Families:
    """Return the present samples of *registry*."""
    families: Families = {}
    for metric in registry.collect():
        samples: dict[tuple[str, Labels], Number] = {
            (sample.name, tuple(sample.labels.items())): sample.value for sample in metric.samples
        }
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
        samples: dict[tuple[str, Labels], Number] = {
            (sample, tuple((key, label) for key, label in labels)): value for sample, labels, value in rows
        }
        families[name] = Family(name, explanation, kind, samples)
    return families


class Sums(Collector):
    """The sums of the processes' reports and of *own*, the supervisor's registry."""

    def __init__(self, own: CollectorRegistry) -> None:
        self._own = own
        self._latest: dict[int, Families] = {}
        self._gone: Families = {}

    def keep(self, process: int, families: Families) -> None:
        """Keep the present numbers of *process*."""
        self._latest[process] = families

    def ended(self, process: int) -> None:
        """Keep the counts of *process*; it is dead, and its measurements are no more."""
        for family in self._latest.pop(process, {}).values():
            if family.kind in COUNTING:
                mine = self._gone.setdefault(family.name, Family(family.name, family.explanation, family.kind))
                mine.add(family, _exactly)

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance: the processes are not there yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return the sums."""
        own = taken(self._own)
        sums: Families = {}
        for families in (own, self._gone, *self._latest.values()):
            for name, family in families.items():
                if name in OF_THE_SUPERVISOR and families is not own:
                    continue
                total = sums.setdefault(name, Family(name, family.explanation, family.kind))
                total.add(family, _rule(family))
        for family in sums.values():
            metric = Metric(family.name, family.explanation, family.kind)
            for (sample, labels), value in family.samples.items():
                metric.add_sample(sample, dict(labels), float(value))
            yield metric


def _rule(family: Family) -> Callable[[Number, Number], Number]:
    if family.name in THE_LEAST:
        return min
    if family.name in THE_SAME:
        return max
    return _exactly if family.kind in COUNTING else operator.add


def _exactly(one: Number, other: Number) -> Number:
    """
    Return the sum without rounding it.

    A sum of floats depends on their order, which changes when a process dies, by its last bit. Prometheus takes a
    counter that is smaller by one bit for one that began anew, and adds all of it once more.
    """
    if isinstance(one, float) and isinstance(other, float) and one.is_integer() and other.is_integer():
        return one + other
    return Fraction(one) + Fraction(other)
