"""
One POST over HTTPS: to a checked address, over verified TLS, with a bounded answer, and without redirects.

Encoded bodies are not unpacked, because a small one that is packed can be a large one. The connection
is cut in the end, whatever has become of the POST.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network
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

from ftpsd.outward.connecting import Address, Connector, ForbiddenAddress, why_lost

# Far more than a user in users.yaml, or what a receiver of events has to say.
MOST_BODY: Final = 64 * 1024

Network = IPv4Network | IPv6Network


class NoAnswer(Exception):
    """There was no answer; the text says why."""


class BadAnswer(Exception):
    """The answer is not one that was expected; the text says why."""


class Poster:
    """POSTs to *url*, on *port* of *host*, through *connector*; *tls* are the options of TLS."""

    def __init__(self, connector: Connector, tls: Any, url: str, host: str, port: int) -> None:
        self._connector = connector
        self._tls = tls
        self._url = url
        self._host = host
        self._port = port

    async def post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """
        Return the status and the body of the answer. The caller bounds the time, and may cancel.

        Raises: NoAnswer, BadAnswer.
        """
        line = self._connector.line(self._host, self._port, self._tls)
        reactor = self._connector.reactor
        # A client of its own for each question: treq's keeps the cookies that it is given.
        client = HTTPClient(_Unencoded(Agent.usingEndpointFactory(reactor, _Only(line.endpoint))))
        try:
            response = await client.post(
                self._url,
                data=body,
                headers=Headers({name: [value] for name, value in headers.items()}),
                allow_redirects=False,
                unbuffered=True,
                reactor=reactor,
            )
            taken = _Body()
            response.deliverBody(taken)
            data = await taken.whole
        except ForbiddenAddress as error:
            raise BadAnswer(str(error)) from None
        except (ConnectError, ConnectionClosed, DNSLookupError) as error:
            raise NoAnswer(why_lost(error)) from None
        except (RequestGenerationFailed, RequestTransmissionFailed, ResponseFailed) as error:
            raise _explained(error.reasons) from None
        finally:
            line.abort()
        if 300 <= response.code < 400:
            raise BadAnswer(f"it redirects ({response.code}), which is not followed; correct the URL")
        return int(response.code), data


def may_reach(networks: Sequence[Network], *, allow_private: bool) -> Callable[[Address], bool]:
    """
    Return the function that tells whether an address may be connected to.

    Public ones always, private ones with *allow_private*; those of the link, where clouds have their secrets, only in
    *networks* that are named.
    """

    def may(address: Address) -> bool:
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in networks):
            return True
        if address.is_link_local or address.is_multicast or address.is_unspecified:
            return False
        return address.is_global or allow_private

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
            self.whole.errback(Failure(BadAnswer(f"its answer is longer than {MOST_BODY} bytes")))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Give the body; one whose end is not marked could be half of one."""
        if self.whole.called:
            return
        if reason.check(ResponseDone):
            self.whole.callback(b"".join(self._parts))
        else:
            self.whole.errback(Failure(NoAnswer("it closed the connection in the middle of its answer")))


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


def _explained(reasons: Sequence[Failure]) -> BaseException:
    """Return what a request or response that did not come to its end means."""
    for reason in reasons:
        if isinstance(reason.value, CancelledError):
            return reason.value
        if isinstance(reason.value, ConnectionClosed | SSL.Error | VerificationError):
            return NoAnswer(why_lost(reason.value))
    return BadAnswer("its answer is not HTTP")
