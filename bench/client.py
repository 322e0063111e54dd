"""
A lean FTPS client: as little Python between two system calls as the `ssl` module allows.

Data connections resume the session of the control connection when the server lets them. The reply 150 is read before
the handshake, as curl does. Certificates are not verified: that would cost the client the same with every server.
"""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass

from bench.measure import BenchError

HOST = "127.0.0.1"
# Seconds; nothing a client waits for takes longer unless the server hangs.
PATIENCE = 60.0
PORT = re.compile(r"\(\|\|\|(\d+)\|\)")
CIPHER = "TLS_AES_256_GCM_SHA384"
# The same cipher in TLS 1.2, for clients that take what the server prefers.
CIPHER_1_2 = "ECDHE-ECDSA-AES256-GCM-SHA384"
# Bytes that one read may bring: the largest TLS record.
RECORD = 16384


@dataclass
class Offer:
    """Which versions of TLS all clients offer: 1.3 alone or, with *is_open*, 1.2 too, as nearly all clients do."""

    is_open: bool = False


OFFER = Offer()


class Session:
    """
    One control connection under TLS; use `log_in` before anything else.

    With *nagle* its sockets keep Nagle's algorithm on, as those of ftplib and most scripts and devices do.
    """

    def __init__(self, port: int, *, nagle: bool = False) -> None:
        self.data_connections = 0
        self._nagle = nagle
        self.resumed = 0
        self._received = b""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2 if OFFER.is_open else ssl.TLSVersion.TLSv1_3
        if OFFER.is_open:
            self.context.set_ciphers(CIPHER_1_2)
        self._socket: socket.socket = _connected(port, nagle=nagle)
        self._tls: ssl.SSLSession | None = None
        self._expect(220)

    def log_in(self, user: str, password: str) -> None:
        """Start TLS, log in, protect data connections."""
        self.command("AUTH TLS", 234)
        secure = self.context.wrap_socket(self._socket)
        self._socket = secure
        cipher = secure.cipher()
        if cipher is None or cipher[0] not in (CIPHER, CIPHER_1_2):
            raise BenchError(f"cipher is {cipher and cipher[0]}")
        if self.command(f"USER {user}", 331, 230)[0] != 230:
            self.command(f"PASS {password}", 230)
        self._tls = secure.session

    def protect(self) -> None:
        """Set up binary transfers under TLS."""
        self.command("PBSZ 0", 200)
        self.command("PROT P", 200)
        self.command("TYPE I", 200)

    def command(self, line: str, *codes: int) -> tuple[int, str]:
        """Send *line*, return its reply; a code that is not among *codes* is an error."""
        self._socket.sendall(line.encode() + b"\r\n")
        return self._expect(*codes)

    def retrieve(self, command: str) -> int:
        """Run a command that sends data, read all of it, return its length."""
        total = 0
        data = self.open(command)
        while piece := data.recv(RECORD):
            total += len(piece)
        data.close()
        self._expect(226)
        return total

    def retrieve_lines(self, command: str) -> int:
        """Run a command that sends text, return the number of its lines."""
        lines = 0
        data = self.open(command)
        while piece := data.recv(RECORD):
            lines += piece.count(b"\n")
        data.close()
        self._expect(226)
        return lines

    def store(self, path: str, content: bytes) -> None:
        """Upload *content*."""
        data = self.open(f"STOR {path}")
        data.sendall(content)
        if self._nagle:
            # As ftplib does. A FIN now would send what Nagle holds back.
            try:
                data.unwrap()
            except (ssl.SSLError, OSError):
                pass
            data.close()
            self._expect(226)
            return
        data.setblocking(False)
        try:
            # close_notify goes out at once; the server's own is not waited for, some send none.
            data.unwrap()
        except (ssl.SSLError, OSError):
            pass
        plain = socket.socket(fileno=data.detach())
        plain.settimeout(PATIENCE)
        plain.shutdown(socket.SHUT_WR)
        # To close with unread session tickets would reset the connection and with it the upload.
        while plain.recv(RECORD):
            pass
        plain.close()
        self._expect(226)

    def quit(self) -> None:
        """Say goodbye and close."""
        self.command("QUIT", 221)
        self._socket.close()

    def close(self) -> None:
        """Close without a word."""
        self._socket.close()

    def open(self, command: str, buffer: int | None = None) -> ssl.SSLSocket:
        """Run *command* and return its data connection, secured; *buffer* bounds what the kernel takes in for it."""
        text = self.command("EPSV", 229)[1]
        found = PORT.search(text)
        if found is None:
            raise BenchError(f"EPSV: {text}")
        data = _connected(int(found[1]), buffer, nagle=self._nagle)
        self.command(command, 150, 125)
        secure = self.context.wrap_socket(data, session=self._tls, suppress_ragged_eofs=True)
        self.data_connections += 1
        self.resumed += bool(secure.session_reused)
        return secure

    def _expect(self, *codes: int) -> tuple[int, str]:
        line = self._line()
        if line[3:4] == "-":
            end = line[:3] + " "
            while not line.startswith(end):
                line = self._line()
        code = int(line[:3])
        if codes and code not in codes:
            raise BenchError(line)
        return code, line

    def _line(self) -> str:
        while b"\n" not in self._received:
            piece = self._socket.recv(RECORD)
            if not piece:
                raise BenchError("control connection closed")
            self._received += piece
        line, _, self._received = self._received.partition(b"\n")
        return line.decode("utf-8", "replace").rstrip()


def _connected(port: int, buffer: int | None = None, *, nagle: bool = False) -> socket.socket:
    connection = socket.socket()
    connection.settimeout(PATIENCE)
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.connect((HOST, port))
    if not nagle:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
