"""
The metrics: every number of /metrics, counted from audit events or read from callbacks when Prometheus asks.

No label carries a user, a path, an address or a session, and every label has a bounded set of values (labels.py), so
no client can grow the exposition.

Events arrive on the reactor thread; `audit_write_failed` may be called from any.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar, cast

import twisted
from OpenSSL import SSL
from prometheus_client import CollectorRegistry, Counter, ProcessCollector, disable_created_metrics

from ftpsd.audit import events
from ftpsd.audit.counting import Counters, Gauges, Histograms
from ftpsd.audit.events import Event
from ftpsd.audit.labels import COMMAND, NAME, Children
from ftpsd.audit.topics.accept_events import UploadRefused
from ftpsd.audit.topics.automation import job_events
from ftpsd.audit.topics.automation.expectation_events import OUTCOMES, ExpectationEvent
from ftpsd.audit.topics.encryption_events import FileDamaged
from ftpsd.audit.topics.tree_events import StorageFailed
from ftpsd.audit.watched import Watched
from ftpsd.storage.sealing.damage import Reason
from ftpsd.values.direction import Direction, Result

# Commands answer in a tenth of a millisecond (NOOP) or when their transfer ends (RETR), hours later.
COMMAND_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 300, 3600)
TRANSFER_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    *(60, 120, 300, 900, 1800, 3600, 7200, 28800),
)
# A resumed handshake takes under 1 ms of work; the rest is the way to the client and back. 30 s is the timeout.
HANDSHAKE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# Argon2id takes about 160 ms, a cached verification next to nothing.
AUTH_SECONDS = (0.001, 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 5, 15, 60)
SCAN_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2, 10, 60, 300)
# The kinds of `StorageFailed`.
FAULTS = ("no-space", "io", "damaged", "read-only", "uncounted")
VERDICTS = ("clean", "infected", "encrypted", "over-limit", "unavailable", "program")
LAG_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
# Powers of eight: 512 B to 64 GiB.
TRANSFER_BYTES = tuple(8.0**power for power in range(3, 13))

CODE_CLASSES = tuple(f"{first}xx" for first in range(10))

EventT = TypeVar("EventT", bound=Event)


class Metrics(Watched):
    """
    A counter of events into *registry*; the object itself is the sink to subscribe.

    *version* is ftpsd's own, for `build_info`.
    """

    def __init__(self, registry: CollectorRegistry, version: str = "unknown") -> None:
        # A `_created` line for every child doubles the exposition and adds no information. The library has one switch
        # for the process; no other code in this process exposes metrics.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry
        super().__init__(registry)
        self._counters_of: dict[type[Event], Callable[[Event, float], None]] = {}
        self._audit_events = Children(self._counter("audit_events", "Events for the audit log.", "event"))
        # The library's own, because it is counted from any thread.
        self._audit_failures = Counter(
            "ftpsd_audit_write_failures", "Audit lines lost and events a sink failed on.", registry=registry
        )
        self._add_daemon(version)
        self._add_sessions()
        self._add_commands()
        self._add_tls()
        self._add_data_connections()
        self._add_transfers()
        self._deliveries = Children(
            self._counter("event_deliveries", "Deliveries of events, by what became of them.", "sink", "result"),
            form=NAME,
        )
        self._steps = Children(
            self._counter(
                "workflow_steps", "Steps of workflows, by what became of them.", "workflow", "action", "result"
            ),
            form=NAME,
        )
        self._add_expectations()
        self._add_jobs()
        ProcessCollector(registry=registry)

    def __call__(self, event: Event, seconds: float) -> None:
        """Count *event*, which happened at the Unix time *seconds*."""
        count = self._counters_of.get(type(event))
        if count is not None:
            count(event, seconds)
        if event.logged:
            self._audit_events[event.event].inc()

    # Numbers that are no event

    def bytes_moved(self, direction: Direction, count: int) -> None:
        """Advance the transferred bytes by one quantum's *count*, while the transfer runs."""
        self._transfer_bytes[direction].inc(count)

    def judged(self, verdict: str, seconds: float) -> None:
        """Count the *verdict* of an engine on one file, *seconds* behind its first byte."""
        self._verdicts[verdict].inc()
        self._scan_seconds.observe(seconds)

    def renewed(self, result: str) -> None:
        """Count new certificates that were "taken", or "refused" as unfit."""
        self._renewals[result].inc()

    def observe_lag(self, seconds: float) -> None:
        """Note that a reactor timer came *seconds* late."""
        self._lag.observe(seconds)

    def audit_write_failed(self, count: int) -> None:
        """Count *count* audit lines that were lost; what `AuditBus` and `AuditLog` take as *failed*."""
        self._audit_failures.inc(count)

    def delivered(self, sink: str, result: str) -> None:
        """Count a delivery to *sink*: "taken", "failed" or "given-up"."""
        self._deliveries[sink, result].inc()

    def stepped(self, workflow: str, action: str, result: str) -> None:
        """Count a step of *workflow*: "done" or "failed"."""
        self._steps[workflow, action, result].inc()

    # The families

    def _add_daemon(self, version: str) -> None:
        build = self._gauge("build_info", "What is running; always 1.", "version", "python", "twisted", "openssl")
        openssl = SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode("ascii", "replace").split()
        build.labels(version, platform.python_version(), twisted.__version__, " ".join(openssl[:2])).set(1)
        good = self._gauge(
            "config_last_reload_successful", "1 when the last configuration read was taken, else 0."
        ).labels()
        when = self._gauge(
            "config_last_reload_success_timestamp_seconds", "When a configuration was last taken."
        ).labels()
        lag = self._histogram("reactor_lag_seconds", "How late the reactor runs its timers.", LAG_SECONDS)
        self._lag = lag.labels()

        def taken(_event: Event, seconds: float) -> None:
            good.set(1)
            when.set(seconds)

        self._on(events.Started, taken)
        self._on(events.Reloaded, taken)
        self._on(events.ReloadFailed, lambda _event, _seconds: good.set(0))

    def _add_jobs(self) -> None:
        runs = Children(self._counter("job_runs", "Runs of jobs that have ended.", "job", "result"), form=NAME)
        files = Children(self._counter("job_files", "Files that jobs have moved.", "job"), form=NAME)
        moved = Children(self._counter("job_bytes", "Bytes of these files.", "job"), form=NAME)

        def ended(event: job_events.JobEnded, _seconds: float) -> None:
            runs[event.job, event.result].inc()
            files[event.job].inc(event.files)
            moved[event.job].inc(event.bytes)

        self._on(job_events.JobEnded, ended)

    def _add_sessions(self) -> None:
        connections = Children(
            self._counter("connections", "Control connections, accepted or rejected.", "listener", "result"), form=NAME
        )
        rejects = Children(self._counter("connection_rejects", "Control connections turned away.", "reason"))
        attempts = Children(self._counter("auth_attempts", "Logins tried.", "method", "result"))
        refusals = Children(self._counter("login_refusals", "Logins refused, by reason.", "reason"))
        durations = Children(
            self._histogram("auth_duration_seconds", "Time to decide on a login.", AUTH_SECONDS, "method")
        )

        def rejected(event: events.ConnectionRejected, _seconds: float) -> None:
            connections[event.who.listener, "rejected"].inc()
            rejects[event.reason].inc()

        def logged_in(event: events.LoggedIn, _seconds: float) -> None:
            attempts[event.method, "accepted"].inc()
            durations[event.method].observe(event.seconds)

        def login_refused(event: events.LoginRefused, _seconds: float) -> None:
            attempts[event.method, "refused"].inc()
            refusals[event.reason].inc()
            durations[event.method].observe(event.seconds)

        self._on(events.SessionOpened, lambda event, _seconds: connections[event.who.listener, "accepted"].inc())
        self._on(events.SessionClosed, lambda event, _seconds: self._transfer_over(event))
        self._on(events.ConnectionRejected, rejected)
        self._on(events.ConnectionRejectedAgain, rejected)
        self._on(events.LoggedIn, logged_in)
        self._on(events.LoginRefused, login_refused)

    def _add_commands(self) -> None:
        commands = Children(
            self._counter("commands", "Commands answered, by class of reply.", "command", "code_class"), form=COMMAND
        )
        durations = Children(
            self._histogram("command_duration_seconds", "From command to last reply.", COMMAND_SECONDS, "command"),
            form=COMMAND,
        )

        def done(event: events.CommandDone, _seconds: float) -> None:
            commands[event.command, CODE_CLASSES[event.code // 100]].inc()
            durations[event.command].observe(event.seconds)

        self._on(events.CommandDone, done)
        self._on(events.CommandCounted, done)

    def _add_tls(self) -> None:
        handshakes = Children(
            self._counter("tls_handshakes", "TLS handshakes.", "channel", "result", "version", "resumed"), form=NAME
        )
        durations = Children(
            self._histogram("tls_handshake_duration_seconds", "Time of good handshakes.", HANDSHAKE_SECONDS, "channel")
        )

        def established(event: events.TLSEstablished, _seconds: float) -> None:
            handshakes[event.channel, "established", event.version, "true" if event.resumed else "false"].inc()
            durations[event.channel].observe(event.seconds)

        self._on(events.TLSEstablished, established)
        self._on(
            events.TLSFailed, lambda event, _seconds: handshakes[event.channel, "failed", "unknown", "false"].inc()
        )

    def _add_data_connections(self) -> None:
        connections = Children(self._counter("data_connections", "Data connections.", "mode", "result"))
        refusals = Children(self._counter("data_connection_refusals", "Data connections refused.", "reason"))
        exhausted = self._counter("passive_exhausted", "Passive ports asked for when none was free.").labels()
        for mode in ("passive", "active"):
            for result in ("opened", "refused"):
                connections[mode, result].inc(0)

        def refused(event: events.DataConnectionRefused, _seconds: float) -> None:
            connections[event.mode, "refused"].inc()
            refusals[event.reason].inc()

        self._on(events.DataConnectionOpened, lambda event, _seconds: connections[event.mode, "opened"].inc())
        self._on(events.DataConnectionRefused, refused)
        self._on(events.PassiveExhausted, lambda _event, _seconds: exhausted.inc())

    def _add_transfers(self) -> None:
        # One transfer at a time per session: whatever ends it, or the end of the session, ends exactly what
        # TransferStarted began.
        self._running: dict[str, Direction] = {}
        self._in_progress = Children(self._gauge("transfers_in_progress", "Transfers running now.", "direction"))
        self._transfer_bytes = Children(self._counter("transfer_bytes", "Bytes moved by transfers.", "direction"))
        self._transfers = Children(self._counter("transfers", "Transfers that ended.", "direction", "result"))
        self._transfer_seconds = Children(
            self._histogram("transfer_duration_seconds", "Time of complete transfers.", TRANSFER_SECONDS, "direction")
        )
        self._transfer_sizes = Children(
            self._histogram("transfer_size_bytes", "Bytes moved by a complete transfer.", TRANSFER_BYTES, "direction")
        )
        # A series that begins at its first failure hides that failure from rate(): begin all of them at zero.
        for direction in Direction:
            self._in_progress[direction].set(0)
            self._transfer_bytes[direction].inc(0)
            for result in Result:
                self._transfers[direction, result].inc(0)
        damaged = Children(self._counter("damaged_files", "Encrypted files that could not be opened.", "reason"))
        for reason in Reason:
            damaged[reason].inc(0)
        self._verdicts = Children(self._counter("scan_verdicts", "Verdicts of engines on uploads.", "verdict"))
        to_verdict = self._histogram("scan_duration_seconds", "From a first byte to the verdict.", SCAN_SECONDS)
        self._scan_seconds = to_verdict.labels()
        refusals = Children(self._counter("upload_refusals", "Uploads that the gate did not take.", "verdict"))
        for verdict in VERDICTS:
            self._verdicts[verdict].inc(0)
            refusals[verdict].inc(0)
        storage_errors = Children(self._counter("storage_errors", "Failures of the storage.", "operation"))
        storage_faults = Children(self._counter("storage_faults", "Failures of the storage, by kind.", "kind"))
        for kind in FAULTS:
            storage_faults[kind].inc(0)
        self._renewals = Children(self._counter("renewals", "New certificates, by what became of them.", "result"))
        for outcome in ("taken", "refused"):
            self._renewals[outcome].inc(0)

        def storage_failed(event: StorageFailed, _seconds: float) -> None:
            storage_errors[event.operation].inc()
            storage_faults[event.kind].inc()

        self._on(events.TransferStarted, self._transfer_began)
        self._on(events.FileSent, lambda event, _seconds: self._transferred(Direction.DOWNLOAD, event))
        self._on(events.FileStored, lambda event, _seconds: self._transferred(Direction.UPLOAD, event))
        self._on(events.DirectoryListed, lambda event, _seconds: self._transferred(Direction.LISTING, event))
        self._on(FileDamaged, lambda event, _seconds: damaged[event.reason].inc())
        self._on(UploadRefused, lambda event, _seconds: refusals[event.verdict].inc())
        self._on(StorageFailed, storage_failed)

    def expects(self, expectations: Iterable[str]) -> None:
        """Begin to count the outcomes of each of *expectations*: rate() does not see a series that begins at one."""
        for expectation in expectations:
            for outcome in OUTCOMES:
                self._outcomes[expectation, outcome].inc(0)

    def _add_expectations(self) -> None:
        told = self._outcomes = Children(
            self._counter("expectation_outcomes", "Outcomes of expectations.", "expectation", "outcome"), form=NAME
        )

        def count(event: ExpectationEvent, _seconds: float) -> None:
            told[event.expectation, event.event.removeprefix("expectation-")].inc()

        for kind in OUTCOMES.values():
            self._on(kind, count)

    def _transfer_began(self, event: events.TransferStarted, _seconds: float) -> None:
        self._transfer_over(event)
        self._running[event.who.session] = event.direction
        self._in_progress[event.direction].inc()

    def _transferred(
        self, direction: Direction, event: events.FileSent | events.FileStored | events.DirectoryListed
    ) -> None:
        self._transfer_over(event)
        self._transfers[direction, event.result].inc()
        if event.result is Result.COMPLETE:
            self._transfer_seconds[direction].observe(event.seconds)
            self._transfer_sizes[direction].observe(event.bytes)

    def _transfer_over(self, event: Event) -> None:
        direction = self._running.pop(event.who.session, None)
        if direction is not None:
            self._in_progress[direction].dec()

    # Registering

    def _on(self, kind: type[EventT], count: Callable[[EventT, float], None]) -> None:
        # Found again by exactly this type; a check on every event would cost as much as counting it.
        self._counters_of[kind] = cast(Callable[[Event, float], None], count)

    def _counter(self, name: str, explanation: str, *labels: str) -> Counters:
        return Counters(f"ftpsd_{name}", explanation, labels, self._registry)

    def _gauge(self, name: str, explanation: str, *labels: str) -> Gauges:
        return Gauges(f"ftpsd_{name}", explanation, labels, self._registry)

    def _histogram(self, name: str, explanation: str, bounds: Sequence[float], *labels: str) -> Histograms:
        return Histograms(f"ftpsd_{name}", explanation, labels, self._registry, bounds=bounds)
