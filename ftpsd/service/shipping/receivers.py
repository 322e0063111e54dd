"""
The shippers of a server: one for each receiver that the configuration names, in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.internet.endpoints import wrapClientTLS

from ftpsd.audit.shipping.tail import Tail
from ftpsd.config.evidence.evidence_files import EvidenceFiles, ShipFiles
from ftpsd.config.evidence.evidence_sections import ShipTarget
from ftpsd.config.model import Config
from ftpsd.durable.store import Store
from ftpsd.outward.connecting import Connector, verifying
from ftpsd.service.shipping.line_out import NotedEndpoint, TCPEnd
from ftpsd.service.shipping.shipper import CONNECT_TIMEOUT, Shipper, Way
from ftpsd.workers import WorkerPool, Workers

# Calls that wait for the pool: one for each receiver, and their ends.
QUEUE: Final = 200


class Receivers:
    """The shippers to all receivers of *config*; *names* looks names up."""

    def __init__(self, config: Config, files: EvidenceFiles, names: Workers, store: Store, reactor: Any) -> None:
        targets, path = config.audit.ship, config.audit.log
        # A pool of their own: compressed files and full disks are slow, and nobody else is to wait for these.
        self._pool = WorkerPool("ship", max(1, min(4, len(targets))), QUEUE, reactor.callFromThread)
        connector = Connector(reactor, names, CONNECT_TIMEOUT)
        self.shippers: Sequence[Shipper] = ()
        self._is_running = False
        if isinstance(path, Path):
            self.shippers = [
                Shipper(
                    target.name,
                    target.format,
                    Tail(path),
                    _line(connector, target, contents),
                    self._pool,
                    store,
                    reactor,
                    is_fin_enough=target.confirm == "fin",
                )
                for target, contents in zip(targets, files.ship, strict=True)
            ]

    def start(self, registry: CollectorRegistry) -> None:
        """Begin to send, and show how far behind each receiver is."""
        if self.shippers:
            self._is_running = True
            registry.register(_Shown(self.shippers))
            self._pool.start()
            for shipper in self.shippers:
                shipper.start()

    def stop(self) -> None:
        """Send nothing more."""
        for shipper in self.shippers:
            shipper.stop()
        if self._is_running:
            self._is_running = False
            self._pool.stop()


def _line(connector: Connector, target: ShipTarget, files: ShipFiles) -> Callable[[], Way]:
    def line() -> Way:
        tls, end = verifying(target.host, files.authority, files.certificate, files.private_key), TCPEnd()
        plain = connector.line(target.host, target.port)
        return Way(wrapClientTLS(tls, NotedEndpoint(plain.endpoint, end)), end, plain.abort)

    return line


class _Shown(Collector):
    def __init__(self, shippers: Sequence[Shipper]) -> None:
        self._shippers = shippers

    def collect(self) -> list[Metric]:
        lag = GaugeMetricFamily(
            "ftpsd_audit_ship_lag_seconds", "Age of the oldest line not confirmed by the receiver.", labels=["target"]
        )
        lines = CounterMetricFamily("ftpsd_audit_ship_lines", "Lines confirmed by the receiver.", labels=["target"])
        failures = CounterMetricFamily(
            "ftpsd_audit_ship_failures", "Connections that confirmed nothing.", labels=["target"]
        )
        for shipper in self._shippers:
            lag.add_metric([shipper.name], shipper.lag)
            lines.add_metric([shipper.name], shipper.confirmed)
            failures.add_metric([shipper.name], shipper.failures)
        return [lag, lines, failures]
