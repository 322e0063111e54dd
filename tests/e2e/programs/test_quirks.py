"""The commands of programs that are not installed here, played back byte by byte."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from tests.e2e.client import EXPLICIT, EXPLICIT_1_2, IPV4, TIMEOUT, Way, content, control
from tests.e2e.daemon import Account, Daemon


@pytest.fixture(params=[EXPLICIT, EXPLICIT_1_2], ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """In turn both versions of TLS."""
    chosen: Way = request.param
    return chosen


@pytest.mark.parametrize("size", [1000, 100_000, 4_000_000])
def test_an_uploader_that_reads_nothing_after_the_handshake(
    daemon: Daemon, way: Way, account: Account, home: Path, size: int
) -> None:
    """
    lftp 4.9 (issue 666) and curl before 7.74 (issue 6149) send the file and close_notify and close at once.

    A TLS 1.3 ticket that then lies unread in their socket turns their FIN into a RST, and what their kernel had not
    sent yet is lost: on data connections the server must not send a ticket while an upload is under way.
    """
    guest = control(daemon, way)
    guest.log_in(account)
    assert isinstance(guest.sock, ssl.SSLSocket)
    plain = socket.create_connection(guest.passive(), TIMEOUT)
    guest.send("STOR file")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = guest.sock.context.wrap_bio(incoming, outgoing, server_hostname=IPV4, session=guest.sock.session)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            plain.sendall(outgoing.read())
            incoming.write(plain.recv(65536))
    view = memoryview(content(size))
    while view:
        view = view[tls.write(view) :]
    with pytest.raises(ssl.SSLWantReadError):
        tls.unwrap()
    plain.sendall(outgoing.read())
    plain.close()
    assert [guest.reply()[:3] for _ in range(2)] == ["150", "226"]
    assert (home / "file").read_bytes() == content(size)
