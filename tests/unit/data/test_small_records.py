"""
Many small records: right behind the handshake they are a client's file or its commands, inside of it an attack.

A client that writes line by line sends one record for each, and does not wait: they arrive together with the end of its
handshake when the server is busy.
"""

from __future__ import annotations

import socket
import struct
from itertools import product
from typing import Any

import pytest
from OpenSSL import SSL

from ftpsd.data.carry.quantum import Receiving
from ftpsd.data.carry.uplink import BITE, Uplink
from ftpsd.tls.record_look import refuse_crumbs
from ftpsd.tls.session_tls import SessionTLS
from tests.dataclient import close_notify, identity
from tests.reactor import tcp_pair
from tests.tlsclient import TLS_1_3, VERSIONS, Client, client_context
from tests.unit.control.test_transport import Ends
from tests.unit.data.channels import ListSink
from tests.unit.data.line import STALL, Ending, Line

LINES = [b"line %d\r\n" % number for number in range(200)]


def asking(is_asked: bool) -> SessionTLS:
    """Return the TLS of a session whose client is asked for its certificate, or not."""
    return SessionTLS(identity()[0], asks=lambda _: is_asked)


def shake_and_write(sock: socket.socket, tls: Client, turn: Any, *, ends: bool) -> None:
    """Send the end of the handshake, `LINES` in a record each and, if it *ends* there, close_notify in one go."""
    sock.sendall(tls.take(b""))
    last = b""
    while not tls.is_shaken:
        turn(0.01)
        try:
            last = tls.take(sock.recv(65536))
        except BlockingIOError:
            continue
        if not tls.is_shaken:
            sock.sendall(last)
    sock.sendall(last + b"".join(map(tls.write, LINES)) + (close_notify(tls) if ends else b""))


def test_an_upload() -> None:
    """It is stored, in both versions, also where the client is asked for a certificate."""
    for version, is_asked in product(VERSIONS, (False, True)):
        line = Line()
        secured = Ending(line.connection.secure(asking(is_asked), STALL, for_upload=True))
        client = Client(client_context(identity()[1], version))
        shake_and_write(line.client.socket, client, line.reactor.turn, ends=True)
        wait_for(line, secured)
        assert secured.is_good, (version, is_asked, secured.error)
        sink = ListSink()
        carried = line.carry(Receiving(sink))  # type: ignore[arg-type]
        wait_for(line, carried)
        assert carried.is_good, (version, is_asked, carried.error)
        assert bytes(sink.data) == b"".join(LINES)


def test_commands() -> None:
    """They are read, in both versions."""
    for version in VERSIONS:
        ends = Ends()
        ends.transport.start_tls(asking(False))
        ends.client.setblocking(False)
        client = Client(client_context(identity()[1], version))
        shake_and_write(ends.client, client, ends.reactor.turn, ends=False)
        wait_for_commands(ends)
        assert ends.protocol.received == b"".join(LINES)


def wait_for(line: Line, ending: Ending) -> None:
    """Let the reactor turn until *ending* is over."""
    line.run_until(lambda: ending.is_over)


def wait_for_commands(ends: Ends) -> None:
    """Let the reactor turn until as much has come as `LINES` are."""
    ends.reactor.run_until(lambda: len(ends.protocol.received) >= len(b"".join(LINES)))


def in_records(message: bytes, kind: int) -> bytes:
    """Return *message* in records of one byte of type *kind* (RFC 8446, 5.1)."""
    return b"".join(struct.pack("!BHHB", kind, 0x0303, 1, byte) for byte in message)


def test_crumbs_of_a_handshake() -> None:
    """Those in clear are refused, and encrypted ones of a client that may send a certificate."""
    for kind, is_asked, is_refused in ((22, False, True), (22, True, True), (23, True, True), (23, False, False)):
        ours, theirs = tcp_pair()
        with ours, theirs:
            theirs.sendall(in_records(bytes(500), kind))
            tls = asking(is_asked).control_connection(ours)
            if is_refused:
                with pytest.raises(SSL.Error, match="too many records"):
                    refuse_crumbs(ours, tls)
            else:
                refuse_crumbs(ours, tls)


def test_an_upload_in_the_middle_of_its_handshake() -> None:
    """One turn reads a bounded number of bytes, however many have come."""
    ours, theirs = tcp_pair()
    with ours, theirs:
        ours.setblocking(False)
        tls = asking(False).data_connection(None)
        uplink = Uplink(ours, tls)
        hello = Client(client_context(identity()[1], TLS_1_3)).take(b"")
        # It says that it is longer than it is, so OpenSSL takes in all that follows.
        longer = hello[5:6] + (100_000).to_bytes(3, "big") + hello[9:] + bytes(20_000)
        theirs.sendall(in_records(longer, 22))
        read = 0
        for _ in range(3):
            before = waiting(ours)
            with pytest.raises(SSL.Error):
                uplink.shake_hands()
            read += before - waiting(ours)
        assert 0 < read <= 3 * BITE


def waiting(sock: socket.socket) -> int:
    """Return how many bytes have come on *sock* and wait there."""
    return len(sock.recv(1 << 20, socket.MSG_PEEK))
