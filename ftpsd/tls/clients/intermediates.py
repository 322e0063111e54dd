"""
Intermediate certificates that clients have sent: OpenSSL's tickets hold a client's own certificate, and not the chain
that it came with, so a resumed control connection has none.
"""

from __future__ import annotations

from typing import Final

from OpenSSL.crypto import X509

# Chains of as many clients are kept, some 4 KiB each.
MOST: Final = 1000


class Intermediates:
    """
    The chains behind certificates, by the fingerprints of these; the most recently used are kept.

    Only chains that an authority vouches for come in, so nobody without a certificate of one can push others out.
    """

    def __init__(self) -> None:
        self._chains: dict[str, tuple[X509, ...]] = {}

    def __len__(self) -> int:
        return len(self._chains)

    def get(self, fingerprint: str) -> tuple[X509, ...]:
        """Return the chain behind the certificate; empty when none is known."""
        return self._chains.get(fingerprint, ())

    def keep(self, fingerprint: str, chain: tuple[X509, ...]) -> None:
        """Keep a *chain* that has been verified."""
        if not chain:
            return
        self._chains.pop(fingerprint, None)
        self._chains[fingerprint] = chain
        if len(self._chains) > MOST:
            del self._chains[next(iter(self._chains))]
