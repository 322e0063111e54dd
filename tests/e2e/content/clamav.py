"""
A real clamd with one signature, written by hand: nothing is downloaded.

    clamd = ClamAV(folder);  clamd.start();  clamd.pause();  clamd.resume();  clamd.stop()
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.e2e.polling import eventually
from tests.tools import require_tool

# In two parts, so that no scanner of the machine takes this file for it.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
SIGNATURE = "Eicar-Test-Signature"
MIB = 1 << 20


class ClamAV:
    """A clamd with its files in *folder*; *stream* is its StreamMaxLength."""

    def __init__(self, folder: Path, stream: str = "100M") -> None:
        self._program = require_tool("clamd")
        self._folder = folder
        # In a directory of its own: those of tests are too deep for the path of a socket.
        self.socket = Path(tempfile.mkdtemp(prefix="ftpsd-")) / "clamd.sock"
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "db").mkdir(parents=True)
        self.write_signatures(SIGNATURE, EICAR)
        self._config = folder / "clamd.conf"
        self._config.write_text(
            f"LocalSocket {self.socket}\nDatabaseDirectory {folder / 'db'}\nForeground yes\n"
            f"User {pwd.getpwuid(os.geteuid()).pw_name}\n"
            f"StreamMaxLength {stream}\nMaxFileSize 200M\nMaxScanSize 400M\n"
            "AlertEncrypted yes\nAlertExceedsMax yes\nSelfCheck 0\n"
        )

    @property
    def url(self) -> str:
        """Its address in ftpsd.yaml."""
        return f"clamd://{self.socket}"

    def write_signatures(self, name: str, pattern: bytes) -> None:
        """Have it know *pattern* as *name* from its next start on."""
        (self._folder / "db" / "test.ndb").write_text(f"{name}:0:*:{pattern.hex()}\n")

    def start(self) -> None:
        """Start it and wait until it answers."""
        with open(self._folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self._program, "--config-file", str(self._config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        said = self._folder / "log"
        eventually(lambda: self.socket.exists() or self.process is None or self.process.poll(), f"clamd, see {said}")

    def pause(self) -> None:
        """Have it do nothing, as a program that hangs: its socket stays."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, also when it is paused."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        self.socket.unlink(missing_ok=True)
