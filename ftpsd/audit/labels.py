"""
Label values: the rules that keep every metric small and free of text from clients.

A child is made once per set of label values and then found in a dict. Values are checked when the child is made: a
word that is not of the expected form, and every word beyond the limit, is counted under "other" instead, so a bug
elsewhere costs detail, never memory or a user's privacy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from twisted.logger import Logger

from ftpsd.audit.counting import Labelled

OTHER = "other"
# Fixed words of our own: "too-many-connections", "password+totp". No digit, dot, colon or slash, so no address, path or
# time passes.
WORD = re.compile(r"[A-Za-z][A-Za-z _+-]{0,47}")
# Names the operator, a library or the RFC chose: "explicit:21", "TLSv1.3", "RETR", "2xx". No address has this form.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,47}(:[0-9]{1,5})?|[0-9]xx")
# Verbs of the command table, "SITE CHMOD" for a sub-command, and the class of a reply.
COMMAND = re.compile(r"[A-Z][A-Z0-9]{2,7}( [A-Z0-9-]{2,9})?|[0-9]xx")
# The largest set that is meant, commands by class of reply, has under 500 members.
CHILDREN_LIMIT = 512

ChildT = TypeVar("ChildT")
# Name, explanation, and the label, if it has one.
Gauge = tuple[str, str, str | None]


class Children(dict[str | tuple[str, ...], ChildT], Generic[ChildT]):
    """
    The children of *metric*, found by label value, or by a tuple of them where it has several labels.

    Each value must match the pattern of *form*.
    """

    def __init__(self, metric: Labelled[ChildT], *, form: re.Pattern[str] = WORD, limit: int = CHILDREN_LIMIT) -> None:
        super().__init__()
        self._metric = metric
        self._form = form
        self._limit = limit
        self._made: set[tuple[str, ...]] = set()

    def __missing__(self, key: str | tuple[str, ...]) -> ChildT:
        asked = key if isinstance(key, tuple) else (key,)
        values = tuple(value if self._form.fullmatch(value) else OTHER for value in asked)
        if values not in self._made and len(self._made) >= self._limit:
            values = (OTHER,) * len(asked)
        self._made.add(values)
        child = self._metric.labels(*values)
        # Twice, because words that became "other" are remembered too; beyond that they are looked up anew each time.
        if len(self) < 2 * self._limit:
            self[key] = child
        return child


class Readings:
    """Gauges that are read from their owners when Prometheus asks; *registry* is where they appear."""

    _log = Logger()

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sources: dict[str, tuple[tuple[Gauge, ...], Callable[[], Sequence[Mapping[str, float]]]]] = {}
        registry.register(self)

    def watch(self, name: str, explanation: str, label: str | None, read: Callable[[], Mapping[str, float]]) -> None:
        """
        Read the gauge *name* from *read*, a number for each value of *label*; replace an earlier reader.

        Without a label it is the one number that *read* has.
        """
        self.watch_together(((name, explanation, label),), lambda: (read(),))

    def watch_together(self, gauges: tuple[Gauge, ...], read: Callable[[], Sequence[Mapping[str, float]]]) -> None:
        """Read all of *gauges* from one call of *read*, which looks at the same things for all of them."""
        self._sources[gauges[0][0]] = gauges, read

    def describe(self) -> list[Metric]:
        """Name nothing in advance: the registry would otherwise read everything once, before its owners exist."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read every gauge; one that cannot be read is missing, the others are not."""
        for first, (gauges, read) in self._sources.items():
            try:
                families = [_family(gauge, numbers) for gauge, numbers in zip(gauges, read(), strict=True)]
            except Exception:
                self._log.failure("The metric {name} could not be read.", name=first)
                continue
            yield from families


def _family(gauge: Gauge, numbers: Mapping[str, float]) -> GaugeMetricFamily:
    name, explanation, label = gauge
    family = GaugeMetricFamily(name, explanation, labels=[] if label is None else [label])
    for value, number in numbers.items():
        family.add_metric([] if label is None else [value], number)
    return family
