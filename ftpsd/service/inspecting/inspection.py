"""
The whole inspection of a configuration: every error and doubt about it and the files it names, before it is served.
`ftpsd check` prints it, start and reload refuse errors and log warnings, the doctor begins with it.
"""

from __future__ import annotations

import errno
import os
import shlex
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path

from ftpsd.audit.topics.every_event import NOT, logged_events, unknown
from ftpsd.config.checks.doubts import is_private, out_of_reach
from ftpsd.config.checks.named_files import Findings, by_file, examine, users_files
from ftpsd.config.model import Config, VirtualHost, needs_second_factor
from ftpsd.config.parsing.document import ConfigError, Key
from ftpsd.config.reading import load_config
from ftpsd.config.users import UserRecord, Users
from ftpsd.durable.opening import is_begun, trouble_with
from ftpsd.service.building.pairs import Certificates, load_certificates
from ftpsd.service.building.vaults import troubles
from ftpsd.service.changing.addresses import look_up_ipv4
from ftpsd.service.inspecting.access import try_trees
from ftpsd.service.inspecting.kept_places import unusable_archives
from ftpsd.service.inspecting.old_hashes import staying, unverifiable
from ftpsd.service.inspecting.pgp_keys import unusable_keys
from ftpsd.service.inspecting.pinned import left_over, outlived
from ftpsd.values.login.second_factor import SecondFactor
from ftpsd.wire.address import is_literal

LookUp = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Inspection:
    """
    A configuration and all findings about it.

    *of_one_user* are those of the complaints that keep one user out and concern no other.
    """

    config: Config
    findings: Findings
    certificates: Certificates
    complaints: tuple[ConfigError, ...]
    of_one_user: frozenset[ConfigError]


def inspect(path: Path, trusted: frozenset[int] | None = None, *, standing: frozenset[str] = frozenset()) -> Inspection:
    """
    Read ftpsd.yaml at *path* and look at everything it names, as the user of this process. Blocks, but not on DNS.

    *trusted* are the numbers of the users who may own its files, *standing* as for `load_certificates`.

    Raises:
        ConfigErrors: ftpsd.yaml cannot be used.
    """
    config = load_config(path)
    findings = examine(config, trusted)
    errors = [complaint for complaint in findings.complaints if complaint.severity == "error"]
    certificates = load_certificates(config, errors, standing)
    tried = [complaint for users in findings.everybody for complaint in try_trees(users)]
    tried += [complaint for users in findings.everybody for complaint in unverifiable(users)]
    tried += state_trouble(config, findings.everybody)
    found = [*findings.complaints, *certificates.complaints, *strange_addresses(config), *tried]
    found += [*without_second_factor(config, findings)]
    found += [*second_factors(config, findings.everybody), *unusable_keys(config), *unusable_archives(config)]
    found += troubles(config, findings.master_keys, everybody_in(findings))
    found += unknown_events(config)
    found += outlived(config, findings.everybody)
    names = ["", *(section.names[0] for section in config.virtual_hosts)]
    by_host = zip(names, [findings.users, *findings.hosts], strict=True)
    found += left_over(config, {host: users for host, users in by_host if users is not None})
    return Inspection(
        config,
        findings,
        certificates,
        tuple(by_file(found)),
        findings.of_one_user | {complaint for complaint in tried if complaint.severity == "error"},
    )


def everybody_in(findings: Findings) -> Iterator[UserRecord]:
    """Yield the users of all hosts."""
    for users in findings.everybody:
        yield from users.users.values()


def unknown_events(config: Config) -> Iterator[ConfigError]:
    """Yield a complaint about each word of `audit.events` that names no event."""
    for number, word in unknown(config.audit.events):
        near = get_close_matches(word.removeprefix(NOT), logged_events(), 1)
        meant = f"did you mean {near[0]}? " if near else ""
        sentence = f"there is no event {word.removeprefix(NOT)}; {meant}`ftpsd audit events` lists them"
        yield config.complaint(("audit", "events", number), sentence)


def old_hashes(inspection: Inspection) -> Iterator[ConfigError]:
    """Yield hints about hashes that stay of an older kind, for people who look: starts and reloads do not log them."""
    findings, config = inspection.findings, inspection.config
    everybody = [findings.users, *findings.hosts]
    files = {path: users for (_, path), users in zip(users_files(config), everybody, strict=True) if users is not None}
    return staying(files.items(), os.geteuid())


def state_trouble(config: Config, everybody: Sequence[Users]) -> Iterator[ConfigError]:
    """
    Yield a complaint about a state file that cannot be used, an error where users need it.

    Nobody with a second factor is let in without it, and all others are.
    """
    trouble = None if config.state is None else trouble_with(config.state)
    count = len(list(_with_second_factor(everybody)))
    if trouble is not None:
        more = f"; until it can, {count} users with a second factor cannot log in" if count else ""
        yield config.complaint(("state",), f"{config.state}: {trouble}{more}", "error" if count else "warning")
    elif config.state is not None and count and not is_begun(config.state):
        message = (
            f"{config.state} is not there, and a new one is begun: it knows of no used code, no enrolled certificate "
            "and no ban. Codes are refused for a minute from then on. If there was one before, bring it back from a "
            "backup, or make new recovery codes, for those of before are refused: ftpsd user otp NAME --recovery"
        )
        yield config.complaint(("state",), message, "warning")


def second_factors(config: Config, everybody: Sequence[Users]) -> Iterator[ConfigError]:
    """Yield a complaint about each user whose second factor cannot be checked, or is not there."""
    for users, name, factor in _with_second_factor(everybody):
        key = ("users", name, "second_factor")
        if config.state is None:
            message = "needs a state file, and `state` is null, so that codes could be used twice; name a file there"
            yield users.complaint(key, message)
        elif not factor.is_enrolled:
            run = f"ftpsd user otp {shlex.quote(name)}"
            yield users.complaint(key, f"none is enrolled, so the user cannot log in; run: {run}", "warning")


def without_second_factor(config: Config, findings: Findings) -> Iterator[ConfigError]:
    """Yield a complaint about each user without a second factor on a host where all need one."""
    hosts: list[tuple[Config | VirtualHost, Users | None]] = [(config, findings.users)]
    hosts += zip(config.virtual_hosts, findings.hosts, strict=True)
    for section, users in hosts:
        if not needs_second_factor(config, section):
            continue
        place = "second_factor.required" if config.second_factor.required else "its virtual host"
        if config.state is None:
            key: Key = ("second_factor", "required")
            if isinstance(section, VirtualHost):
                key = ("virtual_hosts", config.virtual_hosts.index(section), "second_factor")
            yield config.complaint(key, "needs a state file, and `state` is null; name a file there")
        if users is None:
            continue
        names = [name for name, user in users.users.items() if user.enabled and user.second_factor is None]
        names += (
            name
            for name, entry in users.from_sources.items()
            if entry.enabled and entry.second_factor is None and entry.source != "http"
        )
        for name in names:
            run = f"ftpsd user otp {shlex.quote(name)}"
            said = f"{place} asks for a second factor, and none is enrolled, so the user cannot log in; run: {run}"
            yield users.complaint(("users", name), said, "warning")


def _with_second_factor(everybody: Sequence[Users]) -> Iterator[tuple[Users, str, SecondFactor]]:
    for users in everybody:
        for name, factor in users.second_factors():
            yield users, name, factor


def strange_addresses(config: Config) -> Iterator[ConfigError]:
    """Warn of addresses to listen on that this machine does not have: opening the port will fail."""
    places: list[tuple[Key, str]] = [
        (("listeners", number, "address"), listener.address)
        for number, listener in enumerate(config.listeners)
        if listener.socket is None
    ]
    if config.metrics is not None:
        places.append((("metrics", "address"), config.metrics.address))
    for key, address in places:
        if not _is_here(address):
            message = f"no interface of this machine has {address}, so the port cannot be opened; see `ip address`"
            yield config.complaint(key, message, "warning")


def unresolved(config: Config, look_up: LookUp = look_up_ipv4) -> Iterator[ConfigError]:
    """Warn of names to be announced that DNS does not know, or knows by private addresses. Blocks on DNS."""
    passive = config.passive
    names: list[tuple[Key, str]] = [(("passive", "public_address"), passive.public_address)]
    names += (
        (("passive", "public_address_for", number, "address"), choice.address)
        for number, choice in enumerate(passive.public_address_for)
        if not all(network.is_private for network in choice.networks)
    )
    for key, name in names:
        if name == "auto" or is_literal(name):
            continue
        try:
            address = look_up(name)[0]
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else "no name that DNS can hold"
            message = f"{name} cannot be resolved ({why}), so clients are told the address they reached"
            yield config.complaint(key, message, "warning")
        else:
            if is_private(address):
                yield config.complaint(key, f"{name}: {out_of_reach(address)}", "warning")


def _is_here(address: str) -> bool:
    """Ask the kernel, with a port of its choice."""
    if ip_address(address).is_unspecified:
        return True
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.bind((address, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)
    return True
