"""The clients, in the order of the page."""

from __future__ import annotations

from collections.abc import Iterator

from tests.e2e.matrix.client import MODES, Client, TLSMode
from tests.e2e.matrix.clients.curl import CURL
from tests.e2e.matrix.clients.ftpssl import FTP_SSL
from tests.e2e.matrix.clients.languages import ERLANG, GO, JAVA, NODE, PERL, PHP, RUBY
from tests.e2e.matrix.clients.lftp import LFTP
from tests.e2e.matrix.clients.python import AIOFTP, FSSPEC, FTPLIB, FTPLIB_REUSE, FTPUTIL, PYCURL, TWISTED
from tests.e2e.matrix.clients.rclone import RCLONE
from tests.e2e.matrix.clients.wget import WGET
from tests.e2e.matrix.steps import STEPS, Step

CLIENTS: tuple[Client, ...] = (
    CURL,
    LFTP,
    WGET,
    FTP_SSL,
    RCLONE,
    PYCURL,
    FTPLIB,
    FTPLIB_REUSE,
    AIOFTP,
    TWISTED,
    FTPUTIL,
    FSSPEC,
    NODE,
    PHP,
    PERL,
    RUBY,
    JAVA,
    GO,
    ERLANG,
)


def runs() -> Iterator[tuple[Client, TLSMode, Step]]:
    """Yield every step a client can do, and those it cannot but is made to try."""
    for client in CLIENTS:
        for mode in MODES:
            for step in STEPS:
                inability = client.inability(mode, step.name)
                if inability is None or inability.tried:
                    yield client, mode, step
