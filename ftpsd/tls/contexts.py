"""
The settings of every SSL.Context of ftpsd: versions, suites, and which application protocols it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from OpenSSL import SSL

from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.resumption import Role, ServerConnection, no_application_protocol

VERSIONS: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

# Forward secrecy and authenticated encryption only. AES comes first: server processors have it in hardware.
# vsftpd offers ECDHE-RSA-AES256-GCM-SHA384 alone, so clients of FTPS servers know these.
SUITES_1_2: Final = b":".join(
    [
        b"ECDHE-ECDSA-AES256-GCM-SHA384",
        b"ECDHE-RSA-AES256-GCM-SHA384",
        b"ECDHE-ECDSA-AES128-GCM-SHA256",
        b"ECDHE-RSA-AES128-GCM-SHA256",
        b"ECDHE-ECDSA-CHACHA20-POLY1305",
        b"ECDHE-RSA-CHACHA20-POLY1305",
    ]
)
SUITES_1_3: Final = b"TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"

# Seconds. With OpenSSL's default of 300 s nothing can follow an upload of five minutes (proftpd's FAQ; vsftpd uses
# INT_MAX). Not more than 7 days, the longest of TLS 1.3 (RFC 8446, 4.6.1): Java drops a ticket of TLS 1.2 that would
# last longer, and resumes nothing.
SESSION_TIMEOUT: Final = 7 * 24 * 3600

# SSL_MODE_ENABLE_PARTIAL_WRITE, which pyOpenSSL sets and does not name. Without it SSL_write takes a whole buffer: 15%
# less processor time for bulk downloads.
ENABLE_PARTIAL_WRITE: Final = 0x1

# The protocols a client may offer (RFC 7301; the names are IANA's "ftp" and FileZilla's "ftp-data"), the preferred name
# first.
PROTOCOLS: Final = {Role.CONTROL: (b"ftp",), Role.DATA: (b"ftp-data", b"ftp")}

# Chooses among the protocols that a client offers.
ProtocolChoice = Callable[[SSL.Connection, list[bytes]], Any]


def make_context(
    pair: CertificatePair | None, minimum_version: str, session_id: bytes, choose_protocol: ProtocolChoice
) -> SSL.Context:
    """
    Make a context whose sessions no other context can resume; *session_id* is 16 random bytes of its own.

    Without a *pair* it refuses every full handshake, with the alert handshake_failure.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(VERSIONS[minimum_version])
    context.set_cipher_list(SUITES_1_2)
    context.set_tls13_ciphersuites(SUITES_1_3)
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.clear_mode(ENABLE_PARTIAL_WRITE)
    # Saves 28 of 68 KiB of an idle session and costs bulk transfers nothing that could be measured.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # Tickets are on unless switched off. The cache is for TLS 1.2 clients that know session ids only, and no other
    # sessions enter it, so OpenSSL's default size, which pyOpenSSL cannot change, does no harm.
    context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
    context.set_session_id(session_id)
    context.set_timeout(SESSION_TIMEOUT)
    context.set_alpn_select_callback(choose_protocol)
    if pair is not None:
        pair.install(context)
    return context


def is_ftp(protocols: Sequence[bytes] | None, role: Role) -> bool:
    """Return whether a client that offers *protocols*, None for no list, may be talked to."""
    return protocols is None or any(protocol in protocols for protocol in PROTOCOLS[role])


def select_protocol(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    """
    Choose from the protocols a client offers; a client that offers none is never asked.

    Raises:
        SSL.Error: none of them is FTP. OpenSSL then answers with the alert no_application_protocol (RFC 7301, 3.2): a
            browser or mail client that was lured here must not get as far as reading our replies (ALPACA).
    """
    assert isinstance(connection, ServerConnection)
    for protocol in PROTOCOLS[connection.role]:
        if protocol in offered:
            return protocol
    raise no_application_protocol()


def select_known(connection: SSL.Connection, offered: list[bytes]) -> Any:
    """
    Choose as `select_protocol` does, but never raise; `is_ftp` has checked most clients before.

    It cannot read a hello that comes in two records, and an attacker on the line can cut one up: nothing authenticates
    where records begin. The connection gets the error then, and never becomes complete.
    """
    assert isinstance(connection, ServerConnection)
    for protocol in PROTOCOLS[connection.role]:
        if protocol in offered:
            return protocol
    connection.is_foreign = True
    return SSL.NO_OVERLAPPING_PROTOCOLS
