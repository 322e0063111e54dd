"""Brokers of messages from Debian, each in a folder of its own: nats-server with TLS and a password, RabbitMQ."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.e2e.polling import eventually
from tests.sources.authority import issue
from tests.tools import missing, require_tool

USER, PASSWORD = "ftpsd", "correct horse"


class NATSServer:
    """A nats-server with JetStream, TLS and a password; *is_clear*: without TLS."""

    def __init__(self, folder: Path, *, is_clear: bool = False) -> None:
        self.folder = folder
        folder.mkdir()
        self.identity = issue(folder, "localhost")
        self.password = folder / "password"
        self.password.write_text(PASSWORD + "\n")
        self.password.chmod(0o600)
        tls = (
            ""
            if is_clear
            else (f'tls {{ cert_file: "{self.identity.certificate}", key_file: "{self.identity.private_key}" }}\n')
        )
        (folder / "nats.conf").write_text(
            f'host: "127.0.0.1"\nport: -1\nports_file_dir: "{folder}"\njetstream {{ store_dir: "{folder / "js"}" }}\n'
            f'authorization {{ user: "{USER}", password: "{PASSWORD}" }}\n{tls}'
        )
        self._program = require_tool("nats-server")
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, on the port it had."""
        port = ["--port", str(self.port)] if self.port else []
        for file in self.folder.glob("*.ports"):
            file.unlink()
        with open(self.folder / "log", "ab") as log:
            command = [self._program, "--config", str(self.folder / "nats.conf"), *port]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        # The file is there before what is in it.
        eventually(lambda: [each for each in self.folder.glob("*.ports") if "}" in each.read_text()], "NATS", 30)
        (file,) = self.folder.glob("*.ports")
        self.port = int(json.loads(file.read_text())["nats"][0].rpartition(":")[2])

    def sink(self, **changes: Any) -> dict[str, Any]:
        """Return the sink for ftpsd.yaml."""
        broker = {
            "kind": "nats",
            "servers": [f"localhost:{self.port}"],
            "user": USER,
            "password_file": str(self.password),
            "authority": str(self.identity.authority),
            **changes,
        }
        return {"name": "bus", "broker": broker}

    def ask(self, question: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        """Return the answer of *question*, which gets the JetStream of a client."""
        import ssl

        import nats

        async def asked() -> Any:
            context = ssl.create_default_context(cafile=str(self.identity.authority))
            server = f"tls://localhost:{self.port}"
            client = await nats.connect(server, tls=context, user=USER, password=PASSWORD)
            try:
                return await question(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(asked())

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class RabbitMQ:
    """A RabbitMQ on loopback, which has the user guest."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        script = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
        if not script.exists():
            missing("rabbitmq-server is not installed")
        self.port, distribution, names = free_ports(3)
        (folder / "plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n")
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"ftpsd-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(names),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
        }
        self._environ = environ
        with open(folder / "said", "wb") as said:
            self._process = subprocess.Popen(
                ["/bin/sh", str(script)], env=environ, stdout=said, stderr=said, start_new_session=True
            )
        eventually(self._answers, f"RabbitMQ, see {folder / 'said'}", 120)

    def _answers(self) -> bool:
        with socket.socket() as trial:
            return trial.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, question: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        """Return the answer of *question*, which gets a channel."""
        import aio_pika

        async def asked() -> Any:
            connection = await aio_pika.connect(host="127.0.0.1", port=self.port)
            async with connection:
                return await question(await connection.channel())

        return asyncio.run(asked())

    def stop(self) -> None:
        """End it, and the server of names that it has started."""
        os.killpg(self._process.pid, 9)
        self._process.wait()
        subprocess.run(["epmd", "-kill"], env=self._environ, capture_output=True, check=False)


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    with_ports = [socket.socket() for _ in range(count)]
    try:
        for each in with_ports:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in with_ports]
    finally:
        for each in with_ports:
            each.close()
