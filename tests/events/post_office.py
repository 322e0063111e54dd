"""A mail server by Twisted: STARTTLS, a password, and each message in a file of its own. Run as a program."""

from __future__ import annotations

import json
import subprocess
import sys
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from tests.e2e.polling import eventually
from tests.sources.authority import issue
from tests.tools import ROOT

USER, PASSWORD = "ftpsd", "correct horse"
PORT = "port"


class PostOffice:
    """The server, in a process; its files are in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "post"
        self.identity = issue(self.folder, "localhost")
        self.password = self.folder / "password"
        self.password.write_text(PASSWORD + "\n")
        self.password.chmod(0o600)
        files = [str(self.identity.certificate), str(self.identity.private_key)]
        command = [sys.executable, "-m", "tests.events.post_office", str(self.folder), *files]
        self._process = subprocess.Popen(command, cwd=ROOT)
        eventually((self.folder / PORT).exists, "the mail server", 30)

    def section(self, **changes: Any) -> dict[str, Any]:
        """Return the section `mail`."""
        return {
            "server": "localhost",
            "port": int((self.folder / PORT).read_text()),
            "sender": "ftpsd@example.com",
            "user": USER,
            "password_file": str(self.password),
            "authority": str(self.identity.authority),
            **changes,
        }

    @property
    def letters(self) -> list[tuple[dict[str, Any], EmailMessage]]:
        """The envelopes and messages that have come, in order."""
        found = sorted(self.folder.glob("*.envelope"), key=lambda path: int(path.stem))
        return [
            (json.loads(path.read_text()), message_from_bytes(path.with_suffix(".eml").read_bytes(), policy=default))
            for path in found
        ]

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def main(folder: Path, certificate: str, private_key: str) -> None:
    """Serve."""
    from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
    from twisted.cred.portal import IRealm, Portal
    from twisted.internet import reactor, ssl
    from twisted.internet.defer import Deferred, succeed
    from twisted.mail import smtp
    from twisted.mail.imap4 import PLAINCredentials
    from zope.interface import implementer

    loop: Any = reactor
    factory_of_tls = ssl.DefaultOpenSSLContextFactory(private_key, certificate)
    count = 0

    @implementer(smtp.IMessage)
    class File:
        def __init__(self, envelope: dict[str, Any]) -> None:
            self.envelope = envelope
            self.lines: list[bytes] = []

        def lineReceived(self, line: bytes) -> None:
            self.lines.append(line)

        def eomReceived(self) -> Deferred[str]:
            nonlocal count
            count += 1
            (folder / f"{count}.eml").write_bytes(b"\n".join(self.lines))
            new = folder / f"{count}.new"
            new.write_text(json.dumps(self.envelope))
            new.rename(folder / f"{count}.envelope")
            return succeed("taken")

        def connectionLost(self) -> None:
            """Forget it."""

    @implementer(smtp.IMessageDelivery)
    class Delivery:
        sender = ""

        def receivedHeader(self, *_: Any) -> bytes:
            return b"Received: here"

        def validateFrom(self, helo: Any, origin: Any) -> Any:
            self.sender = str(origin)
            return origin

        def validateTo(self, user: Any) -> Any:
            if b"nobody" in user.dest.local:
                raise smtp.SMTPBadRcpt(user)
            return lambda: File({"from": self.sender, "to": str(user.dest)})

    @implementer(IRealm)
    class Realm:
        def requestAvatar(self, name: Any, mind: Any, *interfaces: Any) -> Any:
            return smtp.IMessageDelivery, Delivery(), lambda: None

    esmtp: Any = smtp.ESMTP
    smtp_factory: Any = smtp.SMTPFactory

    class Server(esmtp):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(contextFactory=factory_of_tls)
            self.challengers = {b"PLAIN": PLAINCredentials}

        def do_MAIL(self, rest: Any) -> Any:
            # It takes mail of those alone who have come by TLS and with the password.
            if not self.startedTLS or not self.authenticated:
                return self.sendCode(530, b"TLS and a password first")
            return super().do_MAIL(rest)

    checker: Any = InMemoryUsernamePasswordDatabaseDontUse()
    checker.addUser(USER.encode(), PASSWORD.encode())
    portal = Portal(Realm(), [checker])

    class Factory(smtp_factory):  # type: ignore[misc]
        protocol = Server

        def __init__(self) -> None:
            super().__init__(portal)

    port = loop.listenTCP(0, Factory(), interface="127.0.0.1")
    new = folder / "port.new"
    new.write_text(str(port.getHost().port))
    new.rename(folder / PORT)
    loop.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
