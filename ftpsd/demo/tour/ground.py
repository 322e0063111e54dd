"""
The ground of the stops of the tour: the running demonstration, its clients, its commands, its log and its metrics.

Whatever is shown was done: a line to type is the one that was run, a line of the log is the one that came of it.
"""

from __future__ import annotations

import http.client
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from ftpsd.demo.demonstration import IPV4, Demo
from ftpsd.demo.tour.errands import Caller, Done, Errand, curl_line, do
from ftpsd.demo.tour.offshoots import PAUSE, Child, Offshoot
from ftpsd.demo.tour.screen import Screen

# The words behind `ftpsd`.
Order = Callable[[Sequence[str]], object]
T = TypeVar("T")

PATIENCE: Final = 60.0


class Failed(Exception):
    """Something that the tour waits for has not come; the sentence says what."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """How a command ended, and what it has printed."""

    code: int | None
    text: str


@dataclass(slots=True)
class Ground:
    """A demonstration that runs, for *password* and the users of the tour; *order* runs a command of `ftpsd`."""

    demo: Demo
    screen: Screen
    order: Order
    password: str = field(repr=False)
    received: Path
    """The events that the webhook of the tour has received, a JSON object a line."""
    has_engine: bool = False
    children: list[Child] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    _mark: int = 0
    _orders: int = 0

    # --- who is there

    @property
    def directory(self) -> Path:
        """The directory of the demonstration."""
        return self.demo.directory

    @property
    def home(self) -> Path:
        """The home of the first user on this machine's disk."""
        return self.directory / "home"

    def named(self, role: str) -> str:
        """Return the name of the tour's user for *role*."""
        return f"{self.demo.user}-{role}"

    def errand(self, **more: Any) -> Errand:
        """Return an errand, of the first user unless another one is named."""
        return Errand(**{"user": self.demo.user, "password": self.password, **more})

    # --- what is done

    def begin_stop(self) -> None:
        """Look for lines of the log from here on."""
        self._mark = self.demo.audit_log.stat().st_size

    def visit(self, *, is_shown: bool = True, **more: Any) -> Done:
        """Do an errand, and show its line and the server's replies; *more* are its fields."""
        errand = self.errand(**more)
        if is_shown:
            self.screen.command(curl_line(self.demo, errand))
        done = do(self.demo, errand)
        if is_shown:
            if done.text:
                self.screen.output(done.text)
            self.screen.replies(done.told)
        return done

    def call(self, **more: Any) -> Caller:
        """Return a session that stays open until `hang_up`."""
        caller = Caller(self.demo, self.errand(**more))
        self.callers.append(caller)
        return caller

    def hang_up(self) -> None:
        """Close all sessions that are open."""
        while self.callers:
            self.callers.pop().close()

    def line(self, *words: str) -> str:
        """Return a line of `ftpsd` for another terminal."""
        return shlex.join([*program(), *words, "--config", str(self.demo.config)])

    def ftpsd(self, *words: str, until: str = "") -> Ordered:
        """
        Run a command of `ftpsd` with the configuration of the demonstration, and show it.

        Where its answer is to hold *until*, it is asked again before that is shown.
        """
        self.screen.command(self.line(*words))

        def look() -> Ordered | None:
            ordered = self._ordered(*words)
            return ordered if until in ordered.text else None

        ordered = self.wait_for(look, f"{until} in what `ftpsd {words[0]}` says")
        self.screen.output(ordered.text)
        return ordered

    def _ordered(self, *words: str) -> Ordered:
        line = [*words, "--config", str(self.demo.config)]
        self._orders += 1
        said = self.directory / f"order-{self._orders}.txt"

        def run() -> int:
            self.order(line)
            return 0

        offshoot = Offshoot(run, said)
        self.children.append(offshoot)
        code = offshoot.wait(PATIENCE)
        self.children.remove(offshoot)
        offshoot.end()
        return Ordered(code, said.read_text(errors="replace"))

    def run(self, *words: str, feed: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Show and run another program."""
        self.screen.command(shlex.join(words))
        return subprocess.run(words, input=feed, capture_output=True, timeout=PATIENCE, check=False)

    # --- what came of it

    def audited(self, event: str, **fields: object) -> Mapping[str, Any]:
        """Wait for the line of the audit log with *event* and *fields* in this stop, and show it."""
        wanted = {"event": event, **fields}

        def find() -> str | None:
            with open(self.demo.audit_log, encoding="utf-8") as file:
                file.seek(self._mark)
                lines = [line for line in file.read().split("\n")[:-1] if f'"{event}"' in line]
            return next((line for line in lines if wanted.items() <= json.loads(line).items()), None)

        line = self.wait_for(find, f"the line {event} of the audit log")
        self.screen.line("audit ", line)
        found: Mapping[str, Any] = json.loads(line)
        return found

    def metrics(self, *beginnings: str) -> list[str]:
        """Return the samples of /metrics that begin so and have counted something, and show them."""
        lines = self.page("/metrics").splitlines()
        found = [line for line in lines if line.startswith(beginnings) and not line.endswith(" 0.0")]
        for line in found:
            self.screen.line("metric", line)
        return found

    def page(self, path: str) -> str:
        """Return a page of the admin endpoint."""
        connection = http.client.HTTPConnection(IPV4, self.demo.metrics_port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except http.client.HTTPException as problem:
            raise Failed(f"{path} of the metrics port cannot be read: {problem}") from None
        finally:
            connection.close()

    def wait_for(self, look: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
        """Return what *look* finds, as soon as it does. Raises: Failed."""
        until = time.monotonic() + seconds
        while not (found := look()):
            if time.monotonic() > until:
                raise Failed(f"it did not come within {seconds:.0f} s: {what}")
            time.sleep(PAUSE)
        return found


def program() -> list[str]:
    """Return the words that a person types for `ftpsd`."""
    if shutil.which("ftpsd") is not None:
        return ["ftpsd"]
    beside = Path(sys.executable).with_name("ftpsd")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "ftpsd"]
