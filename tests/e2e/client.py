"""
Clients: Python's ftplib with what it lacks (TLS session reuse, implicit TLS), and a control connection byte by byte.
"""

from __future__ import annotations

import ftplib
import io
import random
import socket
import ssl
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from tests.e2e.daemon import Account, Daemon

TIMEOUT = 30.0
IPV4, IPV6 = "127.0.0.1", "::1"

Mode = Literal["clear", "explicit", "implicit"]


@dataclass(frozen=True, slots=True)
class Way:
    """A way to talk to the daemon: in clear, or by one version of TLS."""

    mode: Mode
    version: ssl.TLSVersion | None = None

    @property
    def is_secure(self) -> bool:
        return self.mode != "clear"

    def __str__(self) -> str:
        return self.mode if self.version is None else f"{self.mode}-{self.version.name}"


CLEAR = Way("clear")
EXPLICIT = Way("explicit", ssl.TLSVersion.TLSv1_3)
EXPLICIT_1_2 = Way("explicit", ssl.TLSVersion.TLSv1_2)
IMPLICIT = Way("implicit", ssl.TLSVersion.TLSv1_3)
IMPLICIT_1_2 = Way("implicit", ssl.TLSVersion.TLSv1_2)
WAYS = (CLEAR, EXPLICIT, EXPLICIT_1_2, IMPLICIT, IMPLICIT_1_2)
SECURE_WAYS = WAYS[1:]


def tls_context(daemon: Daemon, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Return a client's context that trusts *daemon* and speaks *version* only."""
    context = ssl.create_default_context(cafile=str(daemon.tls.authority))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


class ReusedFTP_TLS(ftplib.FTP_TLS):
    """ftplib's client, whose data connections resume the TLS session of the control connection."""

    is_protected = False

    def prot_p(self) -> str:
        """Protect the data connections."""
        self.is_protected = True
        return self.voidcmd("PBSZ 0") + self.voidcmd("PROT P")

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """Start a transfer; return the data connection and the size the server announced."""
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        return (self.secured(connection) if self.is_protected else connection), size

    def secured(self, connection: socket.socket) -> ssl.SSLSocket:
        """Return the data *connection* under TLS, in the session of the control connection."""
        assert isinstance(self.sock, ssl.SSLSocket)
        return self.context.wrap_socket(connection, server_hostname=self.host, session=self.sock.session)


class ImplicitFTP_TLS(ReusedFTP_TLS):
    """The same, with TLS from the first byte."""

    def connect(
        self, host: str = "", port: int = 0, timeout: float = -999, source_address: tuple[str, int] | None = None
    ) -> str:
        """Connect, start TLS, read the greeting."""
        self.host, self.port = host, port
        connection = socket.create_connection((host, port), TIMEOUT)
        self.af = connection.family
        self.sock = self.context.wrap_socket(connection, server_hostname=host)
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()
        return self.welcome


def connect(daemon: Daemon, way: Way, host: str = IPV4) -> ftplib.FTP:
    """Return a client that has read the greeting, under TLS where *way* says so."""
    if way.mode == "clear":
        clear = ftplib.FTP(timeout=TIMEOUT)
        clear.connect(host, daemon.ports.explicit)
        return clear
    context = tls_context(daemon, way.version)
    if way.mode == "implicit":
        implicit = ImplicitFTP_TLS(context=context, timeout=TIMEOUT)
        implicit.connect(host, daemon.ports.implicit)
        return implicit
    explicit = ReusedFTP_TLS(context=context, timeout=TIMEOUT)
    explicit.connect(host, daemon.ports.explicit)
    explicit.auth()
    return explicit


def log_in(daemon: Daemon, way: Way, account: Account, host: str = IPV4) -> ftplib.FTP:
    """Return a client that is logged in and protects its data connections where *way* says so."""
    ftp = connect(daemon, way, host)
    ftp.sendcmd(f"USER {account.name}")
    ftp.sendcmd(f"PASS {account.password}")
    if isinstance(ftp, ftplib.FTP_TLS):
        ftp.prot_p()
    return ftp


class Sessions:
    """Opens sessions to one daemon in one way, and closes them at the end."""

    def __init__(self, daemon: Daemon, way: Way) -> None:
        self.daemon = daemon
        self.way = way
        self._stack = ExitStack()

    def connect(self, host: str = IPV4) -> ftplib.FTP:
        """Return a session before its login."""
        return self._kept(connect(self.daemon, self.way, host))

    def log_in(self, account: Account, host: str = IPV4) -> ftplib.FTP:
        """Return a session of *account*."""
        return self._kept(log_in(self.daemon, self.way, account, host))

    def close(self) -> None:
        """Close all of them."""
        self._stack.close()

    def _kept(self, ftp: ftplib.FTP) -> ftplib.FTP:
        self._stack.callback(ftp.close)
        return ftp


def reply(ftp: ftplib.FTP, command: str) -> str:
    """Send *command* and return its reply, good or bad."""
    ftp.putcmd(command)
    return ftp.getmultiline()


def code(ftp: ftplib.FTP, command: str) -> int:
    """Send *command* and return the code of its reply."""
    return int(reply(ftp, command)[:3])


def next_code(ftp: ftplib.FTP) -> int:
    """Return the code of the next reply."""
    return int(ftp.getmultiline()[:3])


def upload(ftp: ftplib.FTP, name: str, data: bytes, verb: str = "STOR", rest: int | None = None) -> str:
    """Store *data* as *name* and return the reply."""
    return ftp.storbinary(f"{verb} {name}", io.BytesIO(data), rest=rest)


def download(ftp: ftplib.FTP, name: str, rest: int | None = None) -> bytes:
    """Return the content of *name*."""
    pieces: list[bytes] = []
    ftp.retrbinary(f"RETR {name}", pieces.append, rest=rest)
    return b"".join(pieces)


def listing(ftp: ftplib.FTP, command: str) -> list[str]:
    """Return the lines a listing command sends over the data connection."""
    lines: list[str] = []
    ftp.retrlines(command, lines.append)
    return lines


def begin(ftp: ftplib.FTP, command: str, *, after: str | None = None) -> tuple[socket.socket, str]:
    """
    Begin a transfer in passive mode; return the data connection, secured where it must be, and the 150.

    *after* is a command that must come right before it.
    """
    assert ftp.sock is not None
    host, port = ftplib.parse229(ftp.sendcmd("EPSV"), ftp.sock.getpeername())
    connection = socket.create_connection((host, port), TIMEOUT)
    if after is not None:
        assert reply(ftp, after)[0] in "23"
    opening = reply(ftp, command)
    assert opening.startswith("150"), opening
    if isinstance(ftp, ReusedFTP_TLS) and ftp.is_protected:
        return ftp.secured(connection), opening
    return connection, opening


def finish(connection: socket.socket) -> None:
    """End an upload as a proper client does: with close_notify, where there is TLS, then FIN."""
    if isinstance(connection, ssl.SSLSocket):
        connection.unwrap()
    connection.close()


def read_all(connection: socket.socket) -> bytes:
    """Return everything up to the end of the data connection, and close it."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    finish(connection)
    return b"".join(pieces)


def content(size: int) -> bytes:
    """Return *size* bytes that are the same every time and compress badly."""
    return random.Random(size).randbytes(size)


class ControlConnection:
    """A control connection byte by byte, for what no proper client would send."""

    def __init__(self, host: str, port: int, source: str | None = None) -> None:
        source_address = None if source is None else (source, 0)
        self.sock: socket.socket = socket.create_connection((host, port), TIMEOUT, source_address)
        self._received = b""

    def start_tls(
        self, context: ssl.SSLContext, session: ssl.SSLSession | None = None, *, ragged: bool = True, name: str = IPV4
    ) -> ssl.SSLSocket:
        """Wrap the connection; without *ragged* a FIN that no close_notify announced raises SSLEOFError."""
        secure = context.wrap_socket(self.sock, server_hostname=name, session=session, suppress_ragged_eofs=ragged)
        self.sock = secure
        return secure

    def send(self, *lines: str) -> None:
        """Send all *lines* at once."""
        self.sock.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def reply(self) -> str:
        """Return the next reply, all of its lines; "" when the server has closed the connection."""
        lines = [self._line()]
        while lines[-1][3:4] == "-" or (len(lines) > 1 and not lines[-1].startswith(lines[0][:3] + " ")):
            lines.append(self._line())
        return "\n".join(lines)

    def ask(self, line: str) -> str:
        """Send one line and return the reply."""
        self.send(line)
        return self.reply()

    def log_in(self, account: Account) -> None:
        """Log in, and protect data connections when under TLS."""
        assert self.ask(f"USER {account.name}").startswith("331")
        assert self.ask(f"PASS {account.password}").startswith("230")
        if isinstance(self.sock, ssl.SSLSocket):
            assert self.ask("PBSZ 0").startswith("200")
            assert self.ask("PROT P").startswith("200")

    def passive(self) -> tuple[str, int]:
        """Agree on a passive port and return where it is."""
        answer = self.ask("EPSV")
        assert answer.startswith("229"), answer
        return self.sock.getpeername()[0], int(answer.split("|")[3])

    def rest(self) -> bytes:
        """Return everything up to the end of the connection."""
        data, self._received = self._received, b""
        while piece := self.sock.recv(65536):
            data += piece
        return data

    def close(self) -> None:
        self.sock.close()

    def _line(self) -> str:
        while b"\n" not in self._received:
            piece = self.sock.recv(65536)
            if not piece:
                rest, self._received = self._received, b""
                return rest.decode(errors="surrogateescape")
            self._received += piece
        line, _, self._received = self._received.partition(b"\n")
        # Names that are not UTF-8 come as they are.
        return line.decode(errors="surrogateescape").rstrip("\r")


def control(daemon: Daemon, way: Way, *, ragged: bool = True) -> ControlConnection:
    """Return a control connection that has read the greeting, under TLS where *way* says so."""
    port = daemon.ports.implicit if way.mode == "implicit" else daemon.ports.explicit
    connection = ControlConnection(IPV4, port)
    if way.mode == "implicit":
        connection.start_tls(tls_context(daemon, way.version), ragged=ragged)
    assert connection.reply().startswith("220")
    if way.mode == "explicit":
        assert connection.ask("AUTH TLS").startswith("234")
        connection.start_tls(tls_context(daemon, way.version), ragged=ragged)
    return connection
