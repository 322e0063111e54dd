"""ClientHello: the versions a client offers, and nothing from what is no hello."""

from __future__ import annotations

import ssl
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.wire.clienthello import (
    MOST_RECORDS,
    NOTHING,
    RECORD,
    TLS_1_2,
    TLS_1_3,
    ClientHello,
    client_hello,
    read_hello,
)


def hello(least: ssl.TLSVersion, most: ssl.TLSVersion) -> bytes:
    """Return what OpenSSL's client says first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version, context.maximum_version = least, most
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="ftp.example.com")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize(
    ("least", "most", "offered"),
    [(V1_2, V1_2, {TLS_1_2}), (V1_3, V1_3, {TLS_1_3}), (V1_2, V1_3, {TLS_1_2, TLS_1_3})],
)
def test_a_client_is_understood(least: ssl.TLSVersion, most: ssl.TLSVersion, offered: set[int]) -> None:
    """With and without the extension that TLS 1.3 brought."""
    assert client_hello(hello(least, most)).versions == offered


def cut(whole: bytes, size: int) -> bytes:
    """Return the hello *whole*, one record, in records of *size* bytes."""
    message = whole[5:]
    parts = (message[at : at + size] for at in range(0, len(message), size))
    return b"".join(whole[:3] + len(part).to_bytes(2, "big") + part for part in parts)


def test_the_record_tells_its_length() -> None:
    """So a reader that has its first five bytes knows how many to wait for."""
    whole = hello(V1_2, V1_3)
    assert read_hello(whole[:5]) == len(whole)


def test_a_hello_in_several_records() -> None:
    """It says the same, and every part of it tells how much to wait for; in more than 32 records it is refused."""
    whole = hello(V1_2, V1_3)
    message = len(whole) - 5
    for records in (2, 3, MOST_RECORDS):
        parts = cut(whole, -(-message // records))
        assert replace(client_hello(parts), records=whole) == client_hello(whole)
        assert client_hello(parts).records == parts
        for end in range(1, len(parts)):
            wanted = read_hello(parts[:end])
            assert isinstance(wanted, int)
            assert end < wanted <= len(parts)
    for size in (1, 3, 4, (message - 1) // MOST_RECORDS):
        assert client_hello(cut(whole, size)).is_refused


def test_a_hello_of_more_than_a_record() -> None:
    """A client whose hello has 16 KiB says more than any needs; what is not a hello is left to OpenSSL."""
    long = b"\x01" + (RECORD - 3).to_bytes(3, "big")
    record = b"\x16\x03\x01" + RECORD.to_bytes(2, "big") + long + bytes(RECORD - 4)
    assert client_hello(record).is_refused
    assert client_hello(b"\x16\x03\x01\x00\x01\x02" * 40) == NOTHING
    assert client_hello(b"\x16\x03\x01\x00\x00" * 40) == NOTHING
    assert client_hello(cut(hello(V1_2, V1_3), 100)[:-1] + b"\x15") != NOTHING


def test_a_part_offers_nothing() -> None:
    """However much of it is there."""
    whole = hello(V1_2, V1_3)
    assert {client_hello(whole[:end]) for end in range(len(whole))} == {NOTHING}


def test_the_first_ticket_of_tls_1_3_is_found() -> None:
    """One is appended as OpenSSL writes it; lengths that lead outside make it no hello."""
    whole = hello(V1_3, V1_3)
    assert client_hello(whole).identity == b""
    ticket, age, binder = b"name of the key!" + b"t" * 100, bytes(4), b"\x20" + bytes(32)
    identities, binders = len(ticket).to_bytes(2) + ticket + age, len(binder).to_bytes(2) + binder
    extension = len(identities).to_bytes(2) + identities + binders
    assert client_hello(extended(whole, 41, extension)).identity == ticket
    assert client_hello(extended(whole, 41, b"\xff\xff\xff\xff")) == NOTHING


def extended(whole: bytes, kind: int, extension: bytes) -> bytes:
    """Return the hello in the record *whole* with one more extension."""
    body = whole[9:]
    at = 2 + 32
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at : at + 2])
    at += 1 + body[at]
    extensions = body[at + 2 :] + kind.to_bytes(2) + len(extension).to_bytes(2) + extension
    body = body[:at] + len(extensions).to_bytes(2) + extensions
    return whole[:3] + (len(body) + 4).to_bytes(2) + b"\x01" + len(body).to_bytes(3) + body


@pytest.mark.parametrize("text", [b"", b"USER alice\r\n", b"\x16\x03\x01", b"\x16\x03\x01\x00\x00", b"\x80\x2e"])
def test_what_is_no_hello_offers_nothing(text: bytes) -> None:
    """Commands in clear, and records without anything in them."""
    assert client_hello(text) == NOTHING


@given(st.data())
def test_a_damaged_hello_does_no_harm(data: st.DataObject) -> None:
    """A ClientHello comes back, whatever bytes are changed."""
    whole = bytearray(hello(V1_2, V1_3))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(client_hello(bytes(whole)), ClientHello)
