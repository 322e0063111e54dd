"""
A real c-icap with its virus_scan, which asks a clamd.

    icap = CIcap(folder, clamd);  icap.start();  icap.pause();  icap.resume();  icap.stop()
"""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.e2e.content.clamav import ClamAV
from tests.e2e.polling import eventually
from tests.e2e.ports import claim_block
from tests.tools import missing, require_tool

MODULES = Path("/usr/lib/x86_64-linux-gnu/c_icap")


class CIcap:
    """A c-icap with its files in *folder*, which passes what it is shown on to *clamd*; *most* is its MaxObjectSize."""

    def __init__(self, folder: Path, clamd: ClamAV, most: str = "200M", preview: int = 1024) -> None:
        self._program = require_tool("c-icap")
        if not (MODULES / "virus_scan.so").exists():
            missing("libc-icap-mod-virus-scan is not installed")
        self._block = claim_block()
        self.port = self._block.spare
        self._folder = Path(tempfile.mkdtemp(prefix="ftpsd-icap-"))
        user = pwd.getpwuid(os.geteuid()).pw_name
        self._log = folder / "c-icap.log"
        self._config = self._folder / "c-icap.conf"
        self.process: subprocess.Popen[bytes] | None = None
        # The magic file before the services, and modules before the lines about them.
        self._config.write_text(
            f"PidFile {self._folder}/pid\nCommandsSocket {self._folder}/ctl\nPort 127.0.0.1:{self.port}\n"
            f"User {user}\nGroup {user}\nStartServers 1\nMaxServers 1\nThreadsPerChild 10\nMinSpareThreads 1\n"
            f"MaxSpareThreads 10\nServerLog {self._log}\nAccessLog {self._log}.access\nTmpDir {self._folder}\n"
            f"ModulesDir {MODULES}\nServicesDir {MODULES}\nTemplateDir /usr/share/c_icap/templates/\n"
            "LoadMagicFile /etc/c-icap/c-icap.magic\n"
            f"Module common clamd_mod.so\nclamd_mod.ClamdSocket {clamd.socket}\n"
            "Service antivirus_module virus_scan.so\n"
            "ServiceAlias avscan virus_scan?allow204=on&sizelimit=off&mode=simple\n"
            "virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GIF JPEG MSOFFICE\n"
            f"virus_scan.MaxObjectSize {most}\nvirus_scan.PassOnError off\nvirus_scan.DefaultEngine clamd\n"
        )

    def url(self, service: str = "avscan") -> str:
        """Its address in ftpsd.yaml."""
        return f"icap://127.0.0.1:{self.port}/{service}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with open(f"{self._log}.out", "ab") as log:
            self.process = subprocess.Popen(
                [self._program, "-N", "-f", str(self._config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        eventually(self._answers, f"c-icap, see {self._log}")

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def pause(self) -> None:
        """Have it do nothing, as a program that hangs: its port stays."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it with its children, also when they are paused."""
        if self.process is not None:
            self._signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)
