"""From files to a `Loaded` configuration: read everything and complain about everything at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ftpsd.config.automation.partner_files import PartnerFiles
from ftpsd.config.automation.sink_files import SinkFiles
from ftpsd.config.encrypting.master_keys import MasterKeys
from ftpsd.config.evidence.evidence_files import EvidenceFiles
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError, ConfigErrors
from ftpsd.config.receipts.receipt_files import SigningFiles
from ftpsd.config.sources.source_files import SourceFiles
from ftpsd.config.users import UserRecord, Users
from ftpsd.service.building.pairs import Certificates
from ftpsd.service.inspecting.inspection import inspect
from ftpsd.tls.certificates import CertificatePair
from ftpsd.values.uncollected import uncollected


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
    source_files: SourceFiles = field(default_factory=SourceFiles)
    sink_files: Mapping[str, SinkFiles] = field(default_factory=dict)
    evidence_files: EvidenceFiles = field(default_factory=EvidenceFiles)
    master_keys: MasterKeys = field(default_factory=MasterKeys)
    partner_files: Mapping[str, PartnerFiles] = field(default_factory=dict)
    signing_files: SigningFiles | None = None

    def known(self) -> list[UserRecord]:
        """Return the users of all hosts that are known without asking a remote source: those of the files."""
        return [user for users in (self.users, *self.hosts) for user in users.users.values()]

    def by_host(self) -> list[tuple[str, Users]]:
        """Return the users file of each host by its first name, "" for the default one."""
        names = ("", *(section.names[0] for section in self.config.virtual_hosts))
        return list(zip(names, (self.users, *self.hosts), strict=True))

    @property
    def certificate(self) -> CertificatePair | None:
        """The pair for clients that ask for no other name."""
        return self.certificates.main


def load(path: Path, standing: frozenset[str] = frozenset()) -> Loaded:
    """
    Read ftpsd.yaml, the users and the certificates, and look at every file they name. Blocks.

    A home or mount that is missing or closed to the daemon, because of a mistyped path or a file server that is down,
    keeps out only the user it belongs to, and so does a hash that is not whole: that is a warning here. So is, at a
    start, a certificate out of its dates beside one within them. *standing* are the fingerprints of certificates that
    are served now, which may have expired meanwhile.

    Raises:
        ConfigErrors: all that is wrong, each with its place.
    """
    with uncollected():
        return _load(path, standing)


def _load(path: Path, standing: frozenset[str]) -> Loaded:
    inspection = inspect(path, standing=standing)
    config, findings, certificates = inspection.config, inspection.findings, inspection.certificates
    of_few = inspection.of_one_user | certificates.of_one_name
    found = [
        replace(complaint, severity="warning") if complaint in of_few else complaint
        for complaint in inspection.complaints
    ]
    errors = [complaint for complaint in found if complaint.severity == "error"]
    hosts = tuple(users for users in findings.hosts if users is not None)
    if errors or findings.users is None or len(hosts) < len(config.virtual_hosts):
        raise ConfigErrors(tuple(errors))
    warnings = tuple(complaint for complaint in found if complaint.severity == "warning")
    users, *others = (each.without_file() for each in (findings.users, *hosts))
    files = findings.source_files, findings.sink_files, findings.evidence_files, findings.master_keys
    more = findings.partner_files, findings.signing_files
    return Loaded(config, users, certificates, warnings, tuple(others), *files, *more)
