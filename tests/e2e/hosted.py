"""
A daemon with several names and hosts, and a client that asks for one of them.
"""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path
from typing import Any

from tests.e2e.client import IPV4, TIMEOUT, ReusedFTP_TLS, Way
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon, password_hash
from tests.hosts import authority, issue

MAIN, ALSO, OTHER = "localhost", "also.example.test", "other.example.test"


class HostedDaemon:
    """A daemon with one more name, a host with its own certificate, and one that shares the main one."""

    def __init__(self, folder: Path, start: StartDaemon) -> None:
        self.folder = folder
        self.trust = folder / "trusted.pem"
        self.homes = {name: folder / name for name in (OTHER, MAIN)}
        for name, home in self.homes.items():
            home.mkdir()
            users = {"carol": {"password": password_hash(), "home": str(home)}}
            self.users(name).write_text(json.dumps({"users": users}))
            self.users(name).chmod(0o600)
        self.also = {"names": [ALSO, "*.also.example.test"], **issue(folder, ALSO, "*.also.example.test").section()}
        self.daemon: Daemon = start(
            {"tls": {"server_names": [self.also]}, "virtual_hosts": [self.host(OTHER, own=True), self.host(MAIN)]}
        )
        self.trust.write_bytes(authority().cert_pem.bytes() + self.daemon.tls.authority.read_bytes())

    def users(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"

    def host(self, name: str, *, own: bool = False) -> dict[str, Any]:
        """Return the entry of a virtual host."""
        pair = issue(self.folder, name).section() if own else {}
        return {"names": [name], "users": str(self.users(name)), "banner": f"This is {name}.", **pair}

    def connect(self, way: Way, name: str, source: str | None = None) -> NamedFTP:
        """Return a client that has read the greeting and, under explicit TLS, has sent AUTH; from *source*."""
        context = ssl.create_default_context(cafile=str(self.trust))
        assert way.version is not None
        context.minimum_version = context.maximum_version = way.version
        client = NamedFTP(context=context, timeout=TIMEOUT)
        client.name = name
        client.source_address = None if source is None else (source, 0)
        client.open(self.daemon, way)
        return client


class NamedFTP(ReusedFTP_TLS):
    """ftplib's client, which asks for *name*; on data connections for *data_name*."""

    name = ""
    data_name: str | None = None

    def open(self, daemon: Daemon, way: Way) -> None:
        """Connect to the loopback address."""
        if way.mode == "implicit":
            connection = socket.create_connection((IPV4, daemon.ports.implicit), TIMEOUT, self.source_address)
            self.af, self.host = connection.family, self.name
            self.sock = self.context.wrap_socket(connection, server_hostname=self.name)
            self.file = self.sock.makefile("r", encoding=self.encoding)
            self.welcome = self.getresp()
        else:
            self.connect(IPV4, daemon.ports.explicit, source_address=self.source_address)
            self.host = self.name
            self.auth()
        self.data_name = self.name

    def secured(self, connection: socket.socket) -> ssl.SSLSocket:
        """Return the data *connection* under TLS, in the session of the control connection."""
        assert isinstance(self.sock, ssl.SSLSocket)
        self.context.check_hostname = False
        return self.context.wrap_socket(connection, server_hostname=self.data_name, session=self.sock.session)
