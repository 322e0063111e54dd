"""
From files to a Runtime: read everything, complain about everything at once, build everything, or change nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from twisted.cred.portal import Portal
from twisted.logger import Logger

from ftpsd.auth.checker import UsersChecker
from ftpsd.auth.realm import Quotas, Realm
from ftpsd.config.document import ConfigError, ConfigErrors
from ftpsd.config.model import Config
from ftpsd.config.users import Users
from ftpsd.control.hosts import Host, Hosts, Named
from ftpsd.control.runtime import Runtime
from ftpsd.data.active import Dialer
from ftpsd.data.dtp import DataSettings
from ftpsd.service.addresses import PublicAddresses
from ftpsd.service.certificates import Certificates
from ftpsd.service.inspection import inspect
from ftpsd.service.parts import Parts
from ftpsd.storage.upload import Tell, UploadPolicy
from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.session import TLSPolicy
from ftpsd.wire.path import VirtualPath

log = Logger()


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    A configuration with the files it names, read and found good.

    *hosts* are the users of each virtual host, in the order of the configuration.
    """

    config: Config
    users: Users
    certificates: Certificates
    warnings: tuple[ConfigError, ...] = ()
    hosts: tuple[Users, ...] = ()

    @property
    def certificate(self) -> CertificatePair | None:
        """The pair for whoever asks for no other."""
        return self.certificates.main


def load(path: Path) -> Loaded:
    """
    Read ftpsd.yaml, the users and the certificates, and look at every file they name. Blocks.

    A home or mount that is missing or closed to the daemon, because somebody mistyped it or a file server is down,
    keeps out the user it belongs to and nobody else, and so does a hash that is not whole: that is a warning here.

    Raises:
        ConfigErrors: all that is wrong, each with its place.
    """
    with _uncollected():
        return _load(path)


@contextmanager
def _uncollected() -> Iterator[None]:
    """
    Keep Python from looking for cycles meanwhile.

    10,000 users are half a million objects while they are read, and none of them is in a cycle. Looking through them
    all stopped every thread for 0.1 to 0.2 s, four times in a reload; now the longest is 0.05 s.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _load(path: Path) -> Loaded:
    inspection = inspect(path)
    config, findings, certificates = inspection.config, inspection.findings, inspection.certificates
    found = [
        replace(complaint, severity="warning") if complaint in inspection.of_one_user else complaint
        for complaint in inspection.complaints
    ]
    errors = [complaint for complaint in found if complaint.severity == "error"]
    hosts = tuple(users for users in findings.hosts if users is not None)
    if errors or findings.users is None or len(hosts) < len(config.virtual_hosts):
        raise ConfigErrors(tuple(errors))
    warnings = tuple(complaint for complaint in found if complaint.severity == "warning")
    # Where each value stood in the files, and their text, take far more memory than the users: 70 MiB for 10,000.
    users, *others = (replace(each, document=None) for each in (findings.users, *hosts))
    return Loaded(config, users, certificates, warnings, tuple(others))


def build_runtime(loaded: Loaded, parts: Parts) -> Runtime:
    """Put the Runtime of *loaded* together, out of the process's *parts*."""
    config = loaded.config
    uploads = config.uploads
    policy = UploadPolicy(
        atomic=uploads.mode == "atomic",
        durable=uploads.durable,
        keep_partial=uploads.keep_partial,
        umask=uploads.umask,
        digests=config.audit.sha256,
        tell=tell_once(),
    )
    limits = config.limits
    dialer = Dialer(config.active.source_port, limits.data_connect_timeout, parts.reactor)
    data = DataSettings(
        ports=parts.ports,
        dialer=dialer if config.active.enabled else None,
        workers=parts.transfer,
        clock=parts.reactor,
        connect_timeout=limits.data_connect_timeout,
        handshake_timeout=limits.handshake_timeout,
    )
    hosts = _hosts(loaded, parts, policy)
    parts.tickets.lifetime = config.tls.ticket_lifetime
    return Runtime(
        config=config,
        shared=parts.shared,
        hosts=hosts,
        data=data,
        tls=TLSPolicy(
            minimum=config.tls.minimum_version,
            maximum=config.tls.maximum_version,
            choose=hosts.certificate_for if hosts.has_names else None,
            tickets=parts.tickets,
        ),
        public_address=PublicAddresses(config.passive, parts.upkeep, parts.resolved),
    )


def tell_once() -> Tell:
    """Return what warns of each thing that new versions of files do not keep, the first time it happens."""
    told: set[str] = set()

    def tell(what: str, path: VirtualPath) -> None:
        if what not in told:
            told.add(what)
            text = "an upload over {path} could not keep the file's {what}; further ones are not logged"
            log.warn(text, path=str(path), what=what)

    return tell


def _hosts(loaded: Loaded, parts: Parts, policy: UploadPolicy) -> Hosts:
    """Put the default host and the virtual ones together."""
    config, pairs = loaded.config, loaded.certificates
    everybody = [user for users in (loaded.users, *loaded.hosts) for user in users.users.values()]
    homes = frozenset(user.home for user in everybody if user.quota is not None)
    quotas = Quotas(parts.accounts, homes, parts.upkeep)

    def make(name: str, users: Users, banner: str, certificate: CertificatePair | None) -> Host:
        realm = Realm(parts.files, policy, symlinks=config.symlinks, quotas=quotas, host=name)
        checker = UsersChecker(users.users, parts.logins, parts.verified, parts.reactor)
        return Host(name, banner, users.users, Portal(realm, [checker]), certificate)

    default = make("", loaded.users, config.banner, pairs.main)
    names: list[tuple[str, Named]] = []
    for number, entry in enumerate(config.tls.server_names):
        named = Named(default, pairs.pairs["tls", "server_names", number])
        names += [(name, named) for name in entry.names]
    for number, (section, users) in enumerate(zip(config.virtual_hosts, loaded.hosts, strict=True)):
        pair = pairs.pairs.get(("virtual_hosts", number), pairs.main)
        banner = config.banner if section.banner is None else section.banner
        host = make(section.names[0], users, banner, None if pair is pairs.main else pair)
        names += [(name, Named(host, pair)) for name in section.names]
    return Hosts(default, names)
