"""The known facts of a finished TLS handshake."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TLSFacts:
    """
    The result of a handshake: `TLSv1.3`, `TLS_AES_256_GCM_SHA384`, and whether it resumed a session.

    *group* is that of the key exchange, `X25519MLKEM768`; None where it is not known.
    """

    version: str
    cipher: str
    resumed: bool
    group: str | None = None
