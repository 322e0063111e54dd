"""
The whole examination, in the order in which things go wrong for a client.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from ftpsd.doctor.clocks import look_at_clocks
from ftpsd.doctor.finding import Finding, warning
from ftpsd.doctor.identity import look_at_addresses, look_at_certificate
from ftpsd.doctor.key_exchange import look_at_key_exchange
from ftpsd.doctor.machine import daemons_at, look_at_machine
from ftpsd.doctor.others.engines_asked import look_at_engines
from ftpsd.doctor.others.keys_looked import look_at_keys
from ftpsd.doctor.others.ledger_look import look_at_events
from ftpsd.doctor.others.quarantine_look import look_at_quarantine
from ftpsd.doctor.others.receivers_tried import look_at_receivers
from ftpsd.doctor.others.sources_asked import look_at_sources
from ftpsd.doctor.probe import Login, doors, visit
from ftpsd.doctor.rights import look_at_homes
from ftpsd.service.load import Loaded


def examine(
    loaded: Loaded,
    path: Path,
    host: str | None,
    authority: Path | None,
    login: Login | None,
    sources: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Finding]:
    """
    Yield everything that is found about the daemon of *loaded*, read from *path*. Blocks, on DNS and on the daemon.

    *host* is the name that clients use for the server, *authority* a file with the certificates they trust, *login* the
    user who logs in at each listener, *sources* what `ask_each` has found out.
    """
    config = loaded.config
    found = doors(config)
    ports = [door.port for door in found]
    homes = look_at_homes(loaded, path, daemons_at(ports))
    said = {finding.text for finding in homes}
    for complaint in loaded.warnings:
        text = f"{complaint.key}: {complaint.message}"
        if text not in said:
            yield warning(text, "")
    yield from homes
    if loaded.certificate is not None:
        for pair in loaded.certificate.all:
            yield from look_at_certificate(pair, host)
        yield look_at_key_exchange(config, loaded.certificate)
    yield from look_at_addresses(config)
    yield from look_at_sources(sources)
    yield from look_at_engines(config, loaded.known())
    yield from look_at_quarantine(config, loaded.known())
    yield from look_at_keys(loaded, path, daemons_at(ports))
    yield from look_at_receivers(loaded)
    yield from look_at_machine(config, ports)
    yield from look_at_clocks(config)
    yield from look_at_events(config)
    for door in found:
        yield from visit(door, loaded.certificate, authority, login)
