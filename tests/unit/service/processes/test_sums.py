"""The metrics of several processes: added up, and never backwards."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ftpsd.processes.sums import Families, Sums, from_text, taken, to_text


class Process:
    """A process with some metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.transfers = Counter("ftpsd_transfers", "T.", ["result"], registry=self.registry)
        self.sessions = Gauge("ftpsd_sessions", "S.", registry=self.registry)
        self.expiry = Gauge("ftpsd_tls_certificate_not_after_timestamp_seconds", "E.", registry=self.registry)
        self.build = Gauge("ftpsd_build_info", "B.", ["version"], registry=self.registry)
        self.reload = Gauge("ftpsd_config_last_reload_successful", "R.", registry=self.registry)
        self.seconds = Histogram("ftpsd_seconds", "H.", ["command"], buckets=(1, 10), registry=self.registry)
        self.build.labels("1").set(1)

    def families(self) -> Families:
        """The message to the supervisor, there and back."""
        return from_text(to_text(taken(self.registry)))


def shown(sums: Sums) -> dict[str, float]:
    """What Prometheus reads."""
    registry = CollectorRegistry()
    registry.register(sums)
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if "_created" not in line}


def two(one: Process, other: Process) -> Sums:
    sums = Sums(CollectorRegistry())
    for index, process in enumerate((one, other)):
        sums.keep(index, process.families())
    return sums


def test_counters_gauges_and_histograms_add_up() -> None:
    """Label by label, bucket by bucket."""
    one, other = Process(), Process()
    one.transfers.labels("complete").inc(2)
    other.transfers.labels("complete").inc(3)
    other.transfers.labels("failed").inc()
    one.sessions.set(4)
    other.sessions.set(5)
    one.seconds.labels("RETR").observe(0.5)
    other.seconds.labels("RETR").observe(5)
    values = shown(two(one, other))
    assert values['ftpsd_transfers_total{result="complete"}'] == 5
    assert values['ftpsd_transfers_total{result="failed"}'] == 1
    assert values["ftpsd_sessions"] == 9
    assert [values[f'ftpsd_seconds_bucket{{command="RETR",le="{le}"}}'] for le in ("1.0", "10.0", "+Inf")] == [1, 2, 2]
    assert values['ftpsd_seconds_sum{command="RETR"}'] == 5.5


def test_what_is_no_sum() -> None:
    """The build is one, the certificate the one that expires first, the reload is the supervisor's."""
    one, other, supervisor = Process(), Process(), Process()
    one.expiry.set(100)
    other.expiry.set(90)
    supervisor.expiry.set(95)
    supervisor.reload.set(1)
    sums = Sums(supervisor.registry)
    sums.keep(0, one.families())
    sums.keep(1, other.families())
    values = shown(sums)
    assert values['ftpsd_build_info{version="1"}'] == 1
    assert values["ftpsd_tls_certificate_not_after_timestamp_seconds"] == 90
    assert values["ftpsd_config_last_reload_successful"] == 1


def test_a_dead_process_takes_its_gauges_along_and_leaves_its_counters() -> None:
    """Its sessions are gone; what it has transferred is not."""
    one, other = Process(), Process()
    for process in (one, other):
        process.sessions.set(2)
        process.transfers.labels("complete").inc(10)
        process.seconds.labels("RETR").observe(0.5)
    sums = two(one, other)
    sums.ended(0)
    values = shown(sums)
    assert values["ftpsd_sessions"] == 2
    assert values['ftpsd_transfers_total{result="complete"}'] == 20
    assert values['ftpsd_seconds_count{command="RETR"}'] == 2


def test_sums_of_fractions_do_not_depend_on_their_order() -> None:
    """A counter that is smaller by its last bit would have begun anew for Prometheus."""
    one, two, three = Process(), Process(), Process()
    sums = Sums(CollectorRegistry())
    for index, (process, seconds) in enumerate(((one, 0.3), (two, 0.1), (three, 0.2))):
        process.seconds.labels("RETR").observe(seconds)
        sums.keep(index, process.families())
    name = 'ftpsd_seconds_sum{command="RETR"}'
    before = shown(sums)[name]
    for index in (2, 0, 1):
        sums.ended(index)
        assert shown(sums)[name] == before


@given(st.lists(st.tuples(st.sampled_from(["count", "tell", "die"]), st.integers(0, 1)), max_size=40))
def test_a_counter_never_goes_backwards(steps: list[tuple[str, int]]) -> None:
    """The sum that is shown only grows, and holds all that was told, however processes count, tell and die."""
    sums = Sums(CollectorRegistry())
    processes = [Process(), Process()]
    told, unsaid, last = 0, [0, 0], 0.0
    for what, index in steps:
        if what == "count":
            processes[index].transfers.labels("complete").inc()
            unsaid[index] += 1
        elif what == "tell":
            sums.keep(index, processes[index].families())
            told, unsaid[index] = told + unsaid[index], 0
        else:
            sums.ended(index)
            processes[index], unsaid[index] = Process(), 0
        value = shown(sums).get('ftpsd_transfers_total{result="complete"}', 0.0)
        assert value >= last
        assert value == told
        last = value
