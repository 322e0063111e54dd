"""
PROXY protocol: the header in which a TCP proxy says whose connection it passes on (HAProxy, doc/proxy-protocol.txt).

Both versions are understood, for TCP only. A header is a claim of its sender: whether the sender may be believed is
decided where the connection was accepted. Bytes that are not exactly a header are an error; nothing is guessed.
Memory is bounded: MAX_V1 bytes, or V2_FIXED bytes and MAX_V2_REST for addresses and TLVs, which are skipped.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

# Section 2.1: the longest line there can be, with its CR LF.
MAX_V1: Final = 107
# Section 2.2: signature, version and command, family and protocol, length of the rest.
V2_FIXED: Final = 16
# The length field would allow 64 KiB. nginx takes headers up to 4096 bytes, proxies stay below.
MAX_V2_REST: Final = 4096 - V2_FIXED

_V1_SIGNATURE: Final = b"PROXY "
_V2_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V1_TCP: Final = re.compile(rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) ([0-9]{1,5}) ([0-9]{1,5})")
_V1_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: .*)?", re.DOTALL)
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6 = 0x00, 0x11, 0x21
_TCP4_ADDRESSES: Final = struct.Struct("!4s4sHH")
_TCP6_ADDRESSES: Final = struct.Struct("!16s16sHH")


class ProxyHeaderError(ValueError):
    """Bytes that are no header this server takes; the text is for the operator, without any of the bytes."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a connection: *host* in canonical spelling, IPv4 never in its IPv6 mapping; *port* 0 to 65535."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Proxied:
    """The connection that a proxy passes on: from *source*, the client, to *destination*, the address it reached."""

    source: Endpoint
    destination: Endpoint


@dataclass(frozen=True, slots=True)
class Own:
    """A connection of the proxy itself (LOCAL: a health check), or one it knows nothing about (UNKNOWN)."""


Header = Proxied | Own


class HeaderReader:
    """A collector of one header from pieces of any size; *header* is there when it is complete."""

    def __init__(self) -> None:
        self.header: Header | None = None
        self._collected = b""

    def feed(self, data: bytes) -> int:
        """
        Look at the next bytes and return how many of them belong to the header; the others are not kept.

        Raises:
            ProxyHeaderError: this is no header, or none that is taken.
        """
        before = len(self._collected)
        together = self._collected + data
        end = _end_of_header(together)
        self._collected = together[:end]
        if end is not None:
            self.header = _parse(self._collected)
        return len(self._collected) - before


def _end_of_header(data: bytes) -> int | None:
    """Return where the header that *data* begins with ends; None while that cannot be known, or more is needed."""
    if data.startswith(_V2_SIGNATURE[: len(data)]):
        if len(data) < V2_FIXED:
            return None
        rest = int.from_bytes(data[V2_FIXED - 2 : V2_FIXED], "big")
        if rest > MAX_V2_REST:
            raise ProxyHeaderError(f"a version 2 header of {V2_FIXED + rest} bytes is too long")
        return V2_FIXED + rest if len(data) >= V2_FIXED + rest else None
    if not data.startswith(_V1_SIGNATURE[: len(data)]):
        raise ProxyHeaderError("no PROXY header")
    end = data.find(b"\r\n", 0, MAX_V1)
    if end < 0 and len(data) >= MAX_V1:
        raise ProxyHeaderError(f"a version 1 header without an end in {MAX_V1} bytes")
    return end + 2 if end >= 0 else None


def _parse(header: bytes) -> Header:
    return _parse_v2(header) if header.startswith(_V2_SIGNATURE) else _parse_v1(header[:-2])


def _parse_v1(line: bytes) -> Header:
    if _V1_UNKNOWN.fullmatch(line):
        # Section 2.1: everything behind UNKNOWN must be ignored.
        return Own()
    match = _V1_TCP.fullmatch(line)
    if match is None:
        raise ProxyHeaderError("a version 1 header that is not TCP4, TCP6 or UNKNOWN")
    kind = IPv4Address if match[1] == b"TCP4" else IPv6Address
    try:
        source, destination = kind(match[2].decode("ascii")), kind(match[3].decode("ascii"))
    except AddressValueError:
        raise ProxyHeaderError("a version 1 header with an address that is none") from None
    return Proxied(_endpoint(source, _v1_port(match[4])), _endpoint(destination, _v1_port(match[5])))


def _v1_port(digits: bytes) -> int:
    port = int(digits)
    if port > 0xFFFF or str(port).encode() != digits:
        raise ProxyHeaderError("a version 1 header with a port that is none")
    return port


def _parse_v2(header: bytes) -> Header:
    command, family, rest = header[12], header[13], header[V2_FIXED:]
    if command == _LOCAL:
        return Own()
    if command != _PROXY:
        raise ProxyHeaderError("a version 2 header with an unknown version or command")
    if family == _UNSPECIFIED:
        return Own()
    if family not in (_TCP4, _TCP6):
        raise ProxyHeaderError("a version 2 header of a connection that is not TCP over IPv4 or IPv6")
    kind, layout = (IPv4Address, _TCP4_ADDRESSES) if family == _TCP4 else (IPv6Address, _TCP6_ADDRESSES)
    if len(rest) < layout.size:
        raise ProxyHeaderError("a version 2 header that is too short for its addresses")
    source, destination, source_port, destination_port = layout.unpack_from(rest)
    return Proxied(_endpoint(kind(source), source_port), _endpoint(kind(destination), destination_port))


def _endpoint(address: IPv4Address | IPv6Address, port: int) -> Endpoint:
    # HAProxy writes IPv4 clients in their IPv6 mapping when the other address is IPv6.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return Endpoint(str(mapped or address), port)
