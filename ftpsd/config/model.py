"""
The keys of ftpsd.yaml: typed, frozen, each with its default.

A value here is ready to use: durations are seconds, rates are bytes per second (None: unlimited), paths are resolved
against the folder of the file. A key accepts the values of its field type; rules between keys are in `checks`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from ftpsd.config.accept.accept_rules import AcceptRule, QuarantineSection, Scanning
from ftpsd.config.automation.event_sinks import Events
from ftpsd.config.automation.expectation_sections import Expectation
from ftpsd.config.automation.job_sections import Job
from ftpsd.config.automation.partner_sections import Partner
from ftpsd.config.automation.workflow_rules import Mail, Workflow
from ftpsd.config.banning import ArrivalRate, Arrivals, Penalties
from ftpsd.config.client_certificates import Request
from ftpsd.config.control_socket import DEFAULT_SOCKET, ControlSocket, GroupName
from ftpsd.config.encrypting.encryption import Encryption
from ftpsd.config.evidence.evidence_sections import AuditChain, ShipTarget
from ftpsd.config.fields import (
    Address,
    Announced,
    Banner,
    Count,
    Duration,
    DurationOrZero,
    EventWord,
    FilePath,
    Limit,
    LogTarget,
    MaximumTLSVersion,
    Mode,
    NetworkField,
    NotEmpty,
    Port,
    Ports,
    Processes,
    ProxyNetwork,
    PublicAddress,
    Section,
    SocketName,
    Switch,
    Threads,
    TicketLifetime,
    TLSVersion,
    TransferThreads,
    check_filled,
)
from ftpsd.config.keeping_rules import Fingerprint, KeyId, NonEmptyText, Patterns, Percent
from ftpsd.config.parsing.document import ConfigError, Document, Key, Severity
from ftpsd.config.receipts.receipt_sections import ReceiptSigning
from ftpsd.config.sources.source_sections import HTTP, LDAP, PAM, Order
from ftpsd.config.units import PortRange
from ftpsd.config.virtual_hosts import HostName, SpokenNames
from ftpsd.values.login.login_method import LoginMethod


class ProxyProtocol(Section):
    """The TCP proxies whose headers are believed."""

    trusted: Annotated[tuple[ProxyNetwork, ...], AfterValidator(check_filled), NotEmpty]


class ClientCertificates(Section):
    """Whether clients are asked for a certificate, and which authorities vouch for it."""

    request: Request = "never"
    authorities: FilePath | None = None
    crl: FilePath | None = None


class Listener(Section):
    """One control port: opened by ftpsd, or passed by systemd under the name *socket* (and then port is 0)."""

    mode: Literal["explicit", "implicit"]
    address: Address = "::"
    port: Port = 0
    socket: SocketName | None = None
    proxy_protocol: ProxyProtocol | None = None
    client_certificates: ClientCertificates | None = None

    @property
    def place(self) -> str:
        """Where clients reach it, as no other listener has it."""
        return f"{self.mode} {self.address} {self.socket or self.port}"


HostNames = Annotated[tuple[HostName, ...], AfterValidator(check_filled), NotEmpty]


class FurtherPair(Section):
    """A certificate beside another one for the same names, with a key of another kind: RSA beside ECDSA."""

    certificate: FilePath
    private_key: FilePath


class ServerName(Section):
    """One more certificate of the server, for clients that ask for one of *names*."""

    names: HostNames
    certificate: FilePath
    private_key: FilePath
    also: tuple[FurtherPair, ...] = ()


class TLS(Section):
    """The server's identity, and the protection that clients must use."""

    certificate: FilePath = Field(default=Path("tls/fullchain.pem"), validate_default=True)
    private_key: FilePath = Field(default=Path("tls/privkey.pem"), validate_default=True)
    also: tuple[FurtherPair, ...] = ()
    minimum_version: TLSVersion = "1.2"
    maximum_version: MaximumTLSVersion = "auto"
    require: Literal["control-and-data", "control", "none"] = "control-and-data"
    data_session_reuse: Literal["required", "offered"] = "required"
    ticket_lifetime: TicketLifetime = 3600.0
    client_certificates: ClientCertificates = ClientCertificates()
    server_names: tuple[ServerName, ...] = ()
    allow_ccc: Switch = False


class VirtualHost(Section):
    """A server of its own under this one's addresses: names, users, banner and, optionally, a certificate."""

    names: HostNames
    users: FilePath
    accounts: Order = ("file",)
    certificate: FilePath | None = None
    private_key: FilePath | None = None
    also: tuple[FurtherPair, ...] = ()
    client_certificates: ClientCertificates | None = None
    authentication: LoginMethod | None = None
    second_factor: Literal["required"] | None = None
    banner: Banner | None = None


class PublicAddressFor(Section):
    """The address that is announced to clients from some networks."""

    networks: Annotated[tuple[NetworkField, ...], AfterValidator(check_filled), NotEmpty]
    address: PublicAddress


class Passive(Section):
    """The data ports that clients connect to."""

    ports: Ports = PortRange(3000, 3050)
    public_address: Announced = "auto"
    public_address_for: tuple[PublicAddressFor, ...] = ()
    proxy_protocol: ProxyProtocol | None = None


class Active(Section):
    """Data connections that the server makes."""

    enabled: Switch = True
    source_port: Port = 20


class Limits(Section):
    """The bounds of clients; durations in seconds, rates in bytes per second for each session."""

    connections: Count = 2000
    connections_per_address: Count = 50
    connection_rate: Arrivals = Field(default=ArrivalRate(1000, 10), json_schema_extra={"default": "1000/10s"})
    handshake_rate: Arrivals = Field(default=ArrivalRate(1000, 10), json_schema_extra={"default": "1000/10s"})
    sessions_per_user: Count = 50
    login_timeout: Duration = 60.0
    idle_timeout: Duration = 600.0
    stall_timeout: Duration = 300.0
    data_connect_timeout: Duration = 60.0
    handshake_timeout: Duration = 30.0
    failed_logins: Count = 3
    download_rate: Limit = Field(default=None, json_schema_extra={"default": "unlimited"})
    upload_rate: Limit = Field(default=None, json_schema_extra={"default": "unlimited"})


class Uploads(Section):
    """The way from an upload to a file."""

    mode: Literal["atomic", "direct"] = "atomic"
    durable: Switch = True
    keep_partial: DurationOrZero = 86400.0
    umask: Mode = Field(default=0o077, json_schema_extra={"default": "077"})


class PGP(Section):
    """The uploads that are encrypted or decrypted on their way to the disk."""

    paths: Patterns
    users: tuple[NonEmptyText, ...] = ()
    encrypt_to: tuple[KeyId, ...] = ()
    sign_with: KeyId | None = None
    armor: Switch = False
    decrypt: Switch = False
    verify_from: tuple[Fingerprint, ...] = ()
    max_expansion: Count = 100
    timeout: Duration = 30.0


class Retention(Section):
    """The files that go when they are so old, and where to."""

    paths: Patterns
    users: tuple[NonEmptyText, ...] = ()
    after: Duration
    archive: FilePath | None = None
    at_once: Percent = 25


class Audit(Section):
    """The place of the audit log, what makes evidence of it, and where it is sent."""

    log: LogTarget = "stdout"
    format: Literal["json", "text"] = "json"
    events: Annotated[tuple[EventWord, ...], NotEmpty] = ("all",)
    xferlog: FilePath | None = None
    sha256: Switch = True
    chain: AuditChain | None = None
    ship: tuple[ShipTarget, ...] = ()


class SecondFactorMemory(Section):
    """Whether every user needs a second factor, and for how many seconds one is remembered; 0: never."""

    required: Switch = False
    remember: DurationOrZero = 900.0


class Log(Section):
    """The amount of the daemon's own log."""

    level: Literal["debug", "info", "warn", "error", "critical"] = "info"


class Metrics(Section):
    """The place of metrics, health and the status page."""

    address: Address = "127.0.0.1"
    port: Port = 9121
    names: SpokenNames = "auto"
    sessions: Switch = False


class ControlGroups(Section):
    """The groups of this machine whose members may look at the running server, and those who may give it orders."""

    viewer: GroupName | None = None
    operator: GroupName | None = None


class Workers(Section):
    """The sizes of the thread pools; "auto" follows the processors."""

    login: Threads = 2
    files: Threads = 4
    transfer: TransferThreads = "auto"


class Config(Section):
    """One ftpsd.yaml."""

    listeners: Annotated[tuple[Listener, ...], AfterValidator(check_filled), NotEmpty] = (
        Listener(mode="explicit", port=21),
        Listener(mode="implicit", port=990),
    )
    tls: TLS = Field(default_factory=TLS)
    passive: Passive = Passive()
    active: Active = Active()
    users: FilePath = Field(default=Path("users.yaml"), validate_default=True)
    accounts: Order = ("file",)
    ldap: LDAP | None = None
    pam: PAM | None = None
    http: HTTP | None = None
    authentication: LoginMethod = "password"
    limits: Limits = Limits()
    penalties: Penalties = Penalties()
    uploads: Uploads = Uploads()
    encryption: Encryption | None = None
    accept: tuple[AcceptRule, ...] = ()
    scanning: Scanning = Scanning()
    quarantine: QuarantineSection = Field(default_factory=QuarantineSection)
    symlinks: Literal["inside", "none"] = "inside"
    pgp: tuple[PGP, ...] = ()
    retention: tuple[Retention, ...] = ()
    mode_z: Switch = False
    default_type: Literal["binary", "ascii"] = "binary"
    audit: Audit = Audit()
    log: Log = Log()
    metrics: Metrics | None = Metrics()
    second_factor: SecondFactorMemory = SecondFactorMemory()
    control_socket: ControlSocket = DEFAULT_SOCKET
    control_groups: ControlGroups = ControlGroups()
    state: FilePath | None = Path("/var/lib/ftpsd/state.db")
    events: Events | None = None
    expectations: tuple[Expectation, ...] = ()
    receipts: ReceiptSigning | None = None
    workflows: tuple[Workflow, ...] = ()
    mail: Mail | None = None
    partners: tuple[Partner, ...] = ()
    jobs: tuple[Job, ...] = ()
    backup_key: FilePath | None = None
    expired_certificate: Literal["refuse", "serve"] = "refuse"
    drain_timeout: DurationOrZero = 300.0
    handover_timeout: DurationOrZero = 86400.0
    banner: Banner = "FTPS server ready."
    virtual_hosts: tuple[VirtualHost, ...] = ()
    workers: Workers = Workers()
    processes: Processes = 1

    _document: Document | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _fill_empty_sections(cls, data: Any) -> Any:
        # A section whose keys are all commented out is null in YAML. Filling it even where it is absent has the paths
        # among its defaults resolved like any other.
        if not isinstance(data, dict):
            return data
        return {**data, **{name: {} for name in EMPTY_MEANS_DEFAULT if data.get(name) is None}}

    @property
    def key_home(self) -> Path | None:
        """Return the directory of our OpenPGP keys, beside the state file; None without one."""
        return None if self.state is None else self.state.parent / "pgp"

    @property
    def key_of_backups(self) -> Path | None:
        """Return the file of the key that signs lists of backups: the one named, or else one beside the state file."""
        if self.backup_key is not None or self.state is None:
            return self.backup_key
        return self.state.parent / "backup.key"

    @property
    def file(self) -> str:
        """Return the name of the file as the caller gave it, "" for a configuration that was not read from one."""
        return self._document.file if self._document else ""

    def complaint(self, key: Key, message: str, severity: Severity = "error") -> ConfigError:
        """Place a complaint at *key* of the file this was read from."""
        if self._document is None:
            return ConfigError("", 0, 0, ".".join(map(str, key)), message, severity)
        return self._document.error(key, message, severity)


def needs_second_factor(config: Config, host: Config | VirtualHost) -> bool:
    """Return whether every user of *host*, the whole of *config* for the default one, needs a second factor."""
    is_own = isinstance(host, VirtualHost) and host.second_factor is not None
    return config.second_factor.required or is_own


EMPTY_MEANS_DEFAULT: Final = (
    "tls",
    "passive",
    "active",
    "limits",
    "penalties",
    "uploads",
    "scanning",
    "quarantine",
    "audit",
    "log",
    "second_factor",
    "control_groups",
    "workers",
)
