"""
The engines that look at uploads, as the configuration names them: clamd:///run/clamav/clamd.ctl.

Addresses are literal: an engine is asked in the middle of an upload, where no name is looked up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import PlainValidator, WithJsonSchema

from ftpsd.config.units import describe

EngineKind = Literal["clamd"]

_PORTS: Final[dict[str, int]] = {"clamd": 3310}
# sockaddr_un holds 108 bytes with their end.
_LONGEST_SOCKET: Final = 107


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """An engine: behind the socket file *path*, or at *host* and *port*."""

    kind: EngineKind
    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{self.path or f'{host}:{self.port}'}"


def check_engine(value: object) -> EngineAddress:
    """Accept clamd:// with the path of a socket, or an address and a port."""
    if isinstance(value, EngineAddress):
        return value
    if isinstance(value, str) and value.isascii() and value.isprintable():
        try:
            url = urlsplit(value)
            host, port = url.hostname or "", url.port
        except ValueError:
            pass
        else:
            if url.scheme == "clamd" and not url.netloc and re.fullmatch(r"/[^/].*", url.path):
                if len(url.path) > _LONGEST_SOCKET:
                    raise ValueError(f"{describe(value)} is longer than the name of a socket can be")
                return EngineAddress("clamd", url.path)
            if url.scheme == "clamd" and host and url.path in ("", "/") and port != 0:
                return EngineAddress("clamd", "", _literal(host, value), port or _PORTS["clamd"])
    raise ValueError(f"{describe(value)} is no engine; write clamd:///run/clamav/clamd.ctl or clamd://127.0.0.1:3310")


def _literal(host: str, value: object) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        message = f"{describe(value)} has a name in it; write the address, no name is looked up amid an upload"
        raise ValueError(message) from None


EngineField = Annotated[
    EngineAddress, PlainValidator(check_engine), WithJsonSchema({"type": "string", "pattern": r"^clamd://."})
]
