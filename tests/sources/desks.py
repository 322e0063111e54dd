"""Every source of users, with the same people: alice and bob, and dora, who is disabled; a relay is in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.sources.endpoint import Endpoint
from tests.sources.making import Site, ldap_section, users_file
from tests.sources.pam_ground import Helper, service_of
from tests.sources.relay import Relay
from tests.sources.slapd import Slapd


@dataclass(frozen=True, slots=True)
class Source:
    """
    The source *name*, asked through *relay*; there is none in front of a users file.

    *section* is that of the configuration, *asked* counts connections, questions that were refused at once included.
    """

    name: str
    relay: Relay | None = None
    section: dict[str, Any] = field(default_factory=dict)

    def site(self, before: tuple[str, ...] = (), users: str | None = None, **more: Any) -> Site:
        """Return a site that asks the sources *before*, and this one."""
        sections = {} if self.name == "file" else {self.name: {**self.section, **more}}
        people = users_file("alice", "bob", disabled=("dora",)) if self.name == "file" else users_file()
        return Site([*before, self.name], sections, people if users is None else users)


@contextmanager
def file(folder: Path) -> Iterator[Source]:
    """A users file."""
    yield Source("file")


@contextmanager
def ldap(folder: Path) -> Iterator[Source]:
    """A directory."""
    slapd = Slapd(folder / "directory")
    relay = Relay(slapd.tls_port)
    try:
        place = f"ldaps://localhost:{relay.place}"
        yield Source("ldap", relay, ldap_section(folder, place, authority=str(slapd.identity.authority)))
    finally:
        relay.stop()
        slapd.stop()


@contextmanager
def pam(folder: Path) -> Iterator[Source]:
    """The accounts of a PAM service."""
    helper = Helper(folder / "h", service_of(folder / "s", "alice", "bob", "dora"), "--any-name")
    relay = Relay(helper.socket, folder / "relay.sock")
    section = {"socket": str(relay.place), "homes": ["/srv/ftpsd"], "home": "/srv/ftpsd/{user}"}
    try:
        yield Source("pam", relay, {**section, "default_role": "uploader", "timeout": "1s"})
    finally:
        relay.stop()
        helper.stop()


@contextmanager
def http(folder: Path) -> Iterator[Source]:
    """An endpoint."""
    endpoint = Endpoint(folder / "endpoint")
    relay = Relay(endpoint.port)
    section = {"url": f"https://localhost:{relay.place}/", "authority": str(endpoint.identity.authority)}
    try:
        yield Source("http", relay, {**section, "allow_private": True, "homes": ["/srv/ftpsd"], "timeout": "1s"})
    finally:
        relay.stop()
        endpoint.stop()


SOURCES: dict[str, Callable[[Path], Any]] = {"file": file, "ldap": ldap, "pam": pam, "http": http}
