"""PROXY headers: both versions, in pieces of any size, and nothing behind them."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.wire.proxy import (
    MAX_V1,
    MAX_V2_REST,
    V2_FIXED,
    Endpoint,
    Header,
    HeaderReader,
    Own,
    Proxied,
    ProxyHeaderError,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = Proxied(Endpoint("198.51.100.7", 40000), Endpoint("203.0.113.1", 21))
V6 = Proxied(Endpoint("2001:db8::7", 40000), Endpoint("2001:db8::1", 990))


def v1(real: Proxied) -> bytes:
    kind = "TCP6" if ":" in real.source.host else "TCP4"
    source, destination = real.source, real.destination
    return f"PROXY {kind} {source.host} {destination.host} {source.port} {destination.port}\r\n".encode()


def v2(real: Proxied, tlvs: bytes = b"") -> bytes:
    kind, family = (IPv6Address, 0x21) if ":" in real.source.host else (IPv4Address, 0x11)
    rest = kind(real.source.host).packed + kind(real.destination.host).packed
    return raw_v2(0x21, family, rest + struct.pack("!HH", real.source.port, real.destination.port) + tlvs)


def raw_v2(command: int, family: int, rest: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(rest)) + rest


def read(data: bytes) -> tuple[Header | None, int]:
    """Return the header at the beginning of *data*, and its length."""
    reader = HeaderReader()
    length = reader.feed(data)
    return reader.header, length


addresses = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)),
    st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6)).filter(
        lambda pair: not any(isinstance(one, IPv6Address) and one.ipv4_mapped for one in pair)
    ),
)
ports = st.integers(0, 65535)
connections = st.builds(
    lambda pair, source, destination: Proxied(Endpoint(str(pair[0]), source), Endpoint(str(pair[1]), destination)),
    addresses,
    ports,
    ports,
)
headers = st.one_of(
    connections.map(lambda real: (v1(real), real)),
    st.tuples(connections, st.binary(max_size=200)).map(lambda both: (v2(*both), both[0])),
    st.just((b"PROXY UNKNOWN\r\n", Own())),
    st.binary(max_size=200).map(lambda rest: (raw_v2(0x20, 0, rest), Own())),
)


@given(headers, st.binary(max_size=100), st.data())
def test_a_header_in_pieces(header: tuple[bytes, Header], behind: bytes, data: st.DataObject) -> None:
    """Wherever the network cuts, the header is the same, and no byte behind it is taken."""
    text, meant = header
    reader = HeaderReader()
    stream, taken = text + behind, 0
    while reader.header is None:
        assert taken < len(text)
        piece = stream[taken : taken + data.draw(st.integers(1, 60))]
        taken += reader.feed(piece)
    assert (reader.header, taken) == (meant, len(text))


@given(st.binary(max_size=6000))
def test_anything_is_a_header_or_an_error(noise: bytes) -> None:
    """No input makes the reader fail in another way, or keep more than its bound."""
    for beginning in (b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"):
        reader = HeaderReader()
        try:
            taken = reader.feed(beginning + noise)
        except ProxyHeaderError:
            continue
        assert taken <= V2_FIXED + MAX_V2_REST
        assert reader.header is not None or taken == len(beginning + noise)


@pytest.mark.parametrize("real", [V4, V6])
def test_both_versions_say_the_same(real: Proxied) -> None:
    """Addresses and ports of both ends."""
    for header in (v1(real), v2(real)):
        assert read(header + b"USER alice\r\n") == (real, len(header))


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n",
        raw_v2(0x20, 0x00, b""),
        raw_v2(0x20, 0x11, b"x" * 12),
        raw_v2(0x21, 0x00, b"\x04\x00\x01x"),
    ],
)
def test_a_proxys_own_connection(header: bytes) -> None:
    """LOCAL, UNKNOWN and AF_UNSPEC name nobody, whatever stands behind them."""
    assert read(header) == (Own(), len(header))


def test_mapped_addresses_are_ipv4() -> None:
    """Limits, networks and PORT know one spelling of an address."""
    mapped = IPv6Address("::ffff:198.51.100.7").packed
    header = raw_v2(0x21, 0x21, mapped + IPv6Address("::ffff:203.0.113.1").packed + struct.pack("!HH", 40000, 21))
    assert read(header)[0] == V4
    assert read(b"PROXY TCP6 ::ffff:198.51.100.7 ::ffff:203.0.113.1 40000 21\r\n")[0] == V4


def test_the_longest_line_there_can_be() -> None:
    """107 bytes (section 2.1)."""
    line = b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"
    line = line.replace(b"f...f", b":".join([b"ffff"] * 6))
    assert len(line) == MAX_V1
    assert read(line)[0] == Own()
    with pytest.raises(ProxyHeaderError, match="without an end"):
        read(line.replace(b"\r\n", b" \r\n"))


def test_the_longest_version_2() -> None:
    """TLVs up to the bound are skipped, more are refused as soon as the length is known."""
    length = MAX_V2_REST - 12
    assert read(v2(V4, b"x" * length))[0] == V4
    with pytest.raises(ProxyHeaderError, match="4097 bytes"):
        read(v2(V4, b"x" * (length + 1))[:V2_FIXED])


@pytest.mark.parametrize(
    "data",
    [
        b"USER alice\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/1.1\r\n",
        b"PROXY\r\n",
        b"proxy TCP4 198.51.100.7 203.0.113.1 40000 21\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.1 40000\r\n",
        b"PROXY TCP4  198.51.100.7 203.0.113.1 40000 21\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.1 40000 21 \r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.1 40000 21\n\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.1 40000 65536\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.1 40000 021\r\n",
        b"PROXY TCP4 198.51.100.07 203.0.113.1 40000 21\r\n",
        b"PROXY TCP4 198.51.100.300 203.0.113.1 40000 21\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 40000 21\r\n",
        b"PROXY TCP6 198.51.100.7 203.0.113.1 40000 21\r\n",
        b"PROXY TCP6 fe80::1%eth0 2001:db8::1 40000 21\r\n",
        b"PROXY UDP4 198.51.100.7 203.0.113.1 40000 21\r\n",
        b"PROXY UNKNOWNS\r\n",
        b"P" + b"x" * 200,
        SIGNATURE[:-1] + b"X",
        raw_v2(0x11, 0x11, b"x" * 12),
        raw_v2(0x22, 0x11, b"x" * 12),
        raw_v2(0x21, 0x12, b"x" * 12),
        raw_v2(0x21, 0x31, b"x" * 216),
        raw_v2(0x21, 0x11, b"x" * 11),
        raw_v2(0x21, 0x21, b"x" * 35),
    ],
)
def test_what_is_no_header(data: bytes) -> None:
    """Strict: two readers that disagree about a header disagree about who the client is."""
    with pytest.raises(ProxyHeaderError):
        read(data)


def test_an_error_quotes_nothing() -> None:
    """The text goes to the log; what was sent does not."""
    with pytest.raises(ProxyHeaderError) as problem:
        read(b"PROXY TCP4 secret secret 1 2\r\n")
    assert "secret" not in str(problem.value)
