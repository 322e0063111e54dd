"""A clamd of the tour's own, where the program is installed: with one signature, and nothing of the machine's."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from typing import Final

from ftpsd.demo.ours import write
from ftpsd.demo.tour.offshoots import Program

ENGINE: Final = "clamd"
# In two parts, so that no scanner of the machine takes this file for it.
EICAR: Final = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


def engine_socket(directory: Path) -> Path:
    """Return where the engine in *directory* listens."""
    return directory / "clamd.sock"


def start_engine(directory: Path) -> Program | None:
    """Start clamd with its files in *directory*; None where this machine has none."""
    program = shutil.which(ENGINE)
    if program is None:
        return None
    database = directory / "signatures"
    database.mkdir(mode=0o700)
    write(database / "tour.ndb", f"Eicar-Test-Signature:0:*:{EICAR.hex()}\n")
    config = directory / "clamd.conf"
    write(
        config,
        f"LocalSocket {engine_socket(directory)}\nDatabaseDirectory {database}\nForeground yes\n"
        f"User {pwd.getpwuid(os.geteuid()).pw_name}\nAlertExceedsMax yes\nSelfCheck 0\n",
    )
    return Program([program, "--config-file", str(config)], directory / "clamd.log")
