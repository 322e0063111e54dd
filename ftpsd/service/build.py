"""
From files to a Runtime: read everything, complain about everything at once, build everything, or change nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from twisted.cred.portal import Portal
from twisted.logger import Logger

from ftpsd.auth.certified.pinning import EnrollingChecker
from ftpsd.auth.checker import UsersChecker, has_second_factors
from ftpsd.auth.realm import Pgp, Quotas, Realm
from ftpsd.auth.sources.assembly import Assembly
from ftpsd.config.model import PGP, Config, VirtualHost, needs_second_factor
from ftpsd.config.users import Users
from ftpsd.control.state.hosts import Host, Hosts, Named
from ftpsd.control.state.runtime import Runtime
from ftpsd.data.active import Dialer
from ftpsd.data.dtp import DataSettings
from ftpsd.events.workflows.workflow_making import Workflows
from ftpsd.scanning.accept_gate import GateParts
from ftpsd.scanning.gates import Gates
from ftpsd.scanning.quarantine import Quarantine
from ftpsd.scanning.verdict import Verdict
from ftpsd.scanning.waiting.hidden_place import HiddenPlace
from ftpsd.service.building.client_policies import client_policies
from ftpsd.service.building.job_means import job_means
from ftpsd.service.building.pairs import shown_by
from ftpsd.service.building.trees_of_users import TreesOfUsers
from ftpsd.service.building.upload_policy import upload_policy
from ftpsd.service.building.vaults import make_vault
from ftpsd.service.changing.addresses import PublicAddresses
from ftpsd.service.load import Loaded
from ftpsd.service.parts import Parts
from ftpsd.service.share import Duty
from ftpsd.storage.pgp.key_home import KeyHome
from ftpsd.storage.pgp.treatment import Treatment
from ftpsd.storage.sealing.trees import Contents
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.clients.client_policy import ClientPolicy
from ftpsd.tls.session_tls import TLSPolicy
from ftpsd.values.login.login_method import LoginMethod

log = Logger()


def build_runtime(loaded: Loaded, parts: Parts) -> Runtime:
    """Put the Runtime of *loaded* together, out of the process's *parts*."""
    config = loaded.config
    policy = upload_policy(config)
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
    hosts, realms = _hosts(loaded, parts, policy)
    parts.holdings.use(hosts)
    parts.tickets.lifetime = config.tls.ticket_lifetime
    parts.penalties.use(config)
    parts.ledger.use(config.events)
    parts.jobs.use(config.jobs, job_means(loaded, hosts, parts.reactor, parts.path))
    keys = None if config.key_home is None else KeyHome(config.key_home)
    parts.trees = TreesOfUsers(hosts, realms)
    partners = {each.name: (each, loaded.partner_files[each.name]) for each in config.partners}
    workflows = Workflows(config.workflows, config.mail, keys, parts.trees, partners)
    receipts = None if loaded.signing_files is None else (loaded.signing_files, parts.trees)
    parts.deliveries.use(config.events, loaded.sink_files, workflows, receipts)
    parts.lookout.use(config.expectations)
    if Duty.DELIVER in parts.duties:
        parts.metrics.expects(each.name for each in config.expectations)
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
            shown=shown_by(config),
        ),
        public_address=PublicAddresses(config.passive, parts.upkeep, parts.resolved),
    )


def pgp_of(config: Config) -> Pgp | None:
    """Return what goes through gpg, None for nothing."""
    if not config.pgp or config.key_home is None:
        return None
    return Pgp(tuple(map(treatment_of, config.pgp)), KeyHome(config.key_home))


def treatment_of(rule: PGP) -> Treatment:
    """Return what *rule* asks for, as the storage has it."""
    return Treatment(
        paths=rule.paths,
        users=rule.users,
        encrypt_to=rule.encrypt_to,
        sign_with=rule.sign_with,
        armor=rule.armor,
        decrypts=rule.decrypt,
        verify_from=rule.verify_from,
        max_expansion=rule.max_expansion,
        patience=rule.timeout,
    )


def gates_of(config: Config, parts: Parts) -> Gates:
    """Return the gates of all trees; their verdicts come from workers and are counted in the reactor thread."""

    def tell(verdict: Verdict, seconds: float) -> None:
        parts.reactor.callFromThread(parts.metrics.judged, verdict.word.value, seconds)

    quarantine = Quarantine(config.quarantine.directory, config.quarantine.max_size)
    # Not more than these are `auto`.
    processes = (os.cpu_count() or 1) if config.processes == "auto" else config.processes
    hidden = HiddenPlace(config.quarantine.directory, config.quarantine.max_size)
    return Gates(config.accept, GateParts(config.scanning, quarantine, hidden, tell, processes))


def _hosts(loaded: Loaded, parts: Parts, policy: UploadPolicy) -> tuple[Hosts, dict[str, Realm]]:
    """Put the default host and the virtual ones together; return the realm of each, too."""
    config, pairs = loaded.config, loaded.certificates
    realms: dict[str, Realm] = {}
    homes = frozenset(user.home for user in loaded.known() if user.quota is not None)
    quotas = Quotas(parts.accounts, homes, parts.upkeep)
    contents = Contents(make_vault(loaded.config, loaded.master_keys), parts.damaged)

    gates = gates_of(config, parts)
    parts.accounts.elsewhere = HiddenPlace(config.quarantine.directory, config.quarantine.max_size).held_for
    parts_of = (parts.reactor, parts.lookup, parts.logins, parts.verified, parts.rehashing.of)
    sources = Assembly(config, loaded.source_files, *parts_of)

    def make(
        name: str,
        section: Config | VirtualHost,
        users: Users,
        banner: str,
        certificate: CertificatePair | None,
        method: LoginMethod,
        clients: Mapping[str, ClientPolicy],
    ) -> Host:
        realm = realms[name] = Realm(
            parts.files,
            policy,
            symlinks=config.symlinks,
            quotas=quotas,
            host=name,
            gates=gates,
            pgp=pgp_of(config),
            contents=contents,
            places=parts.holdings.places,
            lanes=parts.lanes,
        )
        accounts = sources.accounts(section.accounts, section.users, users, name)
        # An endpoint may answer with a user who has one.
        added = any(entry.second_factor is not None for entry in users.from_sources.values())
        splits = added or has_second_factors(users.users.values()) or "http" in section.accounts
        needs = needs_second_factor(config, section)
        checker = UsersChecker(accounts, parts.reactor, method, splits=splits, needs_second_factor=needs)
        enrolments = parts.enrolments(name)
        portal = Portal(realm, [EnrollingChecker(checker, enrolments)])
        return Host(name, banner, accounts, portal, certificate, method, clients, enrolments)

    banner, method, clients = config.banner, config.authentication, client_policies(loaded, None)
    default = make("", config, loaded.users, banner, pairs.main, method, clients)
    names: list[tuple[str, Named]] = []
    for number, entry in enumerate(config.tls.server_names):
        named = Named(default, pairs.pairs["tls", "server_names", number])
        names += [(name, named) for name in entry.names]
    for number, (section, users) in enumerate(zip(config.virtual_hosts, loaded.hosts, strict=True)):
        pair = pairs.pairs.get(("virtual_hosts", number), pairs.main)
        banner = config.banner if section.banner is None else section.banner
        method = section.authentication or config.authentication
        own = None if pair is pairs.main else pair
        clients = client_policies(loaded, number)
        host = make(section.names[0], section, users, banner, own, method, clients)
        names += [(name, Named(host, pair)) for name in section.names]
    return Hosts(default, names), realms
