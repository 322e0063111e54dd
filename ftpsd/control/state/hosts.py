"""
Hosts: the default one and the virtual ones, each with its own users, banner and perhaps certificate (RFC 7151).

A client chooses one by the name it asks for in its TLS hello (SNI), or by HOST before it logs in. Names are looked for
among those of the configuration first; the default host also answers to the names of its certificate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from twisted.cred.portal import Portal

from ftpsd.auth.accounts import Accounts
from ftpsd.auth.certified.enrolment import NO_ENROLMENTS, Enrolments
from ftpsd.config.users import UserRecord
from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.clients.client_policy import NO_CERTIFICATES, ClientPolicy
from ftpsd.tls.name_table import NameTable, folded
from ftpsd.tls.served.validity import Shown
from ftpsd.values.login.login_method import PASSWORD, LoginMethod


@dataclass(frozen=True, slots=True, eq=False)
class Host:
    """
    One host; *name* is its first one, "" for the default.

    *certificate* is the one of its own; None for those who share the default host's, and for a server without TLS.
    *method* is that of users who have none of their own. *clients* are the rules for certificates of clients, by the
    place of a listener that has rules of its own, "" for all others.
    """

    name: str
    banner: str
    accounts: Accounts
    portal: Portal
    certificate: CertificatePair | None = None
    method: LoginMethod = PASSWORD
    clients: Mapping[str, ClientPolicy] = field(default_factory=dict)
    enrolments: Enrolments = NO_ENROLMENTS

    def client_policy(self, place: str) -> ClientPolicy:
        """Return the rules for certificates of clients that have come to the listener at *place*."""
        return self.clients.get(place) or self.clients.get("", NO_CERTIFICATES)

    def account(self, user: str) -> str:
        """Return the key of *user* in limits: users of two hosts are two, though they share a name."""
        return account_of(self.name, user)


def account_of(host: str, user: str) -> str:
    """Return the key of *user* of the host whose first name is *host*, "" for the default one."""
    # No name holds a control character, so no two accounts are spelt alike.
    return f"{host}\n{user}" if host else user


@dataclass(frozen=True, slots=True)
class Named:
    """The entry of a name: a host, and the certificate for clients that ask for the name."""

    host: Host
    certificate: CertificatePair | None


class Hosts:
    """The *default* host, and the entries of the *names* of the configuration."""

    def __init__(self, default: Host, names: Iterable[tuple[str, Named]] = ()) -> None:
        self.default = default
        self.names = NameTable(names)
        self._exact = dict(self.names.items())
        own = default.certificate
        self._certified = NameTable((name, Named(default, own)) for name in (own.names if own is not None else ()))
        entries = dict.fromkeys([default, *(named.host for _, named in self.names.items())])
        self.all: tuple[Host, ...] = tuple(entries)

    @property
    def has_names(self) -> bool:
        """Whether a name makes a difference to the certificate or the host."""
        return bool(self.names)

    def known(self) -> list[UserRecord]:
        """Return the users of all hosts that are known without asking a remote source."""
        return [user for host in self.all for user in host.accounts.known()]

    @property
    def are_several(self) -> bool:
        """Whether there is more than the default host."""
        return len(self.all) > 1

    @property
    def certificates(self) -> dict[str, CertificatePair]:
        """
        Every certificate by the first name that it is for; the main one is "default".

        One beside another has its kind behind a slash, which no host name holds: "default/RSA".
        """
        main = self.default.certificate
        if main is None:
            return {}
        found: dict[str, CertificatePair] = {}
        shown: set[str] = set()
        for name, first in (("default", main), *((name, named.certificate) for name, named in self.names.items())):
            for pair in first.all if first is not None else ():
                if pair.fingerprint not in shown:
                    shown.add(pair.fingerprint)
                    found[name if pair is first else f"{name}/{pair.kind}"] = pair
        return found

    def can_show(self, shown: Shown) -> bool:
        """Return whether *shown* has a certificate now, for some name that a client may ask for."""
        pairs = (self.default.certificate, *(named.certificate for _, named in self.names.items()))
        return any(pair is not None and shown.of(pair) is not None for pair in pairs)

    def find(self, name: str) -> Named | None:
        """Return the entry of the *name* in a TLS hello."""
        return self.names.find(name)

    def certificate_for(self, name: str) -> CertificatePair | None:
        """Return the certificate for the *name* in a TLS hello; None for a name that is not configured."""
        named = self.names.find(name)
        return None if named is None else named.certificate

    def now(self, host: Host) -> Host | None:
        """Return the successor of *host*, one of an earlier configuration; None when its name is gone."""
        if not host.name:
            return self.default
        # The very name: where only a wildcard fits it now, that is another host.
        named = self._exact.get(folded(host.name))
        return named.host if named is not None and named.host.name else None

    def called(self, name: str, local_host: str) -> Named | None:
        """
        Return the entry of the *name* of a HOST command.

        The address that the client has reached, *local_host*, is the default host's.
        """
        if name == local_host:
            return Named(self.default, self.default.certificate)
        return self.names.find(name) or self._certified.find(name)
