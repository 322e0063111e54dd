"""
The helper ftpsd-pam as a process, with a PAM service of the test: /etc/pam.d takes a file of root's only.

Not users of the machine: pam_pwdfile reads names and passwords from a file, pam_listfile those who may not log in,
and pam_exec takes long for one of them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.tools import missing

_SERVICES: Final = Path("/etc/pam.d")
_ACCOUNT: Final = """#!/bin/sh
[ "$PAM_USER" != slow ] || sleep 30
"""


class Helper:
    """A helper at *socket*, for the PAM service *service*; *lines* are those of its service file."""

    def __init__(self, folder: Path, lines: str, *arguments: str) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root may add a PAM service")
        if not _SERVICES.is_dir():
            missing(f"{_SERVICES} is not there")
        folder.mkdir(parents=True, exist_ok=True)
        self.service = f"ftpsd-test-{os.getpid()}-{folder.parent.name}"[:60]
        self._file = _SERVICES / self.service
        self._file.write_text(lines)
        self.socket = folder / "pam.sock"
        command = [sys.executable, "-m", "ftpsd.pam", "--user", "0", "--service", self.service]
        self._process = subprocess.Popen(
            [*command, "--socket", self.socket, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ftpsd-pam: ready\n"

    def stop(self) -> str:
        """End it, and return what it has said."""
        # With its children, as systemd does.
        os.killpg(self._process.pid, signal.SIGTERM)
        said, _ = self._process.communicate(timeout=30)
        self._file.unlink()
        return said


def password_file(folder: Path, *names: str) -> Path:
    """Return a file for pam_pwdfile with *names*, whose passwords are "<name>'s"."""
    if not list(Path("/lib").glob("*/security/pam_pwdfile.so")):
        missing("libpam-pwdfile is not installed")
    path = folder / "passwords"
    lines = []
    for name in names:
        made = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"], input=f"{name}'s\n", capture_output=True, text=True, check=True
        )
        lines.append(f"{name}:{made.stdout.strip()}\n")
    path.write_text("".join(lines))
    path.chmod(0o600)
    return path


def service_of(folder: Path, *names: str) -> str:
    """Return the lines of a service in which *names* have passwords, dora may not log in, and slow takes long."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "account"
    script.write_text(_ACCOUNT)
    script.chmod(0o700)
    (folder / "disabled").write_text("dora\n")
    return (
        f"auth required pam_pwdfile.so pwdfile={password_file(folder, *names)}\n"
        f"account required pam_listfile.so item=user sense=deny file={folder / 'disabled'} onerr=fail\n"
        f"account required pam_exec.so quiet {script}\n"
    )
