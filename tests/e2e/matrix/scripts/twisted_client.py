"""Twisted's FTPClient, which knows no TLS: this is what has to be added, and docs/clients.md points here."""

# Twisted's FTP client has no annotations.
# mypy: disable-error-code="no-untyped-call, attr-defined, union-attr, override, misc"

from __future__ import annotations

import calendar
import time
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet import defer, reactor, task
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.protocols.ftp import FTPClient, FTPCommand
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from tests.e2e.matrix.scripts import job

TRUSTED = trustRootFromCertificates([Certificate.loadPEM(Path(job.AUTHORITY).read_bytes())])
OPTIONS = optionsForClientTLS(job.HOST, trustRoot=TRUSTED)


class SecureFTPClient(FTPClient):
    """FTPClient, with TLS around its connections; data connections resume the session of the control connection."""

    # Names in latin-1 are FTPClient's default.
    _encoding = "utf-8"

    def queueLogin(self, username: str, password: str) -> None:
        """Begin TLS where it has not begun, log in, protect the data connections."""
        if not job.IS_IMPLICIT:
            self.queueStringCommand("AUTH TLS", public=0).addCallback(lambda _: self.transport.startTLS(OPTIONS))
        super().queueLogin(username, password)
        for command in ("PBSZ 0", "PROT P"):
            self.queueStringCommand(command, public=0)

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Return the TLS side of a data connection."""
        connection: SSL.Connection = OPTIONS.clientConnectionForTLS(protocol)
        session = self.transport.getHandle().get_session()
        if session is not None:
            connection.set_session(session)
        return connection

    def connectFactory(self, host: str, port: int, factory: ClientFactory) -> Any:
        """Open a passive data connection."""
        return reactor.connectTCP(host, port, TLSMemoryBIOFactory(_Creator(self), True, factory))

    def generatePortCommand(self, portCmd: FTPCommand) -> None:
        """Await an active data connection; under TLS the client stays the client."""
        portCmd.protocol = _Wrapped(TLSMemoryBIOFactory(_Creator(self), True, ClientFactory()), portCmd.protocol)
        super().generatePortCommand(portCmd)


@implementer(IOpenSSLClientConnectionCreator)
class _Creator:
    """What TLSMemoryBIOFactory asks for a connection."""

    def __init__(self, client: SecureFTPClient) -> None:
        self._client = client

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """See the client."""
        return self._client.clientConnectionForTLS(tlsProtocol)


class _Wrapped(TLSMemoryBIOProtocol):
    """TLS on a connection that was accepted; FTPDataPortFactory, which accepts it, must not become its factory."""

    def __init__(self, factory: TLSMemoryBIOFactory, protocol: Protocol) -> None:
        super().__init__(factory, protocol)
        self._wrapping = factory

    def makeConnection(self, transport: Any) -> None:
        """Begin TLS."""
        self.factory = self._wrapping
        super().makeConnection(transport)


class Collect(Protocol):
    """Keep what comes over a data connection."""

    def __init__(self) -> None:
        self.data = bytearray()

    def dataReceived(self, data: bytes) -> None:
        """Keep a piece."""
        self.data += data


async def send(ftp: SecureFTPClient, local: str, remote: str, offset: int = 0) -> None:
    """Upload a file from *offset* on."""
    ready, done = ftp.storeFile(remote, offset)
    consumer = await ready
    consumer.write(Path(local).read_bytes()[offset:])
    consumer.finish()
    await done


async def show(ftp: SecureFTPClient, command: str) -> None:
    """Print a listing."""
    listing = Collect()
    await ftp.receiveFromConnection([command], listing)
    print(listing.data.decode())


async def do(ftp: SecureFTPClient, name: str, arguments: list[str]) -> None:
    """Do one operation."""
    match name, arguments:
        case "mkdir", [path]:
            await ftp.makeDirectory(path)
        case "put", [local, remote]:
            await send(ftp, local, remote)
        case "reput", [local, remote]:
            await send(ftp, local, remote, int((await ftp.queueStringCommand(f"SIZE {remote}"))[0][4:]))
        case "get" | "reget", [remote, local]:
            body = Collect()
            offset = Path(local).stat().st_size if name == "reget" else 0
            await ftp.retrieveFile(remote, body, offset)
            with open(local, "ab") as target:
                target.write(body.data)
        case "list" | "nlst" | "mlsd", []:
            await show(ftp, name.upper())
        case "size", [path]:
            print((await ftp.queueStringCommand(f"SIZE {path}"))[0][4:])
        case "time", [path]:
            stamp = (await ftp.queueStringCommand(f"MDTM {path}"))[0][4:18]
            print(calendar.timegm(time.strptime(stamp, "%Y%m%d%H%M%S")))
        case "rename", [old, new]:
            await ftp.rename(old, new)
        case "delete", [path]:
            await ftp.removeFile(path)
        case _:
            raise NotImplementedError(name)


async def work() -> None:
    """Do the job."""
    ready: defer.Deferred[SecureFTPClient] = defer.Deferred()

    class Factory(ClientFactory):
        noisy = False

        def buildProtocol(self, address: object) -> SecureFTPClient:
            ftp = SecureFTPClient(job.USER, job.PASSWORD, passive=job.IS_PASSIVE)
            ftp.queueStringCommand("NOOP").chainDeferred(defer.Deferred().addCallback(lambda _: ready.callback(ftp)))
            return ftp

    factory: Any = Factory()
    if job.IS_IMPLICIT:
        factory = TLSMemoryBIOFactory(OPTIONS, True, factory)
    reactor.connectTCP(job.HOST, job.PORT, factory, 30)
    ftp = await ready
    for name, *arguments in job.operations():
        await do(ftp, name, arguments)
    await ftp.quit()


if __name__ == "__main__":
    task.react(lambda _reactor: defer.Deferred.fromCoroutine(work()))
