"""
The key exchange: does the TLS library agree on keys that a quantum computer could not find in a recording?

The library is asked by a handshake in memory: a server as the daemon is, and a client with the library's own groups.
"""

from __future__ import annotations

from contextlib import suppress

from OpenSSL import SSL

from ftpsd.config.model import Config
from ftpsd.doctor.finding import Finding, ok
from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.contexts import make_context, select_known
from ftpsd.tls.native import group_name
from ftpsd.tls.resumption import Role, ServerConnection, new_evidence

# The names of hybrid groups, ML-KEM beside a curve, end so or go on with a number.
HYBRID = "MLKEM"


def look_at_key_exchange(config: Config, pair: CertificatePair) -> Finding:
    """Report the group of TLS 1.3 between the daemon's library and a client with the same one."""
    library = SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode("ascii", "replace")
    if config.tls.maximum_version == "1.2":
        return ok("keys are exchanged by elliptic curves alone: post-quantum groups need TLS 1.3 (tls.maximum_version)")
    group = _group_of_1_3(pair)
    if group is None:
        return ok(f"{library} cannot be asked which group keys are exchanged by")
    if HYBRID not in group:
        return ok(f"keys are exchanged by {group}: {library} has no post-quantum group, 3.5 and later have")
    kept = config.tls.minimum_version == "1.2" and config.tls.maximum_version == "auto"
    capped = ", but not with clients that speak TLS 1.2 too, which get that (tls.maximum_version)" if kept else ""
    return ok(f"keys are exchanged by {group}, which is post-quantum, in TLS 1.3 ({library}){capped}")


def _group_of_1_3(pair: CertificatePair) -> str | None:
    ours = SSL.Context(SSL.TLS_CLIENT_METHOD)
    ours.set_min_proto_version(SSL.TLS1_3_VERSION)
    client = SSL.Connection(ours, None)
    client.set_connect_state()
    theirs = make_context(pair, "1.3", bytes(16), select_known)
    server = ServerConnection(theirs, None, Role.CONTROL, new_evidence())
    for speaker, listener in ((client, server), (server, client), (client, server), (server, client)):
        with suppress(SSL.WantReadError):
            speaker.do_handshake()
        with suppress(SSL.WantReadError):
            listener.bio_write(speaker.bio_read(1 << 16))
    return group_name(server) if server.is_complete else None
