"""
Somebody on the line reads the name of the key that seals a session's tickets of TLS 1.3, and forges one of that name.

The client is openssl s_client, whose TLS sessions are files that can be changed.
"""

from __future__ import annotations

import base64
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.client import CLEAR, EXPLICIT, IPV4, TIMEOUT, ControlConnection
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually
from tests.tools import require_tool

SECRET = b"secret"
SERVED, REFUSED = (["150", "226"], SECRET), (["150", "522"], b"")
# OpenSSL, and RFC 5077, 4: a ticket begins with the name of its key.
KEY_NAME = 16


class Line(ControlConnection):
    """A control connection through s_client, which speaks TLS 1.3 and writes its newest session to *session*."""

    def __init__(self, daemon: Daemon, session: Path, stack: ExitStack) -> None:
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(TIMEOUT)
        self._received = b""
        stack.enter_context(self.sock)
        with theirs:
            arguments = client("-connect", f"{IPV4}:{daemon.ports.implicit}", "-sess_out", str(session))
            process = subprocess.Popen(
                arguments, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.DEVNULL
            )
        stack.callback(process.wait)
        stack.callback(process.kill)


def client(*arguments: str) -> list[str]:
    return [require_tool("openssl"), "s_client", "-quiet", "-tls1_3", *arguments]


def retrieve(control: Line, session: Path, made: Path) -> tuple[list[str], bytes]:
    """Return the codes of the replies to RETR over a data connection that resumes *session*, and what arrived."""
    control.send("EPSV")
    port = control.reply().split("|")[3]
    control.send("RETR secret")
    arguments = client("-connect", f"{IPV4}:{port}", "-sess_in", str(session), "-sess_out", str(made))
    data = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False)
    return [control.reply()[:3], control.reply()[:3]], data.stdout


def forged(session: Path, other: Path) -> Path:
    """Return a copy of *session* with a ticket of the same key's name and length, and otherwise other bytes."""
    text = subprocess.run(
        [require_tool("openssl"), "sess_id", "-in", str(session), "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    shown = text.partition("TLS session ticket:\n")[2].partition("\n\n")[0]
    rows = [re.match(r"\s+[0-9a-f]{4} - ((?:[0-9a-f]{2}[ -]){1,16})", row) for row in shown.splitlines()]
    ticket = bytes.fromhex("".join(row[1].replace("-", " ") for row in rows if row))
    assert len(ticket) > 100
    begin, *body, end = session.read_text().splitlines()
    stored = base64.b64decode("".join(body))
    assert stored.count(ticket) == 1
    changed = ticket[:KEY_NAME] + bytes(byte ^ 0xFF for byte in ticket[KEY_NAME:])
    other.write_text("\n".join([begin, base64.b64encode(stored.replace(ticket, changed)).decode(), end, ""]))
    return other


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


# The client is what decides about TLS here: the ways stand for the two daemons.
@pytest.mark.parametrize("way", [CLEAR, EXPLICIT], ids=str)
def test_a_forged_ticket_of_the_right_key_gets_nowhere(daemon: Daemon, tmp_path: Path, stack: ExitStack) -> None:
    """It is refused, and so is what it has begun, the next time."""
    account = daemon.account()
    (account.home / "secret").write_bytes(SECRET)
    own, renewed, begun = (tmp_path / name for name in ("own", "renewed", "begun"))
    control = Line(daemon, own, stack)
    assert control.reply().startswith("220")
    assert control.ask(f"USER {account.name}").startswith("331")
    assert control.ask(f"PASS {account.password}").startswith("230")
    assert control.ask("PBSZ 0").startswith("200")
    assert control.ask("PROT P").startswith("200")
    eventually(own.exists, "s_client has written its session")
    for _ in range(2):
        # From the second time on the name of the key is known.
        assert retrieve(control, own, renewed) == SERVED
    assert retrieve(control, forged(renewed, tmp_path / "forged"), begun) == REFUSED
    eventually(begun.exists, "the stranger has a session")
    assert retrieve(control, begun, tmp_path / "more") == REFUSED
