"""
The sections `ldap`, `pam` and `http` of ftpsd.yaml, and the order in which they are asked.

None of them has a secret in it: passwords and tokens stand in files that they name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, PlainValidator, StrictStr, WithJsonSchema

from ftpsd.config.fields import (
    Duration,
    DurationOrZero,
    FilePath,
    NetworkField,
    NotEmpty,
    Section,
    Switch,
    Threads,
    check_filled,
)
from ftpsd.config.sources.ldap_filter import FilterError, parse_filter
from ftpsd.config.units import describe, split_url

SourceName = Literal["file", "ldap", "pam", "http"]

# RFC 1123 section 2.1, or an address.
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_LDAP_PORTS: Final = {"ldap": 389, "ldaps": 636}


@dataclass(frozen=True, slots=True)
class DirectoryServer:
    """A server of a directory; *is_tls* from the first byte on, else StartTLS follows."""

    host: str
    port: int
    is_tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ldaps' if self.is_tls else 'ldap'}://{host}:{self.port}"

    @property
    def is_here(self) -> bool:
        """Whether the address is one of this machine's loopback."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The parts of an https:// URL."""

    url: str
    host: str
    port: int


def is_host(value: str) -> bool:
    """Return whether *value* is the name or the address of a server."""
    return _HOST.fullmatch(value) is not None


def check_server(value: object) -> DirectoryServer:
    """Accept ldaps://HOST[:PORT], or ldap:// for StartTLS."""
    if isinstance(value, DirectoryServer):
        return value
    if (parts := split_url(value)) is not None:
        url, host, port = parts
        if url.username is not None:
            raise ValueError("a URL holds no password here; see bind_dn and bind_password_file")
        is_whole = url.path in ("", "/") and not url.query and not url.fragment
        if is_whole and url.scheme in _LDAP_PORTS and _HOST.fullmatch(host) and port != 0:
            return DirectoryServer(host, port or _LDAP_PORTS[url.scheme], url.scheme == "ldaps")
    raise ValueError(f"{describe(value)} is not a server; write ldaps://dc1.example.com, or ldap:// for StartTLS")


def check_endpoint(value: object) -> Endpoint:
    """Accept an https:// URL without a user, a password and a fragment."""
    if isinstance(value, Endpoint):
        return value
    if (parts := split_url(value)) is not None:
        url, host, port = parts
        if url.scheme == "http":
            raise ValueError("http:// would send passwords in clear; write https://")
        if url.username is not None or url.password is not None:
            raise ValueError("a URL holds no password here; name a file with a token in token_file")
        if url.scheme == "https" and _HOST.fullmatch(host) and not url.fragment and port != 0 and " " not in str(value):
            return Endpoint(str(value), host, port or 443)
    raise ValueError(f"{describe(value)} is not a URL; write one such as https://accounts.example.com/ftpsd")


def check_home(value: object) -> str:
    """Accept the template of a home: absolute, with {user} as the whole of one name in it."""
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError(f"{describe(value)} is not the template of a home; write one such as /srv/ftpsd/{{user}}")
    names = value.split("/")[1:]
    if names.count("{user}") != 1 or any("{" in name or "}" in name for name in names if name != "{user}"):
        raise ValueError(f"{describe(value)} needs {{user}} once, as the whole of a name: /srv/ftpsd/{{user}}")
    if any(name in (".", "..") for name in names):
        raise ValueError(f"{describe(value)} has . or .. in it; write the path out")
    return value


def check_filter(value: object) -> str:
    """Accept a search filter."""
    if isinstance(value, str):
        try:
            parse_filter(value)
        except FilterError as error:
            raise ValueError(f"{describe(value)} is not a search filter: {error}") from None
        return value
    raise ValueError(f"{describe(value)} is not a search filter; write one such as (uid={{user}})")


def check_user_filter(value: object) -> str:
    """Accept a search filter with {user} in it."""
    found = check_filter(value)
    if "{user}" not in found:
        raise ValueError(f"{describe(found)} finds the same for every name; it needs {{user}}, as in (uid={{user}})")
    return found


def check_group_filter(value: object) -> str:
    """Accept a search filter with {dn} or {user} in it."""
    found = check_filter(value)
    if "{dn}" not in found and "{user}" not in found:
        raise ValueError(f"{describe(found)} finds the same groups for all; it needs {{dn}}, as in (member={{dn}})")
    return found


def check_homes(value: tuple[Path, ...]) -> tuple[Path, ...]:
    """Accept folders below which homes lie: not the root."""
    if any(path == Path("/") for path in value):
        raise ValueError("/ would let the source name any folder of this machine; name the folders of homes alone")
    return value


def _text(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


Server = Annotated[DirectoryServer, PlainValidator(check_server), WithJsonSchema(_text("^ldaps?://"))]
URL = Annotated[Endpoint, PlainValidator(check_endpoint), WithJsonSchema(_text("^https://"))]
Home = Annotated[str, PlainValidator(check_home), WithJsonSchema(_text(r"^/.*\{user\}"))]
UserFilter = Annotated[str, PlainValidator(check_user_filter), WithJsonSchema(_text(r"^\(.*\{user\}.*\)$"))]
GroupFilter = Annotated[str, PlainValidator(check_group_filter), WithJsonSchema(_text(r"^\(.*\)$"))]
Homes = Annotated[tuple[FilePath, ...], AfterValidator(check_filled), AfterValidator(check_homes), NotEmpty]
Word = Annotated[StrictStr, Field(min_length=1, max_length=1000)]
Attribute = Annotated[StrictStr, Field(pattern=r"^[A-Za-z][A-Za-z0-9;.-]*$", max_length=100)]


class Remote(Section):
    """The keys of every source; *defaults* are keys of a user in users.yaml, for all users from there."""

    homes: Homes
    timeout: Duration = 5.0
    cache: DurationOrZero = 30.0
    at_once: Threads = 8
    defaults: dict[str, Any] = {}


class Grouped(Remote):
    """The keys of sources that know groups: roles of users.yaml by group, the first that the user is in."""

    home: Home
    roles: dict[Word, Word] = {}
    default_role: Word | None = None
    disabled_groups: tuple[Word, ...] = ()


class LDAP(Grouped):
    """A directory, asked over LDAP."""

    servers: Annotated[tuple[Server, ...], AfterValidator(check_filled), NotEmpty]
    authority: FilePath | None = None
    allow_plain_on_loopback: Switch = False
    bind_dn: Word
    bind_password_file: FilePath
    search_base: Word
    filter: UserFilter = "(uid={user})"
    name_attribute: Attribute = "uid"
    group_attribute: Attribute | None = "memberOf"
    group_base: Word | None = None
    group_filter: GroupFilter | None = None
    home_attribute: Attribute | None = None
    quota_attribute: Attribute | None = None


class PAM(Grouped):
    """The accounts of this machine, asked through the helper ftpsd-pam."""

    socket: FilePath = Path("/run/ftpsd-pam.sock")


class HTTP(Remote):
    """An HTTPS endpoint."""

    url: URL
    authority: FilePath | None = None
    token_file: FilePath | None = None
    certificate: FilePath | None = None
    private_key: FilePath | None = None
    allow_private: Switch = False
    networks: tuple[NetworkField, ...] = ()


def check_order(value: tuple[SourceName, ...]) -> tuple[SourceName, ...]:
    """Accept an order in which no source is named twice."""
    if not value:
        raise ValueError("must not be empty; name at least one")
    if len(set(value)) < len(value):
        raise ValueError("a source is named twice; remove one")
    return value


Order = Annotated[tuple[SourceName, ...], AfterValidator(check_order), NotEmpty]
