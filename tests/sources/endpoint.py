"""A real HTTPS endpoint that knows users, and answers as a test wants; on the reactor of the test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.ssl import Certificate, PrivateCertificate
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from tests.sources.authority import Identity, issue
from tests.sources.turning import outcome, reactor

USERS: dict[str, dict[str, Any]] = {
    name: {"home": f"/srv/ftpsd/{name}", "role": "uploader", "enabled": name != "dora"}
    for name in ("alice", "bob", "dora")
}
Answer = Callable[[Request, dict[str, Any]], "bytes | int"]


class Endpoint:
    """
    An endpoint at *port*; *asked* are the questions, *headers* those of the last one.

    *answer*, where it is given, decides alone. Passwords are "<name>'s". *clients* asks for a certificate of theirs.
    """

    def __init__(self, folder: Path, clients: Identity | None = None) -> None:
        self.identity = issue(folder / "tls", "localhost")
        self.asked: list[dict[str, Any]] = []
        self.headers: dict[bytes, list[bytes]] = {}
        self.answer: Answer | None = None
        pem = self.identity.certificate.read_bytes() + self.identity.private_key.read_bytes()
        trusted = () if clients is None else (Certificate.loadPEM(clients.authority.read_bytes()),)
        # A root of none asks for no certificate.
        options = PrivateCertificate.loadPEM(pem).options(*trusted)
        self._site = Site(_Users(self))
        self._site.noisy = False
        self._port: Any = reactor.listenSSL(0, self._site, options, interface="127.0.0.1")
        self.port: int = self._port.getHost().port

    def stop(self) -> None:
        """End it."""
        outcome(self._port.stopListening())


class _Users(Resource):
    isLeaf = True

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.endpoint = endpoint

    def render_POST(self, request: Request) -> bytes | int:
        assert request.content is not None
        question = json.loads(request.content.read())
        self.endpoint.asked.append(question)
        self.endpoint.headers = {name: list(values) for name, values in request.requestHeaders.getAllRawHeaders()}
        if self.endpoint.answer is not None:
            return self.endpoint.answer(request, question)
        user = USERS.get(question["user"])
        if user is None:
            request.setResponseCode(404)
            return b""
        if question["question"] == "password" and question["password"] != f"{question['user']}'s":
            request.setResponseCode(403)
            return b"no"
        return json.dumps(user).encode()


def hang(request: Request, question: dict[str, Any]) -> int:
    """Never answer."""
    request.notifyFinish().addErrback(lambda _: None)
    return NOT_DONE_YET
