"""Servers that lie, flood or break off, in threads: the client is never led elsewhere, filled or kept waiting."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftpsd.demo.authority import Demonstration, create
from ftpsd.partners.contact import Contact, Fault, PartnerError
from ftpsd.partners.ftps_client import FTPSClient

Says = Callable[["Liar", str], str | None]


class Liar:
    """A server whose replies *says* gives: None stands for the usual one."""

    def __init__(self, identity: Demonstration, says: Says) -> None:
        self.identity = identity
        self.says = says
        self.commands: list[str] = []
        self.data = b"x" * 1000
        self.is_polite = True
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(identity.certificate, identity.private_key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._passive = socket.create_server(("127.0.0.1", 0))
        self.passive_port: int = self._passive.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def client(self, timeout: float = 5.0) -> FTPSClient:
        """Return a client of it."""
        port: int = self._listener.getsockname()[1]
        authority = self.identity.authority.read_text()
        return FTPSClient(Contact("127.0.0.1", port, "explicit", "a", "b", authority, timeout=timeout))

    def close(self) -> None:
        """End it."""
        self._listener.close()
        self._passive.close()

    def _serve(self) -> None:
        try:
            control, _ = self._listener.accept()
            control.sendall((self.says(self, "GREETING") or "220 hello\r\n").encode())
            buffer = b""
            while True:
                while b"\r\n" not in buffer:
                    if not (more := control.recv(4096)):
                        return
                    buffer += more
                line, _, buffer = buffer.partition(b"\r\n")
                command = line.decode()
                self.commands.append(command)
                verb = command.split()[0]
                usual = {
                    "AUTH": "234 go\r\n",
                    "USER": "331 more\r\n",
                    "PASS": "230 in\r\n",
                    "FEAT": "211-F\r\n MLST\r\n211 end\r\n",
                    "EPSV": "500 no\r\n",
                    "PASV": f"227 (10,255,255,1,{self.passive_port >> 8},{self.passive_port & 255})\r\n",
                    "RETR": "150 now\r\n",
                    "MLSD": "150 now\r\n",
                }
                control.sendall((self.says(self, command) or usual.get(verb, "200 ok\r\n")).encode())
                if verb == "AUTH":
                    control = self._context.wrap_socket(control, server_side=True)
                if verb in ("RETR", "MLSD"):
                    self._send()
                    control.sendall(b"226 done\r\n")
        except OSError:
            pass  # the client has gone, as it should

    def _send(self) -> None:
        raw, _ = self._passive.accept()
        data = self._context.wrap_socket(raw, server_side=True)
        data.sendall(self.data)
        if self.is_polite:
            data.unwrap()
        data.close()


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    """The certificate of all liars."""
    folder: Path = tmp_path_factory.mktemp("liars")
    return create(folder)


@pytest.fixture
def lies(identity: Demonstration) -> Iterator[Callable[[Says], Liar]]:
    """Makes liars."""
    made: list[Liar] = []

    def make(says: Says) -> Liar:
        made.append(Liar(identity, says))
        return made[-1]

    yield make
    for liar in made:
        liar.close()


def test_data_come_from_where_the_control_connection_is(lies: Callable[[Says], Liar]) -> None:
    """A 227 with another address leads nowhere else; a file that is cut off without close_notify is not whole."""
    liar = lies(lambda *_: None)
    client = liar.client()
    client.open()
    got: list[bytes] = []
    assert client.get("/x", 0, 1000, got.append) == 1000
    liar.is_polite = False
    assert client.get("/x", 0, 1000, got.append) == 1000
    for size, fault, text in ((None, Fault.BROKEN, "cut off"), (1001, Fault.LATER, "1000 of 1001")):
        with pytest.raises(PartnerError, match=text) as failed:
            client.get("/x", 0, size, got.append)
        assert failed.value.fault is fault
    with pytest.raises(PartnerError, match="longer than it was"):
        client.get("/x", 0, 10, got.append)


def test_names_that_hold_commands_are_never_sent(lies: Callable[[Says], Liar]) -> None:
    """CR, LF and NUL would end the command; what has no bytes cannot be one."""
    liar = lies(lambda *_: None)
    client = liar.client()
    client.open()
    before = len(liar.commands)
    for name in ("a\r\nDELE b", "a\nb", "a\0b", "a\ud800"):
        with pytest.raises(PartnerError):
            client.delete(name)
    assert len(liar.commands) == before


def test_floods_and_silence_are_bounded(lies: Callable[[Says], Liar]) -> None:
    """A reply without end, a line without end, commands in clear behind AUTH, silence, and no FTP at all."""
    for says, text in (
        (lambda _, c: "220-a\r\n" * 600 if c == "GREETING" else None, "longer than 500 lines"),
        (lambda _, c: "2" * 20_000 if c == "GREETING" else None, "longer than 8192"),
        (lambda _, c: "234 go\r\n230 in\r\n" if c.startswith("AUTH") else None, "in clear"),
        (lambda _, c: "220 never ending" if c == "GREETING" else None, "does not answer"),
        (lambda _, c: "HTTP/1.1 400 Bad\r\n" if c == "GREETING" else None, "does not speak FTP"),
        (lambda _, c: "421 busy\r\n" if c == "GREETING" else None, "ends the session"),
        (lambda _, c: "500 no TLS here\r\n" if c.startswith("AUTH") else None, "500 no TLS"),
        (lambda _, c: "332 more\r\n" if c.startswith("PASS") else None, "second factor"),
    ):
        liar = lies(says)
        with pytest.raises(PartnerError, match=text):
            liar.client(timeout=0.3).open()
        assert not any(command.startswith("PASS") for command in liar.commands) or "second" in text
