"""Sessions with a transfer under way."""

from __future__ import annotations

from typing import Any

from ftpsd.data.sockets import DataSocket
from tests.dataclient import DataClient
from tests.reactor import tcp_pair
from tests.sessions import ControlClient, clear_server
from tests.workers import QueueingWorkers

BIG = bytes(range(256)) * 4096
OPENING = "150 Opening BINARY mode data connection (1048576 bytes)."


def downloading() -> tuple[QueueingWorkers, ControlClient, DataClient]:
    """Return the pool that has the first quantum of a download, the client and its data connection."""
    transfer = QueueingWorkers()
    server = clear_server(transfer=transfer)
    server.memory.put("/big", BIG)
    client = server.logged_in()
    data = client.connect_data()
    assert client.say("RETR big") == OPENING
    assert transfer.waiting == 1
    return transfer, client, data


def finish(transfer: QueueingWorkers, client: ControlClient, data: DataClient) -> None:
    """Let the download end."""

    def is_over() -> bool:
        transfer.release(1)
        return client.session.transfer is None

    received = bytearray()
    data.collect(received, until=is_over)
    assert bytes(received) + data.read_all() == BIG


def arrive_in_clear(client: ControlClient, reservation: Any) -> DataClient:
    """Let the client connect without a word of TLS."""
    ours, theirs = tcp_pair()
    data = DataClient(client.server.reactor, theirs)
    reservation.arrived(DataSocket(ours, client.server.reactor))
    return data
