"""
Users of an HTTPS endpoint.

Two questions, each a POST with a JSON object as its body:

* `{"question": "user", "user": …, "host": …}`: 200 with the user as a JSON object with the keys of users.yaml, or 404.
* `{"question": "password", "user": …, "password": …, "address": …, "host": …, "protocol": "ftps"}`: 200 and a JSON
  object (whatever is in it) when the password is right, 401 or 403 when it is not, 404 when the user is gone.

Everything else is no answer: other statuses, redirects, which are never followed, encoded bodies, bodies above 64 KiB,
and what is no JSON. Addresses are checked where the connection is made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address
from typing import Any, Final

from OpenSSL import SSL
from service_identity import VerificationError
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from ftpsd import __version__
from ftpsd.auth.credentials import Login
from ftpsd.auth.sources.connecting import Address, Connector, ForbiddenAddress, verifying, why_lost
from ftpsd.auth.sources.remote import Found, Nonsense, Server, Silence
from ftpsd.config.sources.sections import HTTP
from ftpsd.config.sources.source_files import SourceFiles
from ftpsd.config.users import UserRecord
from ftpsd.workers import Workers

# Far more than a user in users.yaml.
MOST_BODY: Final = 64 * 1024


class HTTPSource:
    """The endpoint of *section*; *files* are those it names, *names* looks names up."""

    name = "http"

    def __init__(self, section: HTTP, files: SourceFiles, reactor: Any, names: Workers) -> None:
        self._endpoint = section.url
        # Behind a ? there may be a key.
        self._server = Server(self.name, section.url.url.partition("?")[0], reactor, section.timeout)
        self._reactor = reactor
        self._connector = Connector(reactor, names, section.timeout, may_reach(section))
        identity = (files.http_certificate, files.http_private_key)
        self._tls = verifying(section.url.host, files.http_authority, *identity)
        self._headers: dict[bytes | str, bytes | str] = {
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        self._headers["User-Agent"] = f"ftpsd/{__version__}"
        if files.token:
            self._headers["Authorization"] = f"Bearer {files.token}"

    def find(self, name: str, host: str) -> Deferred[Found | None]:
        """Ask for the user."""

        async def ask() -> Found | None:
            status, answer = await self._post({"question": "user", "user": name, "host": host})
            if status == 404:
                return None
            if status != 200:
                raise Nonsense(f"it answered {status} when asked for a user; 200 and 404 are expected")
            return Found(answer)

        return self._server.ask(ask)

    def verify(self, user: UserRecord, login: Login, password: str, host: str) -> Deferred[bool]:
        """Ask whether the password is right."""
        question = {
            "question": "password",
            "user": user.name,
            "password": password,
            "address": login.peer,
            "host": host,
            "protocol": "ftps",
        }

        async def ask() -> bool:
            status, _ = await self._post(question)
            if status not in (200, 401, 403, 404):
                raise Nonsense(f"it answered {status} when asked about a password; 200, 401, 403 and 404 are expected")
            return status == 200

        return self._server.ask(ask)

    async def _post(self, question: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Return the status, and the JSON object of an answer with status 200."""
        line = self._connector.line(self._endpoint.host, self._endpoint.port, self._tls)
        # A client of its own for each question: treq's keeps the cookies that it is given.
        client = HTTPClient(_Unencoded(Agent.usingEndpointFactory(self._reactor, _Only(line.endpoint))))
        try:
            response = await client.post(
                self._endpoint.url,
                data=json.dumps(question).encode("ascii"),
                headers=self._headers,
                allow_redirects=False,
                unbuffered=True,
                reactor=self._reactor,
            )
            body = _Body()
            response.deliverBody(body)
            data = await body.whole
        except ForbiddenAddress as error:
            raise Nonsense(str(error)) from None
        except (ConnectError, ConnectionClosed, DNSLookupError) as error:
            raise Silence(why_lost(error)) from None
        except (RequestGenerationFailed, RequestTransmissionFailed, ResponseFailed) as error:
            raise _explained(error.reasons) from None
        finally:
            line.abort()
        if 300 <= response.code < 400:
            raise Nonsense(f"it redirects ({response.code}), which is not followed; correct http.url")
        return response.code, _object(data) if response.code == 200 else {}


def may_reach(section: HTTP) -> Callable[[Address], bool]:
    """
    Return the function that tells whether *section* lets an address be connected to.

    Public ones always, private ones where it says so; those of the link, where clouds have their secrets, only where
    they are named.
    """

    def may(address: Address) -> bool:
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in section.networks):
            return True
        if address.is_link_local or address.is_multicast or address.is_unspecified:
            return False
        return address.is_global or section.allow_private

    return may


class _Body(Protocol):
    """The body of a response, of which *whole* is given when all has come."""

    def __init__(self) -> None:
        self.whole: Deferred[bytes] = Deferred()
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        """Keep *data*, up to the bound."""
        self._size += len(data)
        if self._size <= MOST_BODY:
            self._parts.append(data)
        elif not self.whole.called:
            self._parts.clear()
            self.whole.errback(Failure(Nonsense(f"its answer is longer than {MOST_BODY} bytes")))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Give the body; one whose end is not marked could be half of one."""
        if self.whole.called:
            return
        if reason.check(ResponseDone):
            self.whole.callback(b"".join(self._parts))
        else:
            self.whole.errback(Failure(Silence("it closed the connection in the middle of its answer")))


@implementer(IAgentEndpointFactory)
class _Only:
    """A factory that knows one endpoint."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Return the endpoint."""
        return self._endpoint


@implementer(IAgent)
class _Unencoded:
    """An agent whose responses are taken as they are: a small one that is packed can be a large one."""

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """Send the request."""
        if headers is not None:
            headers.removeHeader(b"accept-encoding")
        answer: Deferred[IResponse] = self._agent.request(method, uri, headers, bodyProducer)

        def unencoded(response: IResponse) -> IResponse:
            response.headers.removeHeader(b"content-encoding")
            return response

        return answer.addCallback(unencoded)


def _object(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        raise Nonsense("its answer is not JSON") from None
    if not isinstance(answer, dict):
        raise Nonsense("its answer is not a JSON object")
    return answer


def _explained(reasons: Sequence[Failure]) -> BaseException:
    """Return what a request or response that did not come to its end means."""
    for reason in reasons:
        if isinstance(reason.value, CancelledError):
            return reason.value
        if isinstance(reason.value, ConnectionClosed | SSL.Error | VerificationError):
            return Silence(why_lost(reason.value))
    return Nonsense("its answer is not HTTP")
