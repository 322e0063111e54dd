"""
From files to a Runtime: read everything, complain about everything at once, build everything, or change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from twisted.cred.portal import Portal

from ftpsd.auth.checker import UsersChecker
from ftpsd.auth.realm import Quotas, Realm
from ftpsd.config.document import ConfigError, ConfigErrors
from ftpsd.config.files import examine, needs_certificate
from ftpsd.config.model import Config, load_config
from ftpsd.config.users import Users
from ftpsd.control.runtime import Runtime
from ftpsd.data.active import Dialer
from ftpsd.data.dtp import DataSettings
from ftpsd.service.addresses import PublicAddresses
from ftpsd.service.parts import Parts
from ftpsd.storage.upload import UploadPolicy
from ftpsd.tls.certificates import CertificateError, CertificatePair


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration with the files it names, read and found good."""

    config: Config
    users: Users
    certificate: CertificatePair | None
    warnings: tuple[ConfigError, ...] = ()


def load(path: Path) -> Loaded:
    """
    Read ftpsd.yaml, users.yaml and the certificate, and look at every file they name. Blocks.

    A home or mount that is missing, because somebody mistyped it or a file server is down, keeps out the user it
    belongs to and nobody else: that is a warning here.

    Raises:
        ConfigErrors: all that is wrong, each with its place.
    """
    config = load_config(path)
    findings = examine(config)
    found = [
        replace(complaint, severity="warning") if complaint in findings.directories else complaint
        for complaint in findings.complaints
    ]
    errors = [complaint for complaint in found if complaint.severity == "error"]
    certificate: CertificatePair | None = None
    has_certificate = needs_certificate(config) or config.tls.certificate.exists()
    if has_certificate and not any(error.key.startswith("tls.") for error in errors):
        try:
            certificate = CertificatePair.load(config.tls.certificate, config.tls.private_key)
        except CertificateError as problem:
            errors.append(config.complaint(("tls", "certificate"), str(problem)))
    if errors or findings.users is None:
        raise ConfigErrors(tuple(errors))
    warnings = tuple(complaint for complaint in found if complaint.severity == "warning")
    return Loaded(config, findings.users, certificate, warnings)


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
    )
    checker = UsersChecker(loaded.users.users, parts.login, parts.verified, parts.reactor)
    homes = frozenset(user.home for user in loaded.users.users.values() if user.quota is not None)
    quotas = Quotas(parts.accounts, homes, parts.upkeep)
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
    return Runtime(
        config=config,
        users=loaded.users.users,
        shared=parts.shared,
        portal=Portal(Realm(parts.files, policy, symlinks=config.symlinks, quotas=quotas), [checker]),
        certificate=loaded.certificate,
        data=data,
        public_address=PublicAddresses(config.passive, parts.files, parts.resolved),
    )
