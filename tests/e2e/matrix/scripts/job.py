"""A job as a Python script gets it: operations in a file, the rest in the environment."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

HOST = os.environ["FTP_HOST"]
PORT = int(os.environ["FTP_PORT"])
IS_IMPLICIT = os.environ["FTP_MODE"] == "implicit"
USER = os.environ["FTP_USER"]
PASSWORD = os.environ["FTP_PASSWORD"]
AUTHORITY = os.environ["FTP_CA"]
IS_PASSIVE = os.environ["FTP_DATA"] == "passive"


def operations() -> Iterator[list[str]]:
    """Yield what to do, one operation after the other: its name, then its arguments."""
    for line in Path("job.tsv").read_text(encoding="utf-8").splitlines():
        yield line.split("\t")


def context() -> ssl.SSLContext:
    """Return a context that trusts the server's authority and nobody else."""
    return ssl.create_default_context(cafile=AUTHORITY)
