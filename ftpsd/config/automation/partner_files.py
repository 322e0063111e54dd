"""The files that `partners` names, read and checked, and what the keys of a partner must have together. Blocks."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ftpsd.config.automation.partner_sections import Partner
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError, Key
from ftpsd.config.sources.source_files import MAX_FILE, MAX_SECRET, read_bounded
from ftpsd.values.text import has_control


@dataclass(frozen=True, slots=True)
class PartnerFiles:
    """The *password* for a partner, None for none, and its *authority* in PEM form, None for those of the machine."""

    password: str | None = field(default=None, repr=False)
    authority: str | None = None


def read_partner_files(config: Config) -> tuple[Mapping[str, PartnerFiles], list[ConfigError]]:
    """Read the files that partners name; return them by the names of the partners, with all complaints."""
    found: dict[str, PartnerFiles] = {}
    errors: list[ConfigError] = []
    for number, partner in enumerate(config.partners):
        key: Key = ("partners", number)
        if partner.name in found:
            message = f"another partner is called {partner.name}; give each a name of its own"
            errors.append(config.complaint((*key, "name"), message))
        reading = _Reading(config, key, errors)
        password = reading.password(partner)
        authority = reading.certificates("authority", partner.authority)
        reading.pair(partner)
        found[partner.name] = PartnerFiles(password, authority)
        if partner.password_file is None and partner.certificate is None:
            message = f"{partner.name} has neither password_file nor certificate; name one, or both"
            errors.append(config.complaint(key, message))
    return found, errors


@dataclass(frozen=True, slots=True)
class _Reading:
    """The reading of the files of the partner at *key*."""

    config: Config
    key: Key
    errors: list[ConfigError]

    def password(self, partner: Partner) -> str | None:
        """Return the one line of the password's file."""
        data = self._read("password_file", partner.password_file, is_secret=True)
        if data is None:
            return None
        text = data.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            text = ""
        if not text or has_control(text):
            self._complain("password_file", f"{partner.password_file} does not hold one line of text")
            return None
        return text

    def certificates(self, name: str, path: Path | None) -> str | None:
        """Return the certificates in *path*, in PEM form."""
        data = self._read(name, path)
        if data is None:
            return None
        try:
            x509.load_pem_x509_certificates(data)
        except ValueError:
            self._complain(name, f"{path} holds no certificate in PEM form")
            return None
        return data.decode("latin-1")

    def pair(self, partner: Partner) -> None:
        """See that certificate and key of our own are there, and belong together."""
        if (partner.certificate is None) != (partner.private_key is None):
            here, missing = ("certificate", "private_key")
            if partner.certificate is None:
                here, missing = missing, here
            self._complain(here, f"goes with {missing}; name both, or none")
            return
        pem = self.certificates("certificate", partner.certificate)
        data = self._read("private_key", partner.private_key, is_secret=True)
        if data is None or pem is None:
            return
        try:
            key = load_pem_private_key(data, None)
        except (ValueError, TypeError):
            self._complain("private_key", f"{partner.private_key} holds no private key in PEM form without a password")
            return
        if x509.load_pem_x509_certificates(pem.encode("latin-1"))[0].public_key() != key.public_key():
            self._complain("private_key", f"{partner.private_key} is not the key of {partner.certificate}")

    def _read(self, name: str, path: Path | None, *, is_secret: bool = False) -> bytes | None:
        if path is None:
            return None
        try:
            data = read_bounded(path, MAX_SECRET if is_secret and name == "password_file" else MAX_FILE)
        except OSError as error:
            self._complain(name, f"{path} cannot be read: {error.strerror or 'not a file'}")
            return None
        if is_secret and stat.S_IMODE(os.stat(path).st_mode) & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
            self._complain(
                name, f"{path} is open to others on this machine; run: chmod o-rwx,g-w {shlex.quote(str(path))}"
            )
        return data

    def _complain(self, name: str, message: str) -> None:
        self.errors.append(self.config.complaint((*self.key, name), message))


def look_at_partners(config: Config) -> Iterator[ConfigError]:
    """Yield what is wrong with the section but for its files."""
    for number, partner in enumerate(config.partners):
        if partner.password_file is not None and partner.mode == "explicit" and partner.real_port == 990:
            message = "990 is the port of implicit TLS; write mode: implicit, or another port"
            yield config.complaint(("partners", number, "port"), message, "warning")
