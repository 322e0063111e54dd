"""
From files to a Runtime: read everything, complain about everything at once, build everything, or change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from twisted.cred.portal import Portal

from ftpsd.auth.checker import UsersChecker
from ftpsd.auth.realm import Realm
from ftpsd.config.document import ConfigError, ConfigErrors
from ftpsd.config.model import Config, load_config
from ftpsd.config.users import Users, load_users
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


def load(path: Path) -> Loaded:
    """
    Read ftpsd.yaml, users.yaml and the certificate. Blocks.

    Raises:
        ConfigErrors: all that is wrong, each with its place.
    """
    config = load_config(path)
    errors: list[ConfigError] = []
    users: Users | None = None
    certificate: CertificatePair | None = None
    try:
        users = load_users(config.users)
    except ConfigErrors as problem:
        errors += problem.errors
    try:
        certificate = load_certificate(config)
    except CertificateError as problem:
        errors.append(config.complaint(("tls", "certificate"), str(problem)))
    if users is not None:
        errors += missing_homes(users)
    if errors or users is None:
        raise ConfigErrors(tuple(errors))
    return Loaded(config, users, certificate)


def load_certificate(config: Config) -> CertificatePair | None:
    """
    Return the server's certificate; None only where no listener and no policy needs one and none is there.

    Raises:
        CertificateError: it is missing or no good.
    """
    tls = config.tls
    is_needed = tls.require != "none" or any(listener.mode == "implicit" for listener in config.listeners)
    if not is_needed and not tls.certificate.exists():
        return None
    return CertificatePair.load(tls.certificate, tls.private_key)


def missing_homes(users: Users) -> list[ConfigError]:
    """Return a complaint for every enabled user whose home is not there."""
    return [
        users.complaint(
            ("users", user.name, "home"), f"{user.home} is not a directory; make it with: mkdir -p {user.home}"
        )
        for user in users.users.values()
        if user.enabled and not user.home.is_dir()
    ]


def build_runtime(loaded: Loaded, parts: Parts) -> Runtime:
    """Put the Runtime of *loaded* together, out of the process's *parts*."""
    config = loaded.config
    uploads = config.uploads
    policy = UploadPolicy(
        atomic=uploads.mode == "atomic",
        durable=uploads.durable,
        keep_partial=uploads.keep_partial,
        umask=uploads.umask,
    )
    checker = UsersChecker(loaded.users.users, parts.login, parts.verified, parts.reactor)
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
        portal=Portal(Realm(parts.files, policy), [checker]),
        certificate=loaded.certificate,
        data=data,
        public_address=PublicAddresses(config.passive, parts.files),
    )
