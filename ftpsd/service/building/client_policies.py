"""From a configuration to the rules for certificates of clients, for each host and listener."""

from __future__ import annotations

from ftpsd.config.client_certificates import holding
from ftpsd.service.load import Loaded
from ftpsd.tls.clients.client_policy import ClientPolicy


def client_policies(loaded: Loaded, host: int | None) -> dict[str, ClientPolicy]:
    """Return the rules for a virtual *host*, None for the default one, by the place of a listener; "" for others."""
    places: dict[str, int | None] = {"": None}
    for number, listener in enumerate(loaded.config.listeners):
        if listener.client_certificates is not None:
            places[listener.place] = number
    return {place: _policy(loaded, number, host) for place, number in places.items()}


def _policy(loaded: Loaded, listener: int | None, host: int | None) -> ClientPolicy:
    request, key = holding(loaded.config, listener, host)
    authorities = None if key is None else loaded.certificates.authorities[key]
    return ClientPolicy(asks=request != "never", needs=request == "required", authorities=authorities)
