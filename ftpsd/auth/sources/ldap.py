"""
Users of a directory, asked over LDAP (RFC 4511): bind as a service, search, then bind as the user.

* Every question has a connection of its own, in TLS with the server's certificate verified before anything is said.
* A name is found by a search that gives exactly one entry whose own spelling of it is the same: directories compare
  without regard to case and spaces, homes here do not.
* The password is right when the directory lets its owner in by it. An empty one never gets here (`remote.py`).
* Referrals are not followed: they would hand the password to whatever server the answer names.
* The servers are asked in their order; the next one when one is silent, or says that it cannot answer.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from ldaptor.protocols.ldap.distinguishedname import DistinguishedName, InvalidRelativeDistinguishedName
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.protocol import Factory

from ftpsd.auth.credentials import Login, LoginDenied, Refusal, SourceUnavailable
from ftpsd.auth.sources.groups import Groups
from ftpsd.auth.sources.ldap_wire import (
    INVALID_CREDENTIALS,
    NO_SUCH_OBJECT,
    REFERRAL,
    SIZE_LIMIT_EXCEEDED,
    SUCCESS,
    Conversation,
    Entry,
    Result,
)
from ftpsd.auth.sources.remote import Found, Nonsense, Server, Silence
from ftpsd.config.sources.ldap_filter import filled, parse_filter
from ftpsd.config.sources.source_files import SourceFiles
from ftpsd.config.sources.source_sections import LDAP, DirectoryServer
from ftpsd.config.users import UserRecord
from ftpsd.outward.connecting import Connector, verifying, why_lost
from ftpsd.workers import Workers

T = TypeVar("T")

# Groups of one user that are looked for by a search.
MOST_GROUPS: Final = 1000
# userAccountControl of Active Directory: ACCOUNTDISABLE.
_AD_STATE: Final = "userAccountControl"
_AD_DISABLED: Final = 0x2
# Active Directory says in the text of its refusal (result 49) why a user may not log in though the password is right.
_AD_REASON: Final = re.compile(r"\bdata ([0-9a-f]{3})\b")
_AD_REASONS: Final = {
    "532": Refusal.PASSWORD_EXPIRED,
    "533": Refusal.DISABLED,
    "701": Refusal.EXPIRED,
    "773": Refusal.PASSWORD_EXPIRED,
    "775": Refusal.LOCKED,
}
# Results of a bind that say no, and are no trouble of the server's: inappropriateAuthentication, constraintViolation
# (too many failures), and unwillingToPerform (a locked account) beside the two above.
_REFUSED: Final = (INVALID_CREDENTIALS, NO_SUCH_OBJECT, 48, 19, 53)


class LDAPSource:
    """The directory of *section*; *files* are those it names, *names* looks names up."""

    name = "ldap"

    def __init__(self, section: LDAP, files: SourceFiles, reactor: Any, names: Workers) -> None:
        self._section = section
        self._files = files
        self._filter = parse_filter(section.filter)
        self._group_filter = None if section.group_filter is None else parse_filter(section.group_filter)
        self._groups = Groups.of(section, folded)
        self._connector = Connector(reactor, names, section.timeout)
        self._servers = [
            (server, Server(self.name, str(server), reactor, section.timeout)) for server in section.servers
        ]
        self._attributes = [
            attribute
            for attribute in (
                section.name_attribute,
                section.group_attribute,
                section.home_attribute,
                section.quota_attribute,
                _AD_STATE,
            )
            if attribute is not None
        ]

    def find(self, name: str, host: str) -> Deferred[Found | None]:
        """Search for *name* as the service."""
        return self._ask(lambda conversation: self._find(conversation, name))

    def verify(self, user: UserRecord, login: Login, password: str, host: str) -> Deferred[bool]:
        """Bind as the entry of *user*."""
        return self._ask(lambda conversation: self._verify(conversation, user, password))

    def _ask(self, talk: Callable[[Conversation], Awaitable[T]]) -> Deferred[T]:
        """Have *talk* with the first server that answers."""
        return Deferred.fromCoroutine(self._ask_in_order(talk))

    async def _ask_in_order(self, talk: Callable[[Conversation], Awaitable[T]]) -> T:
        reasons: list[str] = []
        for address, server in self._servers:
            try:
                return await server.ask(lambda address=address: self._talk(address, talk))  # type: ignore[misc]
            except SourceUnavailable as error:
                reasons.append(str(error))
        raise SourceUnavailable("; ".join(reasons))

    async def _talk(self, server: DirectoryServer, talk: Callable[[Conversation], Awaitable[T]]) -> T:
        """Connect to *server*, talk, and close, whatever happens."""
        is_plain = self._section.allow_plain_on_loopback and not server.is_tls and server.is_here
        options = None if is_plain else verifying(server.host, self._files.ldap_authority)
        line = self._connector.line(server.host, server.port, options if server.is_tls else None)
        try:
            conversation: Any = await line.endpoint.connect(Factory.forProtocol(Conversation))
            if not server.is_tls and options is not None:
                await conversation.start_tls(options)
            return await talk(conversation)
        except (ConnectError, DNSLookupError) as error:
            raise Silence(why_lost(error)) from None
        finally:
            line.abort()

    async def _find(self, conversation: Conversation, name: str) -> Found | None:
        bound = await conversation.bind_as(self._section.bind_dn, self._files.bind_password)
        if bound.code != SUCCESS:
            raise Nonsense(f"it refuses {self._section.bind_dn} (result {bound.code}); see bind_password_file")
        own = name.encode("utf-8", "surrogateescape")
        result, entries = await conversation.search(
            self._section.search_base, filled(self._filter, {b"user": own}), self._attributes, most=2
        )
        if result.code not in (SUCCESS, SIZE_LIMIT_EXCEEDED, REFERRAL):
            raise Nonsense(f"it cannot search below {self._section.search_base} (result {result.code})")
        if len(entries) > 1 or result.code == SIZE_LIMIT_EXCEEDED:
            raise LoginDenied(Refusal.AMBIGUOUS)
        if not entries or name not in entries[0].texts(self._section.name_attribute):
            return None
        (entry,) = entries
        if not entry.dn:
            raise Nonsense("it gave an entry without a name")
        groups = [group for group in entry.texts(self._section.group_attribute or "") if group]
        if self._group_filter is not None and self._section.group_base is not None:
            groups += await self._search_groups(conversation, entry, own)
        return Found(self._described(name, entry, groups), entry.dn)

    async def _search_groups(self, conversation: Conversation, entry: Entry, name: bytes) -> list[str]:
        assert self._group_filter is not None
        names = {b"user": name, b"dn": entry.dn.encode("utf-8", "surrogateescape")}
        base = self._section.group_base or ""
        # No attribute at all (RFC 4511, 4.5.1.8): the names are what is wanted.
        result, groups = await conversation.search(base, filled(self._group_filter, names), ["1.1"], most=MOST_GROUPS)
        if result.code != SUCCESS:
            # Some of the groups are not enough: one that disables the user could be missing.
            raise Nonsense(f"it cannot search for groups below {base} (result {result.code})")
        return [group.dn for group in groups]

    def _described(self, name: str, entry: Entry, groups: list[str]) -> dict[str, Any]:
        homes = entry.texts(self._section.home_attribute or "")
        described = self._groups.describe(name, groups, homes[0] if homes else None)
        quotas = entry.texts(self._section.quota_attribute or "")
        if quotas and quotas[0]:
            described["quota"] = {"bytes": int(quotas[0]) if quotas[0].isdecimal() else quotas[0]}
        state = entry.texts(_AD_STATE)
        if state and state[0].lstrip("-").isdecimal() and int(state[0]) & _AD_DISABLED:
            described["enabled"] = False
        return described

    async def _verify(self, conversation: Conversation, user: UserRecord, password: str) -> bool:
        result = await conversation.bind_as(user.entry, password)
        if result.code == SUCCESS:
            return True
        if result.code not in _REFUSED:
            raise Nonsense(f"it cannot tell whether a password is right (result {result.code})")
        refusal = _reason(result)
        if refusal is not None:
            raise LoginDenied(refusal)
        return False


def folded(dn: str) -> str:
    """Return the name *dn* as it is compared: without regard to case, and to spaces around its parts."""
    try:
        text: str = DistinguishedName(stringValue=dn).getText()
    except (InvalidRelativeDistinguishedName, ValueError, TypeError, IndexError):
        text = dn
    return text.strip().casefold()


def _reason(result: Result) -> Refusal | None:
    found = _AD_REASON.search(result.text)
    return _AD_REASONS.get(found[1]) if found is not None else None
