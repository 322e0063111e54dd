"""
The receivers of the audit log, each connected to as the daemon does it: TLS, its certificate, and ours where it asks.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Iterator
from typing import Final

from ftpsd.config.evidence.evidence_files import ShipFiles
from ftpsd.config.evidence.evidence_sections import ShipTarget
from ftpsd.doctor.finding import Finding, ok, problem
from ftpsd.service.load import Loaded

PATIENCE: Final = 10.0


def look_at_receivers(loaded: Loaded) -> Iterator[Finding]:
    """Yield a finding for each receiver of the audit log. Blocks."""
    for target, files in zip(loaded.config.audit.ship, loaded.evidence_files.ship, strict=True):
        place = f"{target.host} port {target.port}"
        try:
            version = _try(target, files)
        except (OSError, ValueError) as error:
            why = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)
            remedy = "see audit.ship, and the receiver; until then the log waits"
            yield problem(f"the audit log does not get to {target.name}, {place}: {why}", remedy)
        else:
            yield ok(f"the receiver {target.name} of the audit log answers at {place}, with {version}")


def _try(target: ShipTarget, files: ShipFiles) -> str:
    context = ssl.create_default_context(cadata=None if files.authority is None else files.authority.decode("ascii"))
    if files.certificate is not None and files.private_key is not None:
        # Python's ssl takes them from a file alone; it is ours, and gone at once.
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(files.certificate + b"\n" + files.private_key)
            pair.flush()
            context.load_cert_chain(pair.name)
    with (
        socket.create_connection((target.host, target.port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=target.host) as connection,
    ):
        return str(connection.version())
