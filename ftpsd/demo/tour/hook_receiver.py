"""The receiver of the tour's webhook: another system, which notes what it is sent. Runs in a process of its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final

# An event has some hundreds of bytes.
MOST_BYTES: Final = 1 << 20


def receive(listening: socket.socket, certificate: Path, private_key: Path, secret: Path, received: Path) -> int:
    """Take requests at *listening* until the process is ended; note each in *received*, and whether it is signed."""
    key = base64.b64decode(secret.read_text().strip().removeprefix("whsec_"))

    class Receiver(BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self) -> None:
            length = self.headers.get("content-length", "")
            if not length.isdigit() or int(length) > MOST_BYTES:
                self.send_error(413)
                return
            body = self.rfile.read(int(length))
            signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
            signature = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
            is_signed = signature in self.headers.get("webhook-signature", "").split()
            note = {"id": self.headers["webhook-id"], "signature_is_good": is_signed, "body": json.loads(body)}
            with received.open("a", encoding="utf-8") as file:
                file.write(json.dumps(note) + "\n")
            self.send_response(204 if is_signed else 401)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the file has it all."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private_key)
    with HTTPServer(("127.0.0.1", 0), Receiver, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = context.wrap_socket(listening, server_side=True)
        server.serve_forever()
    return 0
