"""A receiver of webhooks over HTTPS, in threads of its own, which answers as a test wants."""

from __future__ import annotations

import base64
import json
import os
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.sources.authority import issue


@dataclass(frozen=True, slots=True)
class Hook:
    """One request: its headers, in lower case, its body, and the status that it got."""

    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def event(self) -> dict[str, Any]:
        """The CloudEvent."""
        event: dict[str, Any] = json.loads(self.body)
        return event


Answer = Callable[[BaseHTTPRequestHandler, dict[str, Any]], int]


def take(_: BaseHTTPRequestHandler, __: dict[str, Any]) -> int:
    """Take everything."""
    return 204


class Hooks:
    """A receiver on *port*; *got* are all requests, *answer* decides about each, its files are in *folder*."""

    def __init__(self, folder: Path, answer: Answer = take) -> None:
        self.identity = issue(folder / "hooks", "localhost")
        self.answer = answer
        self.secret = folder / "hooks" / "secret"
        self.key = os.urandom(32)
        self.secret.write_text("whsec_" + base64.b64encode(self.key).decode() + "\n")
        self.secret.chmod(0o600)
        self._got: list[Hook] = []
        self._mutex = threading.Lock()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.identity.certificate, self.identity.private_key)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.serve(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """Answer *request*."""
        body = request.rfile.read(int(request.headers["content-length"]))
        status = self.answer(request, json.loads(body))
        with self._mutex:
            self._got.append(Hook({name.lower(): value for name, value in request.headers.items()}, body, status))
        if status:
            request.send_response(status)
            request.send_header("content-length", "0")
            request.end_headers()

    @property
    def got(self) -> list[Hook]:
        """All requests so far."""
        with self._mutex:
            return [*self._got]

    @property
    def taken(self) -> list[dict[str, Any]]:
        """The events that were answered with 2xx, in order."""
        return [hook.event for hook in self.got if 200 <= hook.status < 300]

    def sink(self, **changes: Any) -> dict[str, Any]:
        """Return the sink for ftpsd.yaml."""
        return {
            "name": "hooks",
            "webhook": f"https://localhost:{self.port}/in",
            "secret_file": str(self.secret),
            "authority": str(self.identity.authority),
            "networks": ["127.0.0.0/8", "::1"],
            **changes,
        }

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 50

    def handle_error(self, *_: Any) -> None:
        """Say nothing: clients that are killed break off."""
