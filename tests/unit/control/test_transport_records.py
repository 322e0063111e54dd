"""The control connection's transport, record by record: those without data, and those that come in parts."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from twisted.internet import main
from twisted.python.failure import Failure

from ftpsd.control.transport import RecordsWithoutData
from ftpsd.tls.native import MOST_WITHOUT_DATA
from ftpsd.tls.session_tls import SessionTLS
from tests.dataclient import identity
from tests.records import RawClient, logging_context
from tests.unit.control.test_transport import Ends


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Both ends of a connection."""
    made = Ends()
    yield made
    if made.protocol.lost is None:
        made.transport.connectionLost(Failure(main.CONNECTION_DONE))
    made.client.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_turn_takes_one_record_without_data(ends: Ends, version: ssl.TLSVersion, tmp_path: Path) -> None:
    """And not all that lie in the socket; after a number of them the connection ends with a reason of its own."""
    sealer = raw_client(ends, version, tmp_path).sealer()
    record = sealer.empty_handed()
    ends.client.sendall(record + b"".join(sealer.empty_handed() for _ in range(200)))
    turns = 0
    while ends.protocol.lost is None:
        turns += ends.reactor.turn(5)
    assert turns == MOST_WITHOUT_DATA + 1
    assert ends.protocol.lost.check(RecordsWithoutData)
    assert ends.protocol.received == b""


def test_a_record_in_many_parts_is_no_flood(ends: Ends, tmp_path: Path) -> None:
    """A byte at a time, as some lines and proxies deliver it; the reactor does not spin meanwhile."""
    client = raw_client(ends, ssl.TLSVersion.TLSv1_3, tmp_path)
    ends.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sealer = client.sealer()
    for _ in range(2):
        for byte in sealer.data(b"NOOP " + b"x" * 200 + b"\r\n"):
            ends.client.sendall(bytes([byte]))
            ends.reactor.settle()  # would never end
    ends.reactor.run_until(lambda: ends.protocol.received.count(b"NOOP") == 2)
    assert ends.protocol.lost is None


def test_half_a_record_and_the_end(ends: Ends, tmp_path: Path) -> None:
    """A client that goes in the middle is noticed."""
    client = raw_client(ends, ssl.TLSVersion.TLSv1_3, tmp_path)
    ends.client.sendall(client.sealer().data(b"NOOP\r\n")[:20])
    ends.reactor.settle()
    ends.client.close()
    ends.reactor.run_until(lambda: ends.protocol.lost is not None)
    assert ends.protocol.lost is not None
    assert ends.protocol.lost.value is main.CONNECTION_LOST


def raw_client(ends: Ends, version: ssl.TLSVersion, folder: Path) -> RawClient:
    """Return a client that has done its handshake and seals its records itself."""
    ends.transport.start_tls(SessionTLS(identity()[0]))
    context = logging_context(identity()[1], version, folder / "keys")
    done: list[RawClient] = []
    ends.client.settimeout(5)
    shaking = Thread(target=lambda: done.append(RawClient(ends.client, context, folder / "keys")))
    shaking.start()
    ends.reactor.run_until(lambda: bool(done) and ends.protocol.handshakes == 1)
    shaking.join()
    return done[0]
