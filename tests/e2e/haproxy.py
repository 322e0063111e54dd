"""
HAProxy in front of a daemon, with the configuration that docs/operations.md shows.

HAProxy has the daemon's own ports on 127.0.0.1, the daemon has them on DAEMON, and HAProxy connects from PROXY. So a
client that connects to 127.0.0.1 talks to the daemon through the proxy.
"""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path
from typing import Any

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import IPV4
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually
from tests.tools import ROOT, require_tool

DAEMON, PROXY = "127.0.0.2", "127.0.0.9"
VERSIONS = {1: "send-proxy", 2: "send-proxy-v2"}


def documented(language: str) -> str:
    """Return the example of docs/operations.md in this language that is about HAProxy."""
    page = (ROOT / "docs" / "operations.md").read_text()
    chapter = page[page.index("## Behind HAProxy") :]
    found = re.search(rf"^```{language}\n(.*?)^```", chapter, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


class ProxiedDaemon(Daemon):
    """A daemon on DAEMON that takes connections from PROXY."""

    def __init__(self, folder: Path, tls: Demonstration, changes: dict[str, Any] | None = None) -> None:
        super().__init__(folder, tls, changes)

    def settings(self) -> dict[str, Any]:
        """Return the configuration."""
        found = super().settings()
        for listener in found["listeners"]:
            listener.update({"address": DAEMON, "proxy_protocol": {"trusted": [PROXY]}})
        found["passive"]["proxy_protocol"] = {"trusted": [PROXY]}
        return found


class HAProxy:
    """The program in front of *daemon*, which speaks *version* of the protocol."""

    def __init__(self, daemon: Daemon, version: int) -> None:
        program = require_tool("haproxy")
        self.daemon = daemon
        file = daemon.folder / "haproxy.cfg"
        file.write_text(self._example(VERSIONS[version]))
        with open(daemon.folder / "haproxy.log", "wb") as said:
            self._process = subprocess.Popen(
                [program, "-db", "-f", str(file)], stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        eventually(lambda: self._is_listening() or self._process.poll() is not None, "HAProxy listens")
        assert self._process.poll() is None, (daemon.folder / "haproxy.log").read_text()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(30)

    def _example(self, option: str) -> str:
        """Return the documented configuration with the addresses and ports of the test."""
        ports = self.daemon.ports
        text = documented("haproxy").replace("send-proxy-v2", option).replace("10.0.0.5", DAEMON)
        text = text.replace(":3000-3050", f":{ports.passive[0]}-{ports.passive[-1]}")
        text = re.sub(r":21\b", f":{ports.explicit}", text)
        text = re.sub(r":990\b", f":{ports.implicit}", text)
        return text.replace("bind :", f"bind {IPV4}:").replace("mode tcp", f"mode tcp\n    source {PROXY}")

    def _is_listening(self) -> bool:
        try:
            socket.create_connection((IPV4, self.daemon.ports.implicit), 5).close()
        except OSError:
            return False
        return True
