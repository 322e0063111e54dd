"""
Values that can be served and are probably not meant, by the values alone: warnings. A password hash that is not whole
is an error of one user, who cannot log in with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address

from ftpsd.config.checks.hashes import fault_of, looks_cut_off
from ftpsd.config.checks.unit import NAME, Unit
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError
from ftpsd.config.units import show_duration
from ftpsd.config.users import Users


def doubts_about(config: Config, unit: Unit) -> Iterator[ConfigError]:
    """Yield warnings about ftpsd.yaml, which the daemon of *unit* serves."""
    metrics = config.metrics
    if metrics is not None and _is_open(metrics.address):
        yield config.complaint(
            ("metrics", "address"),
            f"{metrics.address} shows metrics and status page to everybody who reaches this machine; "
            "write 127.0.0.1, or an address of an inner network",
            "warning",
        )
    if unit.stop_timeout is not None and config.drain_timeout >= unit.stop_timeout:
        whose = str(unit.file) if unit.file is not None else f"{NAME} as it comes with ftpsd"
        yield config.complaint(
            ("drain_timeout",),
            f"{show_duration(config.drain_timeout)} is not below the {show_duration(unit.stop_timeout)} after which "
            f"systemd kills the daemon (TimeoutStopSec= of {whose}); raise that too, or write less here",
            "warning",
        )
    yield from _announced(config)


def doubts_about_users(users: Users, now: datetime | None = None, *, is_alone: bool = True) -> Iterator[ConfigError]:
    """
    Yield complaints about a users file, at the time *now*; each concerns one user, or that there is none.

    *is_alone* where there is no other source of users.
    """
    if is_alone and not users.users:
        yield users.complaint(("users",), "no user is there, so nobody can log in; add one: ftpsd user add", "warning")
    now = now or datetime.now(UTC)
    for user in users.users.values():
        if not user.enabled:
            continue
        if user.expires is not None and user.expires <= now:
            when = user.expires.astimezone(UTC)
            message = f"in the past since {when:%Y-%m-%d %H:%M} UTC, so the user cannot log in; write a later date"
            yield users.complaint(("users", user.name, "expires"), message, "warning")
        if user.password is None:
            continue
        if wrong := fault_of(user.password):
            yield users.complaint(("users", user.name, "password"), wrong)
        elif doubt := looks_cut_off(user.password):
            yield users.complaint(("users", user.name, "password"), doubt, "warning")


def _announced(config: Config) -> Iterator[ConfigError]:
    """Warn of addresses that a 227 announces to clients which cannot reach them."""
    passive = config.passive
    addresses = [(("passive", "public_address"), passive.public_address)]
    for number, choice in enumerate(passive.public_address_for):
        if not all(network.is_private for network in choice.networks):
            addresses.append((("passive", "public_address_for", number, "address"), choice.address))  # type: ignore[arg-type]
    for key, address in addresses:
        if is_private(address):
            yield config.complaint(key, out_of_reach(address), "warning")


def is_private(address: str) -> bool:
    """Return whether *address* is literal and none that clients in the Internet can reach; names are not resolved."""
    try:
        return not ip_address(address).is_global
    except ValueError:
        return False


def out_of_reach(address: str) -> str:
    """Warn of an *address* that is announced."""
    return (
        f"{address} cannot be reached from the Internet, so passive mode fails for clients there; name the outer "
        "address, and inner ones under passive.public_address_for"
    )


def _is_open(address: str) -> bool:
    parsed = ip_address(address)
    return parsed.is_unspecified or parsed.is_global
