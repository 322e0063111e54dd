"""
Floods of TLS records against control and data connections of the real daemon: it lives on, and serves others.

That a turn of the reactor is bounded shows in a second client, whose commands are answered behind every flood.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.e2e.client import EXPLICIT_1_2, IPV4, TIMEOUT, ControlConnection, control
from tests.e2e.conftest import StartDaemon
from tests.e2e.security.test_records_without_data import begin, log_in
from tests.fuzz.floods import half_handshake, sealed
from tests.fuzz.mutations import cut
from tests.fuzz.seeds import replayable, rounds
from tests.fuzz.test_fuzz_control import Ground
from tests.fuzz.watching import Watch
from tests.records import RawClient, logging_context
from tests.tlsclient import TLS_1_2, TLS_1_3, Client


def pour(chance: Random, sock: socket.socket, data: bytes) -> None:
    """Send *data*, perhaps in pieces, and read nothing; the server may have hung up."""
    sock.settimeout(TIMEOUT)
    with suppress(OSError):
        for piece in cut(chance, data):
            sock.sendall(piece)


def attack(chance: Random, ground: Ground, context: ssl.SSLContext, keys: Path) -> None:
    """Open a control connection, perhaps with a transfer, and flood one of them."""
    plain = ControlConnection(IPV4, ground.daemon.ports.explicit)
    data: socket.socket | None = None
    try:
        assert plain.reply().startswith("220")
        assert plain.ask("AUTH TLS").startswith("234")
        if chance.random() < 0.25:
            pour(chance, plain.sock, half_handshake(chance, Client(context, name=None).take(b"")))
            return
        client = RawClient(plain.sock, context, keys)
        if chance.random() < 0.7:
            log_in(client, ground.account)
            if chance.random() < 0.7:
                command = chance.choice(("STOR new", "RETR big"))
                if chance.random() < 0.3:
                    port = int(client.ask("EPSV").split("|")[3])
                    data = socket.create_connection((IPV4, port), TIMEOUT)
                    assert client.ask(command).startswith("150")
                    pour(chance, data, half_handshake(chance, Client(context, name=None).take(b"")))
                else:
                    carrier = begin(client, command, context, keys)
                    data = carrier.sock
                    pour(chance, data, sealed(chance, carrier.sealer(), b"some of a file"))
                if chance.random() < 0.5:
                    return
        pour(chance, plain.sock, sealed(chance, client.sealer(), b"NOOP\r\n"))
    finally:
        if data is not None:
            data.close()
        plain.close()


@pytest.mark.slow
def test_floods(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """In both versions, before the login and after it, on either connection and in the handshake."""
    ground = Ground(start_daemon, "control-and-data")
    watch = Watch(ground.daemon, ground.canary)
    contexts = []
    for version in (TLS_1_2, TLS_1_3):
        keys = tmp_path / f"keys-{version.name}"
        contexts.append((logging_context(ground.daemon.tls.authority, version, keys), keys))
    other = control(ground.daemon, EXPLICIT_1_2)
    other.log_in(ground.account)
    for number, seed in enumerate(rounds(20)):
        with replayable(seed, "records") as chance:
            context, keys = chance.choice(contexts)
            attack(chance, ground, context, keys)
            assert other.ask("NOOP").startswith("200")
            watch.check()
            if number % 200 == 199:
                ground.furnish()
                for _, kept in contexts:
                    kept.write_text("")
    other.close()
    watch.settle()
