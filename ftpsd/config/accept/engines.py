"""
The engines that look at uploads, as the configuration names them: clamd:///run/clamav/clamd.ctl or
icap://127.0.0.1:1344/avscan.

Addresses are literal: an engine is asked in the middle of an upload, where no name is looked up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Final, Literal

from pydantic import PlainValidator, WithJsonSchema

from ftpsd.config.units import describe, split_url

EngineKind = Literal["clamd", "icap"]

_PORTS: Final[dict[str, int]] = {"clamd": 3310, "icap": 1344}
# sockaddr_un holds 108 bytes with their end.
_LONGEST_SOCKET: Final = 107
# The path and query of an ICAP service; the characters of RFC 3986 alone, so that they can stand in a request line.
_SERVICE: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]{1,200}")


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """An engine: behind the socket file *path*, or at *host* and *port*; of ICAP, the *service* there."""

    kind: EngineKind
    path: str = ""
    host: str = ""
    port: int = 0
    service: str = ""

    def __str__(self) -> str:
        return f"{self.kind}://{self.path or self.authority + self.service}"

    @property
    def authority(self) -> str:
        """The host and the port, as they stand in an address."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def check_engine(value: object) -> EngineAddress:
    """Accept clamd:// with the path of a socket, or an address and a port; icap:// with an address and a service."""
    if isinstance(value, EngineAddress):
        return value
    if (parts := split_url(value)) is not None:
        url, host, port = parts
        is_plain = bool(host) and port != 0 and not url.fragment and "@" not in url.netloc
        if url.scheme == "clamd" and not url.netloc and re.fullmatch(r"/[^/].*", url.path):
            if len(url.path) > _LONGEST_SOCKET:
                raise ValueError(f"{describe(value)} is longer than the name of a socket can be")
            return EngineAddress("clamd", url.path)
        if url.scheme == "clamd" and is_plain and url.path in ("", "/") and not url.query:
            return EngineAddress("clamd", "", _literal(host, value), port or _PORTS["clamd"])
        service = url.path + (f"?{url.query}" if url.query else "")
        if url.scheme == "icap" and is_plain and _SERVICE.fullmatch(service):
            return EngineAddress("icap", "", _literal(host, value), port or _PORTS["icap"], service)
    raise ValueError(
        f"{describe(value)} is no engine; write clamd:///run/clamav/clamd.ctl, clamd://127.0.0.1:3310 or "
        "icap://127.0.0.1:1344/avscan"
    )


def _literal(host: str, value: object) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        message = f"{describe(value)} has a name in it; write the address, no name is looked up amid an upload"
        raise ValueError(message) from None


EngineField = Annotated[
    EngineAddress, PlainValidator(check_engine), WithJsonSchema({"type": "string", "pattern": r"^(clamd|icap)://."})
]
