"""
The scope of a backup of a configuration: files and trees, by part.

The keys of encrypted trees, master keys and data keys, are never in it: who has the backup would read all, and
`ftpsd shred` could not reach the data keys there. They are backed up by themselves (docs/operations.md). The key that
signs lists is in none either: who reads backups could sign others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ftpsd.config.checks.named_files import certificate_files, users_files
from ftpsd.config.checks.secret_names import secrets_named
from ftpsd.config.encrypting.encryption import files_of_keys
from ftpsd.config.model import Config
from ftpsd.config.users import UserRecord


def config_files(config: Config) -> list[Path]:
    """Return the configuration, and the files that it names and that are no secret keys."""
    own = [Path(os.path.abspath(config.file))] if config.file else []
    own += [path for _, path in users_files(config)]
    own += [files.certificate for files in certificate_files(config)]
    own += [path for path in _public(config) if path is not None]
    return _plain(config, own)


def key_files(config: Config) -> list[Path]:
    """Return the files of keys and passwords, but for those of encrypted trees."""
    own = [path for _, path in secrets_named(config)]
    own += [files.private_key for files in certificate_files(config)]
    return _plain(config, own)


def key_trees(config: Config) -> list[Path]:
    """Return the directory of OpenPGP keys, where there is one."""
    return [path for path in (config.key_home,) if path is not None and path.is_dir()]


def trees_of(users: list[UserRecord], also: tuple[Path, ...]) -> list[Path]:
    """Return the homes and mounts of *users*, and *also*, none of them inside of another."""
    found = {Path(os.path.realpath(user.home)) for user in users}
    found |= {Path(os.path.realpath(mount.directory)) for user in users for mount in user.mounts}
    found |= {Path(os.path.realpath(path)) for path in also}
    return [path for path in sorted(found) if not any(other in path.parents for other in found)]


def never_in(config: Config) -> list[Path]:
    """Return the files and directories that no backup has, whatever tree they are in."""
    signing = config.key_of_backups
    return [*files_of_keys(config), *([] if signing is None else [signing])]


def _public(config: Config) -> Iterator[Path | None]:
    for partner in config.partners:
        yield partner.certificate
        yield partner.authority
    for section in (config.tls.client_certificates, *(each.client_certificates for each in config.virtual_hosts)):
        if section is not None:
            yield section.authorities
            yield section.crl
    for sink in config.events.sinks if config.events is not None else ():
        yield sink.authority
    if config.ldap is not None:
        yield config.ldap.authority
    if config.http is not None:
        yield config.http.authority
        yield config.http.certificate


def _plain(config: Config, paths: list[Path]) -> list[Path]:
    """Return each of *paths* once, without those that are never in a backup."""
    never = {os.path.realpath(path) for path in never_in(config)}
    unique = dict.fromkeys(Path(os.path.abspath(path)) for path in paths)
    return [path for path in unique if os.path.realpath(path) not in never]
