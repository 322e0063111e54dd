"""
Hosts for tests: certificates for any name from one authority, and virtual hosts for sessions in memory.
"""

from __future__ import annotations

import operator
import ssl
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import trustme
from twisted.cred.portal import Portal

from ftpsd.auth.accounts import FileAccounts
from ftpsd.auth.checker import UsersChecker
from ftpsd.auth.hashing.passwords import VerifiedCache
from ftpsd.auth.hashing.queue import LoginQueue
from ftpsd.config.users import UserRecord
from ftpsd.control.state.hosts import Host, Hosts, Named
from ftpsd.tls.certificates import CertificatePair
from tests.dataclient import identity
from tests.fakes import MemoryStorage
from tests.sessions import MemoryRealm, Server, user_record
from tests.tlsclient import TLS_1_3, Client, client_context
from tests.workers import InlineWorkers


@dataclass(frozen=True, slots=True)
class IssuedFiles:
    """The files of a certificate."""

    certificate: Path
    private_key: Path

    def section(self) -> dict[str, str]:
        """Return what a configuration says of them."""
        return {"certificate": str(self.certificate), "private_key": str(self.private_key)}


@cache
def authority() -> trustme.CA:
    """Return the authority that signs for every name."""
    return trustme.CA()


def trusted(folder: Path) -> Path:
    """Write what clients trust into *folder*."""
    path = folder / "authority.pem"
    authority().cert_pem.write_to_path(path)
    return path


def issue(
    folder: Path,
    *names: str,
    kind: trustme.KeyType = trustme.KeyType.ECDSA,
    days: tuple[float, float] | None = None,
) -> IssuedFiles:
    """
    Write a certificate for *names* into *folder*, with a key that nobody else can read.

    It is valid from and to so many *days* from now, else for long.
    """
    stem = names[0].replace("*", "any")
    if kind is not trustme.KeyType.ECDSA:
        stem += f"-{kind.name.lower()}"
    files = IssuedFiles(folder / f"{stem}.pem", folder / f"{stem}-key.pem")
    begin, end = (None, None) if days is None else (datetime.now(UTC) + timedelta(days=each) for each in days)
    issued = authority().issue_cert(*names, key_type=kind, not_before=begin, not_after=end)
    for path, content in (
        (files.certificate, b"".join(blob.bytes() for blob in (*issued.cert_chain_pems, authority().cert_pem))),
        (files.private_key, issued.private_key_pem.bytes()),
    ):
        path.write_bytes(content)
        path.chmod(0o600)
    return files


@cache
def pair_for(*names: str, kind: trustme.KeyType = trustme.KeyType.ECDSA) -> CertificatePair:
    """Return a certificate for *names*."""
    with tempfile.TemporaryDirectory() as folder:
        files = issue(Path(folder), *names, kind=kind)
        return CertificatePair.load(files.certificate, files.private_key)


def named_client(name: str | None, *, is_strict: bool = True) -> Client:
    """Return a TLS client that asks for *name*, or for none; one that is not strict takes a certificate without it."""
    return Client(_context(is_strict and name is not None), name=name)


@cache
def _context(checks_name: bool) -> ssl.SSLContext:
    context = client_context(identity()[1], TLS_1_3)
    authority().configure_trust(context)
    context.check_hostname = checks_name
    return context


def add_host(
    server: Server,
    *names: str,
    certificate: CertificatePair | None = None,
    user: UserRecord | None = None,
    banner: str = "Another host.",
) -> MemoryStorage:
    """Give *server* a virtual host with a storage of its own, which is returned."""
    user = user or user_record("carol")
    storage = MemoryStorage()
    queue, cache = LoginQueue(InlineWorkers()), VerifiedCache(server.reactor)
    accounts = FileAccounts({user.name: user}, queue, cache, check=operator.eq)
    portal = Portal(MemoryRealm(storage), [UsersChecker(accounts, server.reactor)])
    host = Host(names[0], banner, accounts, portal, certificate)
    add_names(server, Named(host, certificate or server.runtime.certificate), *names)
    return storage


def add_names(server: Server, named: Named, *names: str) -> None:
    """Let *names* stand for *named* on *server*."""
    hosts = server.runtime.hosts
    entries = [*hosts.names.items(), *((name, named) for name in names)]
    several = Hosts(hosts.default, entries)
    tls = replace(server.runtime.tls, choose=several.certificate_for)
    server.runtime = replace(server.runtime, hosts=several, tls=tls)
