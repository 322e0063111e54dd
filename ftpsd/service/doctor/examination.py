"""
The whole examination, in the order in which things go wrong for a client.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ftpsd.service.build import Loaded
from ftpsd.service.doctor.finding import Finding, warning
from ftpsd.service.doctor.identity import look_at_addresses, look_at_certificate
from ftpsd.service.doctor.machine import look_at_machine
from ftpsd.service.doctor.probe import Login, doors, visit


def examine(loaded: Loaded, host: str | None, authority: Path | None, login: Login | None) -> Iterator[Finding]:
    """
    Yield everything that is found about the daemon of *loaded*. Blocks, on DNS and on the daemon itself.

    *host* is what clients call the server, *authority* a file with the certificates they trust, *login* who is to log
    in at each listener.
    """
    config = loaded.config
    for complaint in loaded.warnings:
        yield warning(f"{complaint.key}: {complaint.message}", "")
    if loaded.certificate is not None:
        yield from look_at_certificate(loaded.certificate, host)
    yield from look_at_addresses(config)
    found = doors(config)
    yield from look_at_machine(config, [door.port for door in found])
    for door in found:
        yield from visit(door, loaded.certificate, authority, login)
