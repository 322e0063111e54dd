"""
The surroundings of a session: `Runtime`, everything made from one good configuration, and `Shared`, which outlives a
reload.

A reload makes a new Runtime for sessions and logins to come; a session whose user is logged in keeps the one of the
login. Nothing here is changed after it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.interfaces import IReactorTime

from ftpsd.audit.bus import AuditBus
from ftpsd.audit.metrics import Metrics
from ftpsd.auth.factors import SecondFactors
from ftpsd.config.model import Config
from ftpsd.control.gate.penalties import NO_PENALTIES, Penalties
from ftpsd.control.preflight.sightings import Sightings
from ftpsd.control.state.hosts import Hosts
from ftpsd.control.state.limits import Counts, Rates
from ftpsd.data.dtp import DataSettings
from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.live import LiveSessions
from ftpsd.tls.session_tls import TLSPolicy
from ftpsd.workers import Lanes, Workers


@dataclass(frozen=True, slots=True)
class Shared:
    """The parts that every Runtime of a process uses, before and after a reload."""

    clock: IReactorTime
    bus: AuditBus
    metrics: Metrics
    files: Workers
    counts: Counts
    rates: Rates
    live: LiveSessions
    factors: SecondFactors
    penalties: Penalties = NO_PENALTIES
    sightings: Sightings = field(default_factory=Sightings)
    lanes: Lanes | None = None  # for trees that wait for more than a disk; None where all share the workers for files

    def workers(self, waits_for: frozenset[str]) -> Workers:
        """Return the workers for calls that may wait for *waits_for*: what hangs must not keep others from the disk."""
        return self.lanes.of(waits_for) if waits_for and self.lanes is not None else self.files


@dataclass(frozen=True, slots=True)
class Runtime:
    """
    One configuration, ready to serve. *public_address* maps (client, local address) to the address of a 227 reply.
    """

    config: Config
    shared: Shared
    hosts: Hosts
    data: DataSettings
    public_address: Callable[[str, str], str]
    tls: TLSPolicy = field(default_factory=TLSPolicy)

    @property
    def certificate(self) -> CertificatePair | None:
        """The certificate for clients that ask for no other; None for a server without TLS."""
        return self.hosts.default.certificate
