"""
Gauges that are read from their owners when Prometheus asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry

from ftpsd.audit.labels import Readings

# The answer of an owner that is asked for a gauge: a number for each label value.
Reading = Callable[[], Mapping[str, float]]


class Watched:
    """The gauges in *registry*; each is there as soon as it has a reader."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._readings = Readings(registry)

    def watch_sessions(self, read: Callable[[], tuple[Mapping[str, float], ...]]) -> None:
        """
        Read the open sessions from *read*, which looks at all of them once.

        By state ("login", "idle", "transfer"), by the TLS of their control connection, by virtual host ("default").
        """
        self._readings.watch_together(
            (
                ("ftpsd_sessions", "Open sessions.", "state"),
                ("ftpsd_sessions_by_tls", "Open sessions by version of TLS.", "version"),
                ("ftpsd_sessions_by_host", "Open sessions by virtual host.", "host"),
            ),
            read,
        )

    def watch_sessions_before(self, read: Callable[[], int]) -> None:
        """Read how many sessions processes from before an upgrade still have from *read*."""
        name = "ftpsd_sessions_before_upgrade"
        self._readings.watch(name, "Sessions of processes from before an upgrade.", None, lambda: {"": read()})

    def watch_passive_ports(self, read: Reading) -> None:
        """Read the passive ports by state ("free", "reserved", "connected") from *read*."""
        self._readings.watch("ftpsd_passive_ports", "Ports of the passive range.", "state", read)

    def watch_worker_queues(self, read: Reading) -> None:
        """Read how many calls wait in each worker pool from *read*."""
        self._readings.watch("ftpsd_worker_queue_length", "Calls waiting for a worker.", "pool", read)

    def watch_bans(self, read: Callable[[], int]) -> None:
        """Read how many addresses, networks and users at an address are banned from *read*."""
        self._readings.watch("ftpsd_bans", "Bans of now.", None, lambda: {"": read()})

    def watch_state(self, read: Reading) -> None:
        """Read whether the state file can be used ("usable", "broken") from *read*."""
        self._readings.watch("ftpsd_state_file", "Processes by whether they can use the state file.", "state", read)

    def watch_events(self, lengths: Reading, ages: Reading, dead: Reading) -> None:
        """Read how many events each sink has not taken, how old the oldest is in seconds, how many were given up."""
        watch = self._readings.watch
        watch("ftpsd_event_queue_length", "Events that a sink has not taken.", "sink", lengths)
        watch("ftpsd_event_queue_age_seconds", "Age of the oldest event that a sink has not taken.", "sink", ages)
        watch("ftpsd_event_dead_letters", "Events that were given up for a sink.", "sink", dead)

    def watch_expectations(self, read: Reading) -> None:
        """Read how many windows of expectations are in which state ("waiting", "invalid", "missing") from *read*."""
        self._readings.watch("ftpsd_expectations", "Windows in which files are to come.", "state", read)

    def watch_jobs(self, running: Reading, successes: Reading) -> None:
        """Read whether each job runs, and when it has last ended well as Unix time."""
        self._readings.watch("ftpsd_job_running", "1 while the job runs.", "job", running)
        name = "ftpsd_job_last_success_timestamp_seconds"
        self._readings.watch(name, "When the job has last ended well.", "job", successes)

    def watch_certificates(self, read: Reading) -> None:
        """Read when each certificate, by its configured name (never its path), expires as Unix time from *read*."""
        name = "ftpsd_tls_certificate_not_after_timestamp_seconds"
        self._readings.watch(name, "When the certificate expires.", "name", read)

    def watch_certificates_in_date(self, read: Reading) -> None:
        """Read whether each certificate is within its dates from *read*; names as for `watch_certificates`."""
        self._readings.watch("ftpsd_tls_certificate_in_date", "1 from its first day to its last.", "name", read)

    def watch_pgp_keys(self, read: Reading) -> None:
        """Read for how many days each OpenPGP key of the configuration can still be used from *read*."""
        name = "ftpsd_pgp_key_days_to_expiry"
        self._readings.watch(name, "Days until the OpenPGP key of a rule cannot be used; +Inf: for ever.", "key", read)

    def watch_holds(self, read: Callable[[], int]) -> None:
        """Read how many legal holds there are from *read*."""
        self._readings.watch("ftpsd_legal_holds", "Legal holds in force.", None, lambda: {"": read()})

    def watch_quarantine(self, files: Reading, size: Reading, most: Callable[[], float]) -> None:
        """Read from *files* and *size* what is in the quarantine, and what waits hidden, by *place*; *most* fits in."""
        watch, held = self._readings.watch, "Files that are refused, or wait for their verdict"
        watch("ftpsd_quarantine_files", f"{held}.", "place", files)
        watch("ftpsd_quarantine_bytes", f"{held}: bytes.", "place", size)
        watch("ftpsd_quarantine_limit_bytes", "Bytes that fit into each place.", None, lambda: {"": most()})

    def watch_data_keys(self, read: Reading) -> None:
        """Read how many keys of encrypted directories there are ("present", "lost") from *read*."""
        self._readings.watch("ftpsd_data_keys", "Keys of encrypted directories.", "state", read)

    def watch_limits(self, read: Reading) -> None:
        """Read the limits of the configuration, by name, from *read*: what `ftpsd_sessions` and others may reach."""
        self._readings.watch("ftpsd_limit", "Limits of the configuration.", "limit", read)

    def watch_room(self, read: Reading) -> None:
        """Read the free bytes of the file systems with homes, by device number ("254:1"), from *read*."""
        name = "ftpsd_homes_free_bytes"
        self._readings.watch(name, "Free bytes of the file systems that homes are on.", "filesystem", read)
