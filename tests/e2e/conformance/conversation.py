"""
Conversations: what a client says and what the server must answer, written as a script.

    RETR file -> 150 226 : 0123456789       a data connection is made first, and brings what is behind the colon
    STOR new <abc> -> 150 226               a data connection is made first, and what is in <> is sent
    PWD -> 257 "/" .*                       the reply's text matches what is behind the code
    STAT -> 211- Status:.*                  a hyphen asks for a reply of several lines, or of any number
    NOOP -> 200|202                         either

Escapes in what is sent and received are Python's: \\r\\n, \\xff. Every conversation begins among
the files of `furnish`.
"""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.client import IPV4, TIMEOUT, ControlConnection, Way, control, finish, read_all
from tests.e2e.daemon import Account, Daemon

STEP = re.compile(
    r"(?P<line>.*?)(?: <(?P<sent>.*)>)? -> (?P<codes>[0-9]{3}(?:[ |][0-9]{3})*)(?P<many>-?)"
    r"(?: (?!:)(?P<text>.+?))?(?P<receives> :(?: (?P<received>.*))?)?"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One command: its *line*, the *codes* of its replies, what goes over the data connection."""

    line: str
    codes: tuple[str, ...]
    text: str | None
    has_many_lines: bool
    sent: bytes | None
    received: bytes | None

    @classmethod
    def parse(cls, written: str) -> Step:
        """Read a line of a script."""
        match = STEP.fullmatch(written)
        assert match is not None, written
        sent = None if match["sent"] is None else _unescaped(match["sent"])
        received = None if match["receives"] is None else _unescaped(match["received"] or "")
        codes = tuple(match["codes"].split(" "))
        return cls(
            _unescaped(match["line"]).decode("latin-1"), codes, match["text"], bool(match["many"]), sent, received
        )

    @property
    def uses_data(self) -> bool:
        """Whether a data connection is made for it."""
        return self.sent is not None or self.received is not None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A script and the clause it is about; *logs_in* False: before the login."""

    clause: str
    steps: tuple[Step, ...]
    logs_in: bool = True


def conversation(clause: str, script: str, *, logs_in: bool = True) -> Conversation:
    """Return the conversation that *script* describes."""
    lines = [line.strip() for line in script.strip().split("\n")]
    return Conversation(clause, tuple(map(Step.parse, lines)), logs_in)


def furnish(home: Path) -> None:
    """Put the files there that every conversation begins among."""
    (home / "file").write_bytes(b"0123456789")
    (home / "text").write_bytes(b"a\nb\n")
    (home / "empty").write_bytes(b"")
    (home / "dir" / "sub").mkdir(parents=True)
    (home / "dir" / "inner").write_bytes(b"inner")
    (home / "void").mkdir()


class Speaker:
    """A client that holds conversations over one control connection."""

    def __init__(self, daemon: Daemon, way: Way, account: Account | None) -> None:
        self.connection: ControlConnection = control(daemon, way)
        if account is not None:
            self.connection.log_in(account)

    def hold(self, steps: tuple[Step, ...]) -> None:
        """Say every line and see that the answers are right."""
        for step in steps:
            data = self.data_connection() if step.uses_data else None
            self.connection.sock.sendall(step.line.encode("latin-1") + b"\r\n")
            received = b""
            replies = [self.connection.reply()]
            if data is not None and replies[0].startswith("1"):
                received = self.transfer(data, step.sent)
            replies += [self.connection.reply() for _ in step.codes[1:]]
            for reply, codes in zip(replies, step.codes, strict=True):
                assert reply[:3] in codes.split("|"), f"{step.line}: {reply}"
            _, _, text = replies[-1].partition(replies[-1][3:4])
            if step.text is not None:
                assert re.fullmatch(step.text, text, re.DOTALL), f"{step.line}: {text}"
            assert step.has_many_lines or "\n" not in text, f"{step.line}: {text}"
            if step.received is not None:
                assert received == step.received, step.line

    def data_connection(self) -> socket.socket:
        """Agree on a data connection and make it."""
        return socket.create_connection(self.connection.passive(), TIMEOUT)

    def transfer(self, plain: socket.socket, sent: bytes | None) -> bytes:
        """Send *sent*, or return what the server sends."""
        data = plain
        control_socket = self.connection.sock
        if isinstance(control_socket, ssl.SSLSocket):
            session = control_socket.session
            data = control_socket.context.wrap_socket(plain, server_hostname=IPV4, session=session)
        if sent is None:
            return read_all(data)
        data.sendall(sent)
        finish(data)
        return b""

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def _unescaped(text: str) -> bytes:
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")
