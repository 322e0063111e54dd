"""
What a changed ftpsd.yaml allows that was not allowed before, for the server as a whole, in sentences.

Every key of the file is in one of the tables here, and a test holds that: one that nobody had thought of would be
passed over in silence, and `ftpsd plan` say that nothing is allowed. What is about users is in `auth/widening.py`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from math import inf
from pathlib import Path
from typing import Any, Final

from ftpsd.config.banning import ArrivalRate
from ftpsd.config.fields import Network
from ftpsd.config.model import Config, Listener, ProxyProtocol, VirtualHost
from ftpsd.values.login.login_method import proves_less

# The values of a key in the order of what they protect: what comes later protects less.
ORDERS: Final[dict[str, tuple[object, ...]]] = {
    "tls.require": ("control-and-data", "control", "none"),
    "tls.minimum_version": ("1.3", "1.2"),
    "tls.data_session_reuse": ("required", "offered"),
    "tls.allow_ccc": (False, True),
    "tls.client_certificates.request": ("required", "optional", "never"),
    "expired_certificate": ("refuse", "serve"),
    "penalties.enabled": (True, False),
    "active.enabled": (False, True),
    "symlinks": ("none", "inside"),
    "uploads.mode": ("atomic", "direct"),
    "second_factor.required": (True, False),
    "metrics.sessions": (False, True),
    "audit.sha256": (True, False),
}
# More of it allows more; null is the most.
MORE: Final = (
    "tls.ticket_lifetime",
    "limits.connections",
    "limits.connections_per_address",
    "limits.connection_rate",
    "limits.handshake_rate",
    "limits.sessions_per_user",
    "limits.failed_logins",
    "limits.download_rate",
    "limits.upload_rate",
    "penalties.failures",
    "penalties.known_for",
    "penalties.network.failures",
    "penalties.network.ipv4",
    "penalties.network.ipv6",
    "second_factor.remember",
)
# Less of it allows more.
LESS: Final = (
    "scanning.limit",
    "penalties.window",
    "penalties.ban",
    "penalties.max_ban",
    "penalties.weights.wrong_password",
    "penalties.weights.unknown_user",
    "penalties.weights.second_factor_failed",
    "penalties.weights.dropped_login",
    "penalties.weights.login_timeout",
    "penalties.weights.not_ftp",
    "penalties.weights.too_many_commands",
    "penalties.weights.broken_protocol",
    "penalties.weights.handshake_failed",
    "penalties.weights.no_login",
)
# Another value lets in others, or shows more to somebody; without one there is nothing.
OPENS: Final = (
    "tls.client_certificates.authorities",
    "ldap",
    "pam",
    "http",
    "mail",
    "control_groups.viewer",
    "control_groups.operator",
    "metrics.names",
)
# Another value protects in another way, and none protects nothing.
PROTECTS: Final = (
    "tls.client_certificates.crl",
    "audit.log",
    "audit.events",
    "audit.chain",
    "audit.ship",
)
# Lists of rules that all hold: a further one takes away, one that is gone or another allows more.
RULES: Final = ("accept", "pgp")
# Lists of sections with a name, each of which moves files, or runs programs.
NAMED: Final = ("events", "workflows", "partners", "jobs")
# Compared by code of their own, here or where users are.
COMPARED: Final = (
    "listeners",
    "passive.proxy_protocol",
    "penalties.exempt",
    "uploads.umask",
    "metrics.address",
    "metrics.port",
    "accounts",
    "authentication",
    "virtual_hosts",
    "users",
)
# Keys that open nothing: identity, times, places, what the operator is told.
OPEN_NOTHING: Final = (
    "tls.certificate",
    "tls.private_key",
    "tls.also",
    "tls.maximum_version",
    "tls.server_names",
    "passive.ports",
    "passive.public_address",
    "passive.public_address_for",
    "active.source_port",
    "limits.login_timeout",
    "limits.idle_timeout",
    "limits.stall_timeout",
    "limits.data_connect_timeout",
    "limits.handshake_timeout",
    "uploads.durable",
    "uploads.keep_partial",
    "encryption",
    "scanning.timeout",
    "scanning.hidden_for",
    "quarantine.directory",
    "quarantine.max_size",
    "quarantine.keep",
    "retention",
    "mode_z",
    "default_type",
    "audit.format",
    "audit.xferlog",
    "log.level",
    "control_socket",
    "state",
    "expectations",
    "receipts",
    "backup_key",
    "drain_timeout",
    "handover_timeout",
    "banner",
    "workers.login",
    "workers.files",
    "workers.transfer",
    "processes",
)


def loosened(before: Config, after: Config) -> Iterator[str]:
    """Yield a sentence for each way in which the server as a whole allows more. Blocks: it reads authorities."""
    for key, order in ORDERS.items():
        old, new = value_of(before, key), value_of(after, key)
        if old in order and new in order and order.index(new) > order.index(old):
            yield f"{key} is {_word(new)}, before {_word(old)}"
    for key in (*MORE, *LESS):
        old, new = value_of(before, key), value_of(after, key)
        if _number(new) > _number(old) if key in MORE else _number(new) < _number(old):
            yield f"{key} is {_word(new)}, before {_word(old)}"
    for key in (*OPENS, *PROTECTS):
        old, new = value_of(before, key), value_of(after, key)
        if key == "audit.events" and new == ("all",):
            continue
        if (new if key in OPENS else old) not in (None, ()) and not _is_same(old, new):
            yield f"{key} is gone" if new in (None, ()) else f"{key} has changed; read it"
    yield from _listeners(before, after)
    for key in RULES:
        yield from without(value_of(before, key), value_of(after, key), key)
    for key in NAMED:
        yield from _named(_list(before, key), _list(after, key), key)
    if set(after.penalties.exempt) - set(before.penalties.exempt):
        yield "more addresses are exempt from penalties"
    yield from _trusting(before.passive.proxy_protocol, after.passive.proxy_protocol, "passive ports")
    if before.uploads.umask & ~after.uploads.umask:
        yield f"uploads.umask is {after.uploads.umask:03o}, before {before.uploads.umask:03o}"
    place, known = _place_of_metrics(after), _place_of_metrics(before)
    if place and place != known:
        yield f"metrics and status page are at another place: {place}"
    yield from _hosts(before, after)


def without(before: Iterable[Any], after: Iterable[Any], noun: str) -> Iterator[str]:
    """Yield a sentence for each rule of *before* that is not in *after*; each of them takes something away."""
    left, gone = list(after), []
    for rule in before:
        if rule in left:
            left.remove(rule)
        else:
            gone.append(rule)
    for rule in gone:
        where = ", ".join(map(str, rule.paths))
        has_changed = any(other.paths == rule.paths for other in left)
        yield f"the {noun} rule of {where} {'has changed; read it' if has_changed else 'is gone'}"


def value_of(config: Config, key: str) -> Any:
    """Return the value of *key*, with dots between its parts; None where its section is off."""
    found: Any = config
    for part in key.split("."):
        found = getattr(found, part, None)
    return found


def _list(config: Config, key: str) -> Sequence[Any]:
    found = value_of(config, key)
    return () if found is None else found.sinks if key == "events" else found


def _named(before: Iterable[Any], after: Iterable[Any], key: str) -> Iterator[str]:
    known = {each.name: each for each in before}
    for each in after:
        if each != known.get(each.name):
            yield f"{key}: {each.name} {'has changed' if each.name in known else 'is new'}; read it"


def _listeners(before: Config, after: Config) -> Iterator[str]:
    known = {listener.place: listener for listener in before.listeners}
    for listener in after.listeners:
        old, place = known.get(listener.place), _entrance(listener)
        if old is None:
            yield f"it listens at another place: {place}"
            continue
        if old.proxy_protocol is not None and listener.proxy_protocol is None:
            yield f"clients reach it without the proxy: {place}"
        yield from _trusting(old.proxy_protocol, listener.proxy_protocol, place)
        yield from _certificates(old, listener, place)


def _hosts(before: Config, after: Config) -> Iterator[str]:
    known: dict[str, VirtualHost] = {host.names[0]: host for host in before.virtual_hosts}
    yield from _logins(before, after, before.authentication, after.authentication, "")
    for host in after.virtual_hosts:
        old = known.get(host.names[0])
        label = f"host {host.names[0]}: "
        if old is None:
            if host.accounts != ("file",):
                yield f"{label}its users are those of {', '.join(host.accounts)}"
            continue
        had, has = old.authentication or before.authentication, host.authentication or after.authentication
        if host.authentication == old.authentication:
            had = has  # what it has from the server was told there
        yield from _logins(old, host, had, has, label)
        yield from _certificates(old, host, label.removesuffix(": "))
        if old.second_factor and not host.second_factor and not after.second_factor.required:
            yield f"{label}second_factor is not required any more"


def _logins(
    old: Config | VirtualHost, new: Config | VirtualHost, old_method: Any, new_method: Any, label: str
) -> Iterator[str]:
    for source in new.accounts:
        if source not in old.accounts:
            yield f"{label}users of {source} may log in, too"
    if proves_less(new_method, old_method):
        yield f"{label}authentication is {new_method}, before {old_method}"


def _certificates(old: Listener | VirtualHost, new: Listener | VirtualHost, place: str) -> Iterator[str]:
    had, has = old.client_certificates, new.client_certificates
    if had is None:
        if has is not None and has.authorities is not None:
            yield f"{place}: client_certificates.authorities has changed; read it"
        return
    order = ORDERS["tls.client_certificates.request"]
    if order.index("never" if has is None else has.request) > order.index(had.request):
        yield f"{place}: client_certificates.request is {'never' if has is None else has.request}, before {had.request}"
    if has is not None and has.authorities is not None and not _is_same(had.authorities, has.authorities):
        yield f"{place}: client_certificates.authorities has changed; read it"
    if had.crl is not None and (has is None or not _is_same(had.crl, has.crl)):
        yield f"{place}: client_certificates.crl has changed; read it"


def _trusting(old: ProxyProtocol | None, new: ProxyProtocol | None, place: str) -> Iterator[str]:
    known: Sequence[Network] = () if old is None else old.trusted
    fresh = () if new is None else [network for network in new.trusted if network not in known]
    if fresh:
        yield f"{place}: {', '.join(map(str, fresh))} may say who a client is (PROXY header)"


def _place_of_metrics(config: Config) -> str:
    return "" if config.metrics is None else f"{config.metrics.address} port {config.metrics.port}"


def _entrance(listener: Listener) -> str:
    return f"{listener.mode} on {listener.socket or f'{listener.address} port {listener.port}'}"


def _is_same(old: object, new: object) -> bool:
    """Return whether two values are the same; of files, whether they hold the same, wherever they lie."""
    if old == new or not (isinstance(old, Path) and isinstance(new, Path)):
        return old == new
    try:
        return old.is_file() and new.is_file() and old.read_bytes() == new.read_bytes()
    except OSError:
        return False


def _number(value: Any) -> float:
    if value is None:
        return inf
    return value.arrivals / value.seconds if isinstance(value, ArrivalRate) else float(value)


def _word(value: Hashable) -> str:
    if isinstance(value, ArrivalRate):
        return f"{value.arrivals}/{value.seconds:g}s"
    if value is None:
        return "without a limit"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
