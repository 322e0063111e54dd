"""Events to brokers: a real NATS server with JetStream over TLS, and a real RabbitMQ."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import EXPLICIT, log_in, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually
from tests.events.brokers import PASSWORD, NATSServer, RabbitMQ


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NATSServer]:
    """A NATS server."""
    server = NATSServer(tmp_path / "nats")
    yield server
    server.stop()


@pytest.fixture
def rabbit(tmp_path: Path) -> Iterator[RabbitMQ]:
    """A RabbitMQ."""
    server = RabbitMQ(tmp_path / "rabbit")
    yield server
    server.stop()


def clients_of(daemon: Daemon) -> list[int]:
    """Return the processes of the daemon's that are clients of brokers."""
    assert daemon.process is not None
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command, status = (path / "cmdline").read_bytes(), (path / "stat").read_text()
        except OSError:
            continue
        if b"ftpsd.brokers" in command and int(status.rpartition(")")[2].split()[1]) == daemon.process.pid:
            assert PASSWORD.encode() not in command + (path / "environ").read_bytes()
            found.append(int(path.name))
    return found


def test_nats(start_daemon: StartDaemon, nats_server: NATSServer, tmp_path: Path) -> None:
    """Stored once each, with the id of the event, over TLS; over the death of the client and of the server."""

    async def made(stream: Any) -> None:
        await stream.add_stream(name="EVENTS", subjects=["ftpsd.>"])

    async def stored(stream: Any) -> list[tuple[str, str, dict[str, Any]]]:
        found = []
        for number in range(1, (await stream.stream_info("EVENTS")).state.messages + 1):
            message = await stream.get_msg("EVENTS", number)
            found.append((message.subject, message.headers["Nats-Msg-Id"], json.loads(message.data)))
        return found

    sink = nats_server.sink()
    daemon = start_daemon({"events": {"sinks": [{**sink, "longest_pause": "1s"}]}})
    ftp = log_in(daemon, EXPLICIT, daemon.account())
    upload(ftp, "a", b"data")
    # Without a stream nobody keeps it, so it is not taken.
    rows = 'ftpsd_event_deliveries_total{result="failed",sink="bus"}'
    eventually(lambda: daemon.metrics().get(rows, 0) >= 3, "attempts", 30)
    assert (
        daemon.wait_for_event("sink-failing", sink="bus")["reason"] == "no stream takes the subject ftpsd.file-stored"
    )
    nats_server.ask(made)
    eventually(lambda: len(nats_server.ask(stored)) == 1, "the event", 30)
    (client,) = clients_of(daemon)
    os.kill(client, signal.SIGKILL)
    upload(ftp, "b", b"data")
    nats_server.stop()
    upload(ftp, "c", b"data")
    nats_server.start()
    eventually(lambda: len(nats_server.ask(stored)) >= 3, "all events", 30)
    found = nats_server.ask(stored)
    assert sorted((subject, event["subject"]) for subject, _, event in found) == [
        ("ftpsd.file-stored", f"/{name}") for name in "abc"
    ]
    assert all(id == event["id"] for _, id, event in found)
    # A server that says it speaks no TLS gets neither the password nor an event.
    clear = NATSServer(tmp_path / "clear", is_clear=True)
    try:
        other = clear.sink(authority=str(nats_server.identity.authority))
        daemon.config_file.write_text(
            json.dumps({**daemon.settings(), "events": {"sinks": [{**other, "name": "clear", "longest_pause": "1s"}]}})
        )
        daemon.reload()
        upload(ftp, "d", b"data")
        failing = daemon.wait_for_event("sink-failing", sink="clear")
        assert "it offers no TLS" in failing["reason"], failing
        assert b"Authorization" not in (clear.folder / "log").read_bytes()
    finally:
        clear.stop()
    ftp.quit()
    assert "Traceback" not in daemon.stderr


def test_rabbitmq(start_daemon: StartDaemon, rabbit: RabbitMQ) -> None:
    """Confirmed by a queue, persistent, with the id; what no queue takes is not taken."""

    async def made(channel: Any) -> None:
        await channel.declare_queue("ftpsd.file-stored", durable=True)

    async def taken(channel: Any) -> list[Any]:
        queue = await channel.get_queue("ftpsd.file-stored")
        found = []
        while (message := await queue.get(fail=False)) is not None:
            await message.ack()
            found.append((message.message_id, message.delivery_mode, message.type, json.loads(message.body)))
        return found

    broker = {"kind": "amqp", "servers": [f"127.0.0.1:{rabbit.port}"], "tls": False}
    daemon = start_daemon({"events": {"sinks": [{"name": "bus", "broker": broker, "longest_pause": "1s"}]}})
    ftp = log_in(daemon, EXPLICIT, daemon.account())
    upload(ftp, "a", b"data")
    failing = daemon.wait_for_event("sink-failing", sink="bus")
    assert failing["reason"] == "no queue takes the routing key ftpsd.file-stored"
    rabbit.ask(made)
    upload(ftp, "b", b"data")
    ftp.quit()
    count = 'ftpsd_event_deliveries_total{result="taken",sink="bus"}'
    eventually(lambda: daemon.metrics().get(count) == 2, "both", 30)
    found = rabbit.ask(taken)
    assert sorted(event["subject"] for _, _, _, event in found) == ["/a", "/b"]
    for id, mode, kind, event in found:
        assert (id, int(mode), kind) == (event["id"], 2, "ftpsd.file-stored")
