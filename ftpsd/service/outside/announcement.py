"""
The announcement of a server that begins to serve: everything an operator would look up, in one line.
"""

from __future__ import annotations

from ftpsd.config.model import Metrics
from ftpsd.service.building.pairs import Certificates
from ftpsd.service.load import Loaded
from ftpsd.tls.served.validity import out_of_date, utc_now


def announce(loaded: Loaded, listeners: str, metrics_port: int | None) -> str:
    """Return the line of a server with the configuration *loaded* that serves *listeners*, and metrics on that port."""
    config = loaded.config
    parts = (
        f"ftpsd serves {listeners}",
        _certificates(loaded.certificates),
        f"passive ports {config.passive.ports}",
        _users(loaded),
        _metrics(config.metrics, metrics_port),
    )
    return "; ".join(parts)


def _certificates(certificates: Certificates) -> str:
    """Name the certificate, and when several, how many and the day that comes first."""
    main = certificates.main
    if main is None:
        return "no certificate"
    others = {pair.fingerprint: pair for pair in certificates.pairs.values() if pair.fingerprint != main.fingerprint}
    told = f"certificate {', '.join(main.names) or 'without a name'} until {main.not_after:%Y-%m-%d}"
    trouble = out_of_date(main, utc_now())
    told += f" (it {trouble})" if trouble else ""
    if others:
        first = min(pair.not_after for pair in others.values())
        told += f", {_counted(len(others), 'other')} until {first:%Y-%m-%d} or later"
    return told


def _users(loaded: Loaded) -> str:
    told = _counted(len(loaded.known()), "user")
    return f"{told} on {1 + len(loaded.hosts)} hosts" if loaded.hosts else told


def _metrics(metrics: Metrics | None, port: int | None) -> str:
    if metrics is None or port is None:
        return "no metrics"
    address = f"[{metrics.address}]" if ":" in metrics.address else metrics.address
    return f"metrics on {address}:{port}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
