"""
Which clients are asked for a certificate: by the server, a listener or a virtual host, and whose authorities count.

`tls.client_certificates` holds where neither the listener nor the virtual host of a session has a section of its own.
Of two sections the stricter request holds. A section without authorities has those of the host, then of the listener,
then of the server; a revocation list goes with the authorities beside it.

The functions look at attributes only, so that this file needs no model: it is read by the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol

from ftpsd.config.parsing.document import Key

Request = Literal["never", "optional", "required"]

STRICTNESS: Final[tuple[Request, ...]] = ("never", "optional", "required")
NAME: Final = "client_certificates"
OF_SERVER: Final[Key] = ("tls", NAME)


class SectionLike(Protocol):
    """A section `client_certificates`."""

    @property
    def request(self) -> Request: ...
    @property
    def authorities(self) -> Path | None: ...
    @property
    def crl(self) -> Path | None: ...


class _Server(Protocol):
    @property
    def client_certificates(self) -> SectionLike: ...


class _Place(Protocol):
    @property
    def client_certificates(self) -> SectionLike | None: ...


class ConfigLike(Protocol):
    """The sections that may ask for certificates."""

    @property
    def tls(self) -> _Server: ...
    @property
    def listeners(self) -> Sequence[_Place]: ...
    @property
    def virtual_hosts(self) -> Sequence[_Place]: ...


def sections(config: ConfigLike) -> dict[Key, SectionLike]:
    """Return every section of *config* by its key."""
    found: dict[Key, SectionLike] = {OF_SERVER: config.tls.client_certificates}
    for name, places in (("listeners", config.listeners), ("virtual_hosts", config.virtual_hosts)):
        for number, place in enumerate(places):
            if place.client_certificates is not None:
                found[name, number, NAME] = place.client_certificates
    return found


def holding(config: ConfigLike, listener: int | None, host: int | None) -> tuple[Request, Key | None]:
    """
    Return what clients of a *listener* and a virtual *host* are asked for, and the section whose authorities count.

    Both are numbers; None for no listener that is configured, and for the default host.
    """
    found = sections(config)
    keys: list[Key] = []
    if host is not None and ("virtual_hosts", host, NAME) in found:
        keys.append(("virtual_hosts", host, NAME))
    if listener is not None and ("listeners", listener, NAME) in found:
        keys.append(("listeners", listener, NAME))
    request = max((found[key].request for key in keys or [OF_SERVER]), key=STRICTNESS.index)
    for key in (*keys, OF_SERVER):
        if found[key].authorities is not None:
            return request, key
    return request, None


def contradictions(config: ConfigLike) -> Iterator[tuple[Key, str]]:
    """Yield a key and a sentence for each section of *config* that cannot be served."""
    found = sections(config)
    for key, section in found.items():
        if section.request == "required" and section.authorities is None and found[OF_SERVER].authorities is None:
            yield (
                (*key, "request"),
                "required asks for certificates of an authority, and none is named; add authorities: FILE beside it",
            )
        if section.crl is not None and section.authorities is None:
            yield (*key, "crl"), "goes together with authorities, which have issued it; add them, or remove this"
