"""The clients, in the order of the page."""

from __future__ import annotations

from tests.e2e.matrix.client import Client
from tests.e2e.matrix.clients.curl import CURL
from tests.e2e.matrix.clients.ftpssl import FTP_SSL
from tests.e2e.matrix.clients.languages import ERLANG, GO, JAVA, NODE, PERL, PHP, RUBY
from tests.e2e.matrix.clients.lftp import LFTP
from tests.e2e.matrix.clients.python import AIOFTP, FSSPEC, FTPLIB, FTPLIB_REUSE, FTPUTIL, PYCURL, TWISTED
from tests.e2e.matrix.clients.rclone import RCLONE
from tests.e2e.matrix.clients.wget import WGET

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
