"""
ldaptor's client, for one question on one connection, and without trust in what comes back.

A message that is not whole, not LDAP or not an answer to what was asked ends the connection. Its exceptions are ours:
`Silence` for a connection that is lost, `Nonsense` for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ldaptor.protocols import pureber, pureldap
from ldaptor.protocols.ldap.ldapclient import LDAPClient
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from ftpsd.auth.sources.remote import Nonsense, Silence
from ftpsd.config.sources.ldap_filter import All, Compared, Filter, Matched, Not, Parts, Present
from ftpsd.outward.connecting import MOST_BYTES, why_lost

SUCCESS: Final = 0
SIZE_LIMIT_EXCEEDED: Final = 4
REFERRAL: Final = 10
NO_SUCH_OBJECT: Final = 32
INVALID_CREDENTIALS: Final = 49

_COMPARISONS: Final[dict[str, Any]] = {
    "=": pureldap.LDAPFilter_equalityMatch,
    "~=": pureldap.LDAPFilter_approxMatch,
    ">=": pureldap.LDAPFilter_greaterOrEqual,
    "<=": pureldap.LDAPFilter_lessOrEqual,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a directory; the names of *attributes* are in lower case."""

    dn: str
    attributes: dict[str, tuple[bytes, ...]]

    def texts(self, attribute: str) -> list[str]:
        """Return the values of *attribute*, those that are text."""
        found = []
        for value in self.attributes.get(attribute.lower(), ()):
            try:
                found.append(value.decode("utf-8"))
            except UnicodeDecodeError:
                continue
        return found


@dataclass(frozen=True, slots=True)
class Result:
    """The end of an operation: its code (RFC 4511, 4.1.9), and the server's text, which may be anything."""

    code: int
    text: str


# ldaptor has no annotations.
class Conversation(LDAPClient):  # type: ignore[misc]
    """A connection to a directory."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer: bytes = b""
        self._trouble: Exception | None = None

    async def start_tls(self, options: Any) -> None:
        """Go on in TLS (RFC 4511, 4.14)."""
        answer = await self._answer(pureldap.LDAPStartTLSRequest())
        result = _result(answer, pureldap.LDAPExtendedResponse)
        if result.code != SUCCESS:
            raise Nonsense(f"it does not do StartTLS (result {result.code}); write ldaps://, or turn it on there")
        if self.buffer:
            # Bytes sent in clear behind the answer would be taken for something sent in TLS.
            self._fail(Nonsense("it sent more in clear behind its answer to StartTLS"))
            raise self._trouble or Nonsense("in clear")
        self.transport.startTLS(options)

    async def bind_as(self, dn: str, password: str) -> Result:
        """Authenticate as *dn*, with a password that is not empty."""
        assert dn, "a bind without a name is nobody's"
        assert password, "a bind without a password is granted to everybody"
        request = pureldap.LDAPBindRequest(dn=dn, auth=password.encode("utf-8", "surrogateescape"))
        return _result(await self._answer(request), pureldap.LDAPBindResponse)

    async def search(
        self, base: str, filter_: Filter, attributes: Sequence[str], most: int
    ) -> tuple[Result, list[Entry]]:
        """Return at most *most* entries below *base*; what is elsewhere (references) is left out."""
        request = pureldap.LDAPSearchRequest(
            baseObject=base,
            scope=pureldap.LDAP_SCOPE_wholeSubtree,
            derefAliases=pureldap.LDAP_DEREF_neverDerefAliases,
            sizeLimit=most,
            timeLimit=0,
            typesOnly=0,
            filter=_as_ber(filter_),
            attributes=[attribute.encode() for attribute in attributes],
        )
        entries: list[Entry] = []
        done: Deferred[Any] = Deferred()

        def take(message: Any) -> bool:
            if isinstance(message, pureldap.LDAPSearchResultEntry):
                entries.append(_entry(message))
                return False
            if isinstance(message, pureldap.LDAPSearchResultReference):
                return False
            if not done.called:
                done.callback(message)
            return True

        lost = self._sent(lambda: self.send_multiResponse(request, take))
        lost.addErrback(lambda failure: None if done.called else done.errback(failure))
        return _result(await self._translated(done), pureldap.LDAPSearchResultDone), entries

    def dataReceived(self, recd: bytes) -> None:
        """Take whole messages, one by one: ldaptor's own way gives away what does not parse."""
        self.buffer += recd
        try:
            while (size := _size_of(self.buffer)) is not None:
                message, self.buffer = self.buffer[:size], self.buffer[size:]
                parsed, used = pureber.berDecodeObject(self.berdecoder, message)
                if used != size or not isinstance(parsed, pureldap.LDAPMessage):
                    raise ValueError("no message")
                self.handle(parsed)
        except Exception:
            # Anything can rise out of a parser that trusts its input. The bytes that came are not written anywhere.
            self._fail(Nonsense("it sent something that is not LDAP, or no answer to what was asked"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail whatever waits."""
        super().connectionLost(Failure(self._trouble) if self._trouble is not None else reason)

    def unsolicitedNotification(self, msg: Any) -> None:
        """Take a notice that nobody asked for as the end: the only one there is says so (RFC 4511, 4.4.1)."""
        self._fail(Silence("it ended the connection"))

    async def _answer(self, request: Any) -> Any:
        return await self._translated(self._sent(lambda: self.send(request)))

    def _sent(self, send: Any) -> Deferred[Any]:
        if self._trouble is not None:
            raise self._trouble
        if not self.connected:
            raise Silence("it closed the connection")
        sent: Deferred[Any] = send()
        return sent

    async def _translated(self, answer: Deferred[Any]) -> Any:
        try:
            return await answer
        except (ConnectionClosed, SSL.Error, VerificationError) as error:
            raise Silence(why_lost(error)) from None

    def _fail(self, trouble: Exception) -> None:
        if self._trouble is None:
            self._trouble = trouble
        self.buffer = b""
        if self.transport is not None:
            self.transport.abortConnection()


def _size_of(buffer: bytes) -> int | None:
    """
    Return the size of the message that *buffer* begins with, None while it is not whole.

    Raises: ValueError when it is none, or too large.
    """
    if len(buffer) < 2:
        return None
    if buffer[0] != 0x30:
        raise ValueError("no message")
    length, size = buffer[1], 2
    if length & 0x80:
        more = length & 0x7F
        if not 1 <= more <= 4:
            raise ValueError("no length")
        if len(buffer) < 2 + more:
            return None
        length, size = int.from_bytes(buffer[2 : 2 + more], "big"), 2 + more
    if size + length > MOST_BYTES:
        raise ValueError("too large")
    return size + length if len(buffer) >= size + length else None


def _result(message: Any, kind: type[Any]) -> Result:
    if not isinstance(message, kind):
        raise Nonsense("it answered something else than was asked")
    text = message.errorMessage or b""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return Result(int(message.resultCode), str(text))


def _entry(message: Any) -> Entry:
    attributes: dict[str, tuple[bytes, ...]] = {}
    for name, values in message.attributes:
        key = name.decode("ascii", "replace").lower() if isinstance(name, bytes) else str(name).lower()
        attributes[key] = tuple(value if isinstance(value, bytes) else str(value).encode() for value in values)
    dn = message.objectName
    return Entry(dn.decode("utf-8", "surrogateescape") if isinstance(dn, bytes) else str(dn), attributes)


def _as_ber(filter_: Filter) -> Any:
    """Return *filter_* as ldaptor encodes it."""
    match filter_:
        case All("&", filters):
            return pureldap.LDAPFilter_and([_as_ber(each) for each in filters])
        case All(_, filters):
            return pureldap.LDAPFilter_or([_as_ber(each) for each in filters])
        case Not(inner):
            return pureldap.LDAPFilter_not(_as_ber(inner))
        case Present(attribute):
            return pureldap.LDAPFilter_present(attribute)
        case Compared(attribute, comparison, value):
            return _COMPARISONS[comparison](
                attributeDesc=pureldap.LDAPAttributeDescription(attribute),
                assertionValue=pureldap.LDAPAssertionValue(value),
            )
        case Parts(attribute, initial, middle, final):
            parts = [pureldap.LDAPFilter_substrings_initial(initial)] if initial else []
            parts += [pureldap.LDAPFilter_substrings_any(part) for part in middle]
            parts += [pureldap.LDAPFilter_substrings_final(final)] if final else []
            return pureldap.LDAPFilter_substrings(type=attribute, substrings=parts)
        case Matched(attribute, rule, is_about_dn, value):
            return pureldap.LDAPFilter_extensibleMatch(
                matchingRule=rule, type=attribute, matchValue=value, dnAttributes=is_about_dn or None
            )
