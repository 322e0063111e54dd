"""
Connections to remote sources: names looked up in a worker, addresses checked, TLS verified, bytes counted.

The address that was checked is the one that is connected to: what DNS says a moment later does not matter.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address as IPv4
from ipaddress import IPv6Address as IPv6
from ipaddress import ip_address
from typing import Any, Final

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import (
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from ftpsd.workers import Workers

# Bytes of one connection, which is asked one question: a user in two thousand groups, and little to keep us busy with.
MOST_BYTES: Final = 256 * 1024

Address = IPv4 | IPv6
_PEM_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_PEM_END: Final = b"-----END CERTIFICATE-----"


class ForbiddenAddress(Exception):
    """A name whose addresses may not be connected to; the text is for the operator."""


@implementer(IReactorPluggableNameResolver)
class _Resolving:
    """The reactor for one endpoint, with names looked up in *names* and only addresses that *may_reach* allows."""

    def __init__(self, reactor: Any, names: Workers, may_reach: Callable[[Address], bool]) -> None:
        self.nameResolver = _Resolver(names, may_reach)
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def installNameResolver(self, resolver: Any) -> Any:
        """Refuse: the resolver is why this class is here."""
        raise NotImplementedError


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Let the worker finish, whose answer nobody waits for."""


class _Resolver:
    def __init__(self, names: Workers, may_reach: Callable[[Address], bool]) -> None:
        self._names = names
        self._may_reach = may_reach
        self.forbidden: list[str] = []

    def resolveHostName(
        self, receiver: IResolutionReceiver, hostName: str, portNumber: int = 0, *_: object, **__: object
    ) -> IHostResolution:
        """Tell *receiver* the addresses that may be connected to."""
        resolution = _Resolution(hostName)
        receiver.resolutionBegan(resolution)

        def found(addresses: list[str]) -> None:
            for each in addresses:
                parsed = ip_address(each)
                if not self._may_reach(parsed):
                    self.forbidden.append(each)
                elif parsed.version == 4:
                    receiver.addressResolved(address.IPv4Address("TCP", each, portNumber))
                else:
                    receiver.addressResolved(address.IPv6Address("TCP", each, portNumber))

        looked_up = self._names.run(look_up, hostName)
        # Nothing found is what the endpoint reports then.
        looked_up.addCallbacks(found, lambda _: None).addBoth(lambda _: receiver.resolutionComplete())
        return resolution


def look_up(name: str) -> list[str]:
    """Return the addresses of *name*, each once. Blocks."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Counted(ProtocolWrapper):
    """A connection that is cut off after so many bytes."""

    left = MOST_BYTES

    def dataReceived(self, data: bytes) -> None:
        self.left -= len(data)
        if self.left >= 0:
            super().dataReceived(data)  # type: ignore[no-untyped-call]
        else:
            self.sever()

    def sever(self) -> None:
        """Abort the connection, whatever waits to be sent."""
        transport: Any = self.transport
        transport.abortConnection()


class _Counting(WrappingFactory):
    protocol = _Counted
    noisy = False


@implementer(IStreamClientEndpoint)
class _CountedEndpoint:
    """An endpoint whose connection is `_Counted`, and can be cut off whatever is above it."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint
        self._connected: Any = None

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect, and return the protocol of *factory*."""
        connected: Deferred[Any] = self._endpoint.connect(_Counting(factory))  # type: ignore[no-untyped-call]
        return connected.addCallback(self._keep)

    def abort(self) -> None:
        """Sever the connection, if there is one."""
        if self._connected is not None:
            self._connected.sever()

    def _keep(self, wrapper: Any) -> IProtocol:
        self._connected = wrapper
        inner: IProtocol = wrapper.wrappedProtocol
        return inner


@dataclass(frozen=True, slots=True)
class Line:
    """A connection for one question: connect to *endpoint*, and *abort* in the end, whatever has become of it."""

    endpoint: IStreamClientEndpoint
    abort: Callable[[], None]


class Connector:
    """
    A maker of connections for *reactor*, each within *timeout* seconds.

    *names* looks names up, *may_reach* tells which addresses may be connected to.
    """

    def __init__(
        self,
        reactor: Any,
        names: Workers,
        timeout: float,
        may_reach: Callable[[Address], bool] = lambda _: True,
    ) -> None:
        self.reactor = reactor
        self._names = names
        self._timeout = timeout
        self._may_reach = may_reach

    def line(self, host: str, port: int, tls: Any = None) -> Line:
        """Return a line to *port* at *host*; *tls* are the options of TLS from the first byte on, None without."""
        resolving = _Resolving(self.reactor, self._names, self._may_reach)
        inner = _Guarded(HostnameEndpoint(resolving, host, port, timeout=self._timeout), resolving.nameResolver)
        counted = _CountedEndpoint(inner)
        return Line(counted if tls is None else wrapClientTLS(tls, counted), counted.abort)


@implementer(IStreamClientEndpoint)
class _Guarded:
    """An endpoint that says so where it fails because an address is forbidden."""

    def __init__(self, endpoint: IStreamClientEndpoint, resolver: _Resolver) -> None:
        self._endpoint = endpoint
        self._resolver = resolver

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect."""
        connected: Deferred[IProtocol] = self._endpoint.connect(factory)
        return connected.addErrback(self._explain)

    def _explain(self, failure: Failure) -> Failure:
        if self._resolver.forbidden:
            raise ForbiddenAddress(f"the address {self._resolver.forbidden[0]} is private; see allow_private")
        return failure


def verifying(
    host: str, authority: bytes | None, certificate: bytes | None = None, private_key: bytes | None = None
) -> Any:
    """
    Return options of TLS 1.2 and up for a client of *host*, whose certificate must be valid for that name.

    *authority* are the trusted certificates in PEM form, None for those of the machine; *certificate* and *private_key*
    are the client's own.
    """
    trust = platformTrust() if authority is None else trustRootFromCertificates(_certificates(authority))
    own, more = None, {}
    if certificate is not None and private_key is not None:
        own = PrivateCertificate.loadPEM(certificate + b"\n" + private_key)
        # Servers that know the root alone need the certificates between.
        more = {"extraCertChain": [each.original for each in _certificates(certificate)[1:]]}
    return optionsForClientTLS(host, trustRoot=trust, clientCertificate=own, extraCertificateOptions=more)


def why_lost(error: BaseException) -> str:
    """Return a sentence about a connection that was lost or not made."""
    if isinstance(error, VerificationError):
        return "its certificate is for another name"
    if isinstance(error, SSL.Error):
        reasons = [entry[-1] for entry in error.args[0]] if error.args and isinstance(error.args[0], list) else []
        if any("certificate verify failed" in reason for reason in reasons):
            return "its certificate is not to be trusted: another authority or name, or expired"
        return f"TLS failed ({'; '.join(reasons) or 'it closed the connection'})"
    if isinstance(error, ConnectionClosed):
        return "it closed the connection"
    return str(error) or type(error).__name__


def _certificates(pem: bytes) -> list[Certificate]:
    # A file may hold a key as well.
    parts = [part[part.index(_PEM_BEGIN) :] for part in pem.split(_PEM_END) if _PEM_BEGIN in part]
    return [Certificate.loadPEM(part + _PEM_END + b"\n") for part in parts]
