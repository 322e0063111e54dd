"""
rsyslog from Debian as a receiver of syslog over TLS; it writes each message it takes, as it came, to a file.
"""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Final, Literal

from ftpsd.demo.authority import Demonstration
from tests.e2e.polling import eventually
from tests.tools import missing, require_tool

Driver = Literal["gtls", "ossl"]
_MODULES: Final = (Path("/usr/lib/x86_64-linux-gnu/rsyslog"), Path("/usr/lib/aarch64-linux-gnu/rsyslog"))


class Rsyslog:
    """A receiver in *folder* with the certificate *tls*; it asks for those of *clients*, where given."""

    def __init__(self, folder: Path, tls: Demonstration, driver: Driver, clients: Path | None = None) -> None:
        self._program = require_tool("rsyslogd")
        if not any((modules / f"lmnsd_{driver}.so").exists() for modules in _MODULES):
            missing(f"rsyslog's driver {driver}")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = 0
        self._tls = tls
        self._driver = driver
        self._authentication = "anon" if clients is None else "x509/certvalid"
        self._authority = clients or tls.authority
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, at the port it had before, and wait until it listens."""
        port_file = self.folder / "port"
        for stale in (port_file, self.folder / "pid"):
            stale.unlink(missing_ok=True)
        config = self.folder / "rsyslog.conf"
        config.write_text(f"""
global(
  workDirectory="{self.folder}"
  maxMessageSize="64k"
  DefaultNetstreamDriver="{self._driver}"
  DefaultNetstreamDriverCAFile="{self._authority}"
  DefaultNetstreamDriverCertFile="{self._tls.certificate}"
  DefaultNetstreamDriverKeyFile="{self._tls.private_key}"
)
template(name="raw" type="string" string="%rawmsg%\\n")
ruleset(name="received") {{ action(type="omfile" file="{self.received}" template="raw") }}
module(
  load="imtcp"
  StreamDriver.Name="{self._driver}"
  StreamDriver.Mode="1"
  StreamDriver.AuthMode="{self._authentication}"
)
input(type="imtcp" address="127.0.0.1" port="{self.port}" ruleset="received" listenPortFileName="{port_file}")
""")
        with open(self.folder / "stderr", "ab") as stderr:
            self._process = subprocess.Popen(
                [self._program, "-n", "-f", str(config), "-i", str(self.folder / "pid")],
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                env={**os.environ, "LC_ALL": "C"},
            )
        if self.port == 0:
            eventually(lambda: port_file.exists() and port_file.read_text().strip(), "a port of the receiver's choice")
            self.port = int(port_file.read_text())
        eventually(self._listens, "a receiver that listens")

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """End it at once, whatever it has not read."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    @property
    def received(self) -> Path:
        """The file of what it has taken."""
        return self.folder / "received"

    def messages(self) -> list[str]:
        """Return the messages it has taken."""
        return self.received.read_text().splitlines() if self.received.exists() else []
