"""
Errands of a client: a listing, a download, an upload or a command, as a line of curl, and done.

curl does them where it is installed, else Python's ftplib. `Caller` is ftplib's client with what it lacks: data
connections that resume the TLS session of the control connection, and implicit TLS.
"""

from __future__ import annotations

import ftplib
import shlex
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ftpsd.demo.demonstration import IPV4, Demo

PATIENCE: Final = 60.0
# Of a listing or a small file that is shown.
MOST_SHOWN: Final = 4096


@dataclass(frozen=True, slots=True)
class Errand:
    """
    The errand of a client as *user*: a directory (its *path* ends in /) is listed, a file fetched, or *upload* stored.

    *command* is sent before. *resumes* goes on where an earlier transfer has ended. *source* is the address it comes
    from, *certificate* are a client's certificate and key.
    """

    user: str
    password: str = field(repr=False)
    path: str = "/"
    upload: Path | None = None
    fetch_to: Path | None = None
    command: str | None = None
    resumes: bool = False
    is_implicit: bool = False
    source: str | None = None
    certificate: tuple[Path, Path] | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """How an errand ended: all *replies* of the server, and what came, if that is text."""

    replies: tuple[str, ...]
    text: str = ""

    @property
    def code(self) -> str:
        """The last reply's code that is no good-bye, "" where there was none."""
        codes = [reply[:3] for reply in self.replies if not reply.startswith("221")]
        return codes[-1] if codes else ""

    @property
    def told(self) -> list[str]:
        """The replies worth a look: the greeting's end, the login, refusals and the last."""
        last = self.replies[-1:]
        told = [reply for reply in self.replies if reply.startswith(("230", "232", "4", "5"))]
        return [*told, *(reply for reply in last if reply not in told)]


def curl_line(demo: Demo, errand: Errand) -> str:
    """Return the line for another terminal."""
    login = shlex.quote(f"{errand.user}:{errand.password}")
    return f"curl --user {login} {shlex.join(_curl_words(demo, errand))}"


def do(demo: Demo, errand: Errand) -> Done:
    """Do *errand* with curl or, where that is not installed, with ftplib."""
    curl = shutil.which("curl")
    return _with_ftplib(demo, errand) if curl is None else _with_curl(curl, demo, errand)


# --- curl


def _curl_words(demo: Demo, errand: Errand) -> list[str]:
    words = ["--ssl-reqd", "--cacert", str(demo.authority)]
    if errand.source is not None:
        words += ["--interface", errand.source]
    if errand.certificate is not None:
        words += ["--cert", str(errand.certificate[0]), "--key", str(errand.certificate[1])]
    if errand.command is not None:
        words += ["--quote", errand.command]
    if errand.resumes:
        words += ["--continue-at", "-"]
    if errand.upload is not None:
        words += ["--upload-file", str(errand.upload)]
    if errand.fetch_to is not None:
        words += ["--output", str(errand.fetch_to)]
    host = "localhost" if errand.source is None else IPV4
    scheme, port = ("ftps", demo.implicit_port) if errand.is_implicit else ("ftp", demo.port)
    return [*words, f"{scheme}://{host}:{port}{errand.path}"]


def _with_curl(curl: str, demo: Demo, errand: Errand) -> Done:
    # The password goes by standard input: others on this machine can see arguments.
    user = f"{errand.user}:{errand.password}".replace("\\", "\\\\").replace('"', '\\"')
    words = [curl, "--disable", "--silent", "--verbose", "--noproxy", "*", "--config", "-"]
    done = subprocess.run(
        [*words, *_curl_words(demo, errand)],
        input=f'user = "{user}"\n'.encode(),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    lines = done.stderr.decode(errors="replace").splitlines()
    replies = tuple(line[2:].rstrip() for line in lines if line.startswith("< ") and line[2:5].isdigit())
    return Done(replies, done.stdout[:MOST_SHOWN].decode(errors="replace"))


# --- ftplib


class Caller(ftplib.FTP_TLS):
    """A client that notes all *replies*, and comes from *source* where that is given."""

    def __init__(self, demo: Demo, errand: Errand) -> None:
        context = ssl.create_default_context(cafile=str(demo.authority))
        if errand.certificate is not None:
            context.load_cert_chain(*errand.certificate)
        super().__init__(context=context, timeout=PATIENCE)
        self.replies: list[str] = []
        self._is_implicit = errand.is_implicit
        source = None if errand.source is None else (errand.source, 0)
        self.connect(IPV4, demo.implicit_port if errand.is_implicit else demo.port, source_address=source)
        if not self._is_implicit:
            self.auth()
        answer = self.sendcmd(f"USER {errand.user}")
        if answer.startswith("331"):
            self.voidcmd(f"PASS {errand.password}")
        self.voidcmd("PBSZ 0")
        self.voidcmd("PROT P")
        self.voidcmd("TYPE I")

    def connect(
        self, host: str = "", port: int = 0, timeout: float = -999, source_address: tuple[str, int] | None = None
    ) -> str:
        """Connect, start implicit TLS, read the greeting."""
        self.host, self.port = host, port
        connection = socket.create_connection((host, port), PATIENCE, source_address)
        self.af = connection.family
        secured = self.context.wrap_socket(connection, server_hostname=host) if self._is_implicit else connection
        self.sock = secured
        self.file = secured.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()
        return self.welcome

    def getmultiline(self) -> str:
        """Read a reply, and note its last line."""
        reply = super().getmultiline()
        self.replies.append(reply.rpartition("\n")[2])
        return reply

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """Start a transfer in the TLS session of the control connection."""
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        assert isinstance(self.sock, ssl.SSLSocket)
        return self.context.wrap_socket(connection, server_hostname=self.host, session=self.sock.session), size

    def finish(self, data: socket.socket) -> str:
        """End the upload that goes through *data*, and return the reply."""
        assert isinstance(data, ssl.SSLSocket)
        data.unwrap()
        data.close()
        return self.getresp()


def _with_ftplib(demo: Demo, errand: Errand) -> Done:
    replies: list[str] = []
    text: list[bytes] = []
    try:
        caller = Caller(demo, errand)
        replies = caller.replies
        with caller:
            if errand.command is not None:
                caller.voidcmd(errand.command)
            _transfer(caller, errand, text.append)
    except ftplib.Error as problem:
        # A login that fails leaves no caller to ask.
        if (refusal := str(problem).rpartition("\n")[2]) not in replies:
            replies.append(refusal)
    except (OSError, EOFError) as problem:
        replies.append(str(problem) or type(problem).__name__)
    return Done(tuple(replies), b"".join(text)[:MOST_SHOWN].decode(errors="replace"))


def _transfer(caller: Caller, errand: Errand, show: Callable[[bytes], Any]) -> None:
    if errand.upload is not None:
        offset = (caller.size(errand.path) or 0) if errand.resumes else 0
        with open(errand.upload, "rb") as file:
            file.seek(offset)
            caller.storbinary(f"STOR {errand.path}", file, rest=offset or None)
    elif errand.path.endswith("/"):
        caller.retrbinary(f"LIST {errand.path}", show)
    elif errand.fetch_to is not None:
        with open(errand.fetch_to, "wb") as file:
            caller.retrbinary(f"RETR {errand.path}", file.write)
    else:
        caller.retrbinary(f"RETR {errand.path}", show)
