"""
A session with another server, as the daemon drives it: the client itself is a child process (client_child.py).

A child that dies, hangs or talks nonsense fails what is under way, and nothing else. Its timeouts bound each wait for
the server; what it is asked to move waits for the daemon's own disk for as long as that takes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.config.automation.partner_files import PartnerFiles
from ftpsd.config.automation.partner_sections import Partner
from ftpsd.partners.contact import Contact, Fault, PartnerError, RemoteFile
from ftpsd.partners.frames import DATA, MORE, NEXT, ORDER, STOP, TOLD, FrameError, Frames, frame, told

# Seconds for a child to say good-bye to its server; then it is killed.
GOOD_BYE: Final = 10.0
# Characters of standard error that the log takes of one child: a traceback.
MOST_SAID: Final = 4000

log = Logger()


def contact_of(partner: Partner, files: PartnerFiles) -> Contact:
    """Return whom *partner* means, with the contents of its *files*."""
    return Contact(
        host=partner.host,
        port=partner.real_port,
        mode=partner.mode,
        user=partner.user,
        password=files.password,
        authority=files.authority,
        certificate=None if partner.certificate is None else str(partner.certificate),
        private_key=None if partner.private_key is None else str(partner.private_key),
        minimum_version=partner.minimum_version,
        timeout=partner.timeout,
    )


class PartnerSession(ProcessProtocol):
    """
    One session, begun with `open` and ended with `close` or `kill`. One order at a time. Reactor thread only.

    Every method may raise PartnerError.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._frames = Frames()
        self._waiting: list[tuple[bytes, bytes]] = []
        self._wanted: Deferred[tuple[bytes, bytes]] | None = None
        self._has_ended = False
        self._said = ""
        self._late: Any = None
        self.ended: Deferred[None] = Deferred()
        """Fires when the child has ended."""

    @property
    def pid(self) -> int | None:
        """The number of the child."""
        return None if self.transport is None else getattr(self.transport, "pid", None)

    # --- orders

    async def open(self, contact: Contact) -> None:
        """Start the child, have it connect and log in."""
        environ = {name: value for name, value in os.environ.items() if name in KEPT}
        # Not -I: an installation may be an editable one. -P: nothing comes from the working directory.
        command = [sys.executable, "-P", "-m", "ftpsd.partners"]
        environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._reactor.spawnProcess(self, sys.executable, command, environ, path="/")
        await self._order("open", **asdict(contact))

    async def facts(self, path: str) -> RemoteFile | None:
        """Return the file at *path*, None for none."""
        found = await self._order("facts", path=path)
        return None if found is None else RemoteFile(**found)

    async def list(self, directory: str, *, with_directories: bool = False) -> list[RemoteFile]:
        """Return the plain files in *directory*, and the directories where these are asked for."""
        files: list[RemoteFile] = []

        async def take(data: bytes) -> None:
            files.extend(RemoteFile(**each) for each in json.loads(data))

        await self._order("list", take=take, directory=directory, with_directories=with_directories)
        return files

    async def get(self, path: str, offset: int, size: int | None, take: Callable[[bytes], Awaitable[object]]) -> int:
        """Fetch *path* from *offset* on; *take* is awaited with each piece. Return how many bytes came."""
        got: int = await self._order("get", take=take, path=path, offset=offset, size=size)
        return got

    async def put(self, path: str, offset: int, give: Callable[[], Awaitable[bytes]]) -> int:
        """Store as *path* from *offset* on what *give* gives until that is empty. Return how many bytes it was."""
        sent: int = await self._order("put", give=give, path=path, offset=offset)
        return sent

    async def rename(self, old: str, new: str) -> None:
        """Rename a file."""
        await self._order("rename", old=old, new=new)

    async def delete(self, path: str) -> None:
        """Delete a file."""
        await self._order("delete", path=path)

    async def make_directory(self, path: str) -> None:
        """Make a directory, unless it is there."""
        await self._order("make-directory", path=path)

    async def set_modified(self, path: str, moment: str) -> bool:
        """Set the time of a file, YYYYMMDDHHMMSS; return whether the server can."""
        done: bool = await self._order("set-modified", path=path, moment=moment)
        return done

    def close(self) -> None:
        """End the session; the child says good-bye, and is killed where that takes too long."""
        if self.transport is not None and not self._has_ended:
            self.transport.closeStdin()
            self._late = self._reactor.callLater(GOOD_BYE, self.kill)

    def kill(self) -> None:
        """End the child at once."""
        if self.transport is not None and not self._has_ended:
            try:
                self.transport.signalProcess("KILL")
            except ProcessExitedAlready:
                pass  # it was faster

    async def _order(
        self,
        do: str,
        *,
        take: Callable[[bytes], Awaitable[object]] | None = None,
        give: Callable[[], Awaitable[bytes]] | None = None,
        **arguments: Any,
    ) -> Any:
        self._write(told(ORDER, {"do": do, **arguments}))
        while True:
            kind, data = await self._next()
            if kind == TOLD:
                answer = json.loads(data)
                if "fault" in answer:
                    raise PartnerError(Fault(answer["fault"]), answer["text"])
                return answer["ok"]
            if kind in (DATA, MORE) and take is not None:
                try:
                    await take(data)
                except CancelledError:
                    raise  # whoever cancels gives the session up
                except Exception:
                    await self._broken_off()
                    raise
                self._write(frame(NEXT))
            elif kind == NEXT and give is not None:
                try:
                    piece = await give()
                except CancelledError:
                    raise  # whoever cancels gives the session up
                except Exception:
                    await self._broken_off()
                    raise
                self._write(frame(DATA, piece))
            else:
                self.kill()
                raise PartnerError(Fault.BROKEN, "the child of this session talks nonsense")

    async def _broken_off(self) -> None:
        """Have the child break a transfer off, and take what it was ahead: the next order finds it ready."""
        try:
            self._write(frame(STOP))
            while (await self._next())[0] != TOLD:
                self._write(frame(NEXT))
        except PartnerError:
            pass  # the next order finds out, too

    def _write(self, data: bytes) -> None:
        if self._has_ended or self.transport is None:
            raise self._died()
        self.transport.write(data)

    async def _next(self) -> tuple[bytes, bytes]:
        if self._waiting:
            return self._waiting.pop(0)
        if self._has_ended:
            raise self._died()
        # A caller that is cancelled gives the session up: an order cannot be taken back.
        self._wanted = Deferred(lambda _: self.kill())
        return await self._wanted

    def _died(self) -> PartnerError:
        return PartnerError(Fault.UNREACHABLE, "the child of this session has died")

    # --- ProcessProtocol

    def outReceived(self, data: bytes) -> None:
        """Take frames. The child is never more than `AHEAD` frames ahead, so this holds at most these."""
        try:
            found = self._frames.feed(data)
        except FrameError:
            self.kill()
            return
        self._waiting += found
        if self._waiting and self._wanted is not None:
            wanted, self._wanted = self._wanted, None
            if not wanted.called:
                wanted.callback(self._waiting.pop(0))

    def errReceived(self, data: bytes) -> None:
        """Keep what it says of its own mistakes."""
        self._said = (self._said + data.decode("utf-8", "replace"))[-MOST_SAID:]

    def processEnded(self, reason: Failure) -> None:
        """Fail what is under way."""
        self._has_ended = True
        if self._late is not None and self._late.active():
            self._late.cancel()
        if self._said:
            log.error("a session with another server has failed in its child: {said}", said=self._said)
        wanted, self._wanted = self._wanted, None
        if wanted is not None and not wanted.called:
            wanted.errback(Failure(self._died()))
        self.ended.callback(None)


# The locale, and where OpenSSL looks for the authorities of the machine.
KEPT: Final = frozenset({"PATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "TZ"})
