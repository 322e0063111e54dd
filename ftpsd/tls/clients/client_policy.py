"""Whether a client is asked for a certificate, whether it has to have one, and who vouches for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ftpsd.tls.clients.authorities import Authorities


@dataclass(frozen=True, slots=True)
class ClientPolicy:
    """The rules for the certificates of the clients of one host at one listener."""

    asks: bool = False
    needs: bool = False
    authorities: Authorities | None = None


NO_CERTIFICATES: Final = ClientPolicy()
