"""
The sources of a configuration, checked: the files they name are read, their packages and roles are there. Blocks, but
asks nobody.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from cryptography import x509

from ftpsd.config.model import Config
from ftpsd.config.parsing.complaints import nearest
from ftpsd.config.parsing.document import ConfigError, Key
from ftpsd.config.sources.single_user import check_defaults
from ftpsd.config.sources.source_sections import Grouped, Remote
from ftpsd.config.units import describe
from ftpsd.config.users import Users

# A bundle of all authorities of the web has 250 KiB.
MAX_FILE: Final = 1 << 20
MAX_SECRET: Final = 4096
# The package that a source needs, and the extra of ours that brings it.
PACKAGES: Final = {"ldap": "ldaptor", "http": "treq"}


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The contents of the files that the sources name; PEM where they hold certificates, None for none."""

    bind_password: str = field(default="", repr=False)
    ldap_authority: bytes | None = None
    token: str = field(default="", repr=False)
    http_authority: bytes | None = None
    http_certificate: bytes | None = None
    http_private_key: bytes | None = field(default=None, repr=False)


def order_of(config: Config) -> dict[str, Key]:
    """Return every source that a host of *config* asks, with the key that names it first."""
    orders: list[tuple[Key, Sequence[str]]] = [(("accounts",), config.accounts)]
    orders += ((("virtual_hosts", at, "accounts"), host.accounts) for at, host in enumerate(config.virtual_hosts))
    found: dict[str, Key] = {}
    for key, order in orders:
        for number, name in enumerate(order):
            found.setdefault(name, (*key, number))
    return found


def section_of(config: Config, name: str) -> Remote | None:
    """Return the section of the source *name*."""
    sections: Mapping[str, Remote | None] = {"ldap": config.ldap, "pam": config.pam, "http": config.http}
    return sections.get(name)


def look_at_sources(config: Config, users: Sequence[tuple[Sequence[str], Users | None]]) -> Iterator[ConfigError]:
    """Yield all that is wrong with the sources; *users* are the order and the users file of each host."""
    asked = order_of(config)
    for name in ("ldap", "pam", "http"):
        section = section_of(config, name)
        if section is None:
            if name in asked:
                yield config.complaint(asked[name], f"{name} has no section; add {name}: with its keys, or remove this")
            continue
        if name not in asked:
            yield config.complaint((name,), f"nobody is looked for there; add {name} to accounts", "warning")
        elif (package := PACKAGES.get(name)) is not None and find_spec(package) is None:
            message = f'{name} needs the package {package}, which is not installed; run: pip install "ftpsd[{name}]"'
            yield config.complaint(asked[name], message)
        yield from _section(config, name, section)
        for order, file in users:
            if name in order and file is not None and isinstance(section, Grouped):
                yield from _roles(config, name, section, file)
    yield from _never_asked(users)
    yield from _between_keys(config)


def _never_asked(users: Sequence[tuple[Sequence[str], Users | None]]) -> Iterator[ConfigError]:
    """Warn of users whose source is asked by no host that has their users file."""
    files = {id(file): file for _, file in users if file is not None}
    for file in files.values():
        asked = {name for order, each in users if each is file for name in order}
        for name, entry in file.from_sources.items():
            if entry.source not in asked:
                said = f"{entry.source} is not asked, so the user cannot log in; add {entry.source} to accounts"
                yield file.complaint(("users", name, "source"), said, "warning")


def read_source_files(config: Config) -> tuple[SourceFiles, list[ConfigError]]:
    """Read the files that the sources name, and return them with the complaints about them."""
    files = SourceFiles()
    errors: list[ConfigError] = []

    def read(key: Key, path: Path | None, *, is_secret: bool = False) -> bytes | None:
        if path is None:
            return None
        try:
            data = read_bounded(path, MAX_SECRET if is_secret else MAX_FILE)
        except OSError as error:
            errors.append(config.complaint(key, f"{path} cannot be read: {error.strerror or 'not a file'}"))
            return None
        if is_secret and stat.S_IMODE(os.stat(path).st_mode) & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
            message = f"{path} is open to others on this machine; run: chmod o-rwx,g-w {shlex.quote(str(path))}"
            errors.append(config.complaint(key, message))
        return data

    def certificates(key: Key, path: Path | None) -> bytes | None:
        data = read(key, path)
        if data is not None:
            try:
                x509.load_pem_x509_certificates(data)
            except ValueError:
                errors.append(config.complaint(key, f"{path} holds no certificate in PEM form"))
        return data

    def secret(key: Key, path: Path | None) -> str:
        data = read(key, path, is_secret=True)
        if data is None:
            return ""
        try:
            text = data.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            text = ""
        if not text or not text.isprintable():
            errors.append(config.complaint(key, f"{path} does not hold one line of text"))
            return ""
        return text

    if (ldap := config.ldap) is not None:
        files = replace(
            files,
            bind_password=secret(("ldap", "bind_password_file"), ldap.bind_password_file),
            ldap_authority=certificates(("ldap", "authority"), ldap.authority),
        )
    if (http := config.http) is not None:
        files = replace(
            files,
            token=secret(("http", "token_file"), http.token_file),
            http_authority=certificates(("http", "authority"), http.authority),
            http_certificate=certificates(("http", "certificate"), http.certificate),
            http_private_key=read(("http", "private_key"), http.private_key, is_secret=True),
        )
    return files, errors


def _section(config: Config, name: str, section: Remote) -> Iterator[ConfigError]:
    try:
        check_defaults(section.defaults)
    except ValueError as error:
        yield config.complaint((name, "defaults"), str(error))
    if isinstance(section, Grouped):
        above = Path(section.home).parent if Path(section.home).name == "{user}" else Path(section.home)
        if not any(home == above or home in above.parents for home in section.homes):
            message = (
                f"{describe(section.home)} is not below {' or '.join(map(str, section.homes))}; correct one of them"
            )
            yield config.complaint((name, "home"), message)
        if not section.roles and section.default_role is None:
            message = "no group has a role, so that all would be refused; name roles, or a default_role"
            yield config.complaint((name,), message)


def _roles(config: Config, name: str, section: Grouped, users: Users) -> Iterator[ConfigError]:
    known = list(users.frame.roles)
    named: list[tuple[Key, str]] = [((name, "roles", group), role) for group, role in section.roles.items()]
    if section.default_role is not None:
        named.append(((name, "default_role"), section.default_role))
    for key, role in named:
        if role not in known:
            guess = nearest(role, known)
            hint = f"did you mean {guess}?" if guess else "add it there under roles"
            yield config.complaint(key, f"there is no role {describe(role)} in the users file; {hint}")


def _between_keys(config: Config) -> Iterator[ConfigError]:
    if (ldap := config.ldap) is not None:
        for number, server in enumerate(ldap.servers):
            if ldap.allow_plain_on_loopback and not server.is_here:
                message = f"{server} is not on this machine; remove it, or allow_plain_on_loopback, and use TLS"
                yield config.complaint(("ldap", "servers", number), message)
        if (ldap.group_base is None) != (ldap.group_filter is None):
            yield config.complaint(("ldap",), "group_base and group_filter go together; add the other, or remove it")
    if (http := config.http) is not None and (http.certificate is None) != (http.private_key is None):
        yield config.complaint(("http",), "certificate and private_key go together; add the other, or remove it")


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a regular file of at most *limit* bytes; never wait for the writer of a FIFO."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise OSError(0, f"larger than {limit} bytes")
    return data
