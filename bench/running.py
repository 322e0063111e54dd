"""Running servers: started when first needed, started again after a crash, always stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from bench.client import HOST
from bench.ground import Ground
from bench.measure import BenchError, tree
from bench.packages import Programs
from bench.servers import FIRST_PASSIVE_PORT, PASSIVE_PORTS, SERVERS, Launch, Ports, Server, as_system

# Seconds for a server to answer after its start, and to be gone after SIGTERM (the keeper kills after 4).
STARTING = 15.0
STOPPING = 8.0
KEEPER = Path(__file__).with_name("keeper.py")


class RunningServer:
    """One server on its ports, below a keeper whose process id is the root of its tree; see `keeper.py`."""

    def __init__(self, server: Server, ground: Ground, programs: Programs, place: int | None = None) -> None:
        """
        Set the server up without starting it; *place* chooses its passive ports, by default its place in SERVERS.

        Raises:
            Missing: it cannot run here.
        """
        self.server = server
        self.ground = ground
        place = SERVERS.index(server) if place is None else place
        self.ports = Ports(_free_port(), _free_port(), FIRST_PASSIVE_PORT + place * PASSIVE_PORTS)
        self._launch: Launch = server.set_up(ground, programs, self.ports)
        self._argv = as_system(ground, self._launch.argv) if self._launch.as_system else self._launch.argv
        self._log = ground.directory / f"{server.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self.server.name

    @property
    def port(self) -> int:
        """The control port."""
        return self.ports.control

    @property
    def root(self) -> int:
        """The process id of the keeper."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def ensure(self, *, fresh: bool = False) -> None:
        """
        Have the server run; *fresh* starts it anew.

        Raises:
            BenchError: it does not start.
        """
        if self._process is not None and (fresh or self._process.poll() is not None or not self._answers()):
            self.stop()
        if self._process is None:
            self._start()

    def _start(self) -> None:
        environment = {**os.environ, **self._launch.environment}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(KEEPER), *self._argv],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + STARTING
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return
            time.sleep(0.05)
        self.stop()
        raise BenchError(f"does not start: {self.last_words()}")

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), 2.0) as connection:
                return self.server.protocol != "ftps" or bool(connection.recv(3))
        except OSError:
            return False

    def stop(self) -> None:
        """End the server and everything it started."""
        process, self._process = self._process, None
        if process is None:
            return
        members = tree(process.pid) if process.poll() is None else []
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOPPING)
        except subprocess.TimeoutExpired:
            for member in reversed(members):
                try:
                    os.kill(member, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            process.wait()

    def last_words(self) -> str:
        """Return the last line the server wrote."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "no message"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
