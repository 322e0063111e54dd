"""Whole transfers from the client's side: what a download brings, what an upload is answered."""

from __future__ import annotations

from typing import Any

from tests.reactor import PATIENCE
from tests.sessions import ControlClient, Server, clear_server


def content(size: int) -> bytes:
    return bytes(range(256)) * (size // 256) + bytes(size % 256)


def client_with(*, server: Server | None = None, **files: bytes) -> ControlClient:
    """Return a client among *files*."""
    server = server or clear_server()
    for name, data in files.items():
        server.memory.put(f"/{name}", data)
    return server.logged_in()


def protected(*, sections: dict[str, Any] | None = None, **files: bytes) -> ControlClient:
    """Return a client with PROT P."""
    server = Server(**(sections or {}))
    for name, data in files.items():
        server.memory.put(f"/{name}", data)
    client = server.connect()
    client.start_tls()
    client.log_in()
    client.say("PROT P")
    return client


def download(client: ControlClient, *lines: str) -> tuple[bytes, str]:
    """Return what a download brings, and its replies."""
    data = client.connect_data()
    client.send(*lines)
    read = bytearray()
    data.collect(read, until=lambda: not client.pi.is_busy)
    read += data.read_all()
    return bytes(read), client.replies()


def upload(client: ControlClient, sent: bytes, *lines: str) -> str:
    """Send a file and return the replies."""
    data = client.connect_data()
    client.send(*lines)
    sock = data.socket
    sock.settimeout(PATIENCE)
    for start in range(0, len(sent), 16384):
        data.send(sent[start : start + 16384])
        client.server.reactor.settle()
    data.send_and_close(b"")
    client.server.reactor.run_until(lambda: not client.pi.is_busy)
    data.close()
    return client.replies()


def codes(replies: str) -> list[str]:
    return [line[:3] for line in replies.split("\n")]
