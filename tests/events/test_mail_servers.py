"""Mail servers that flood or trickle: neither fills nor keeps a worker."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import repeat

import pytest

from ftpsd.config.automation.workflow_rules import Mail
from ftpsd.outward.mailing import Letter, NotSent, send_letter

# Bytes after which a server that floods gives up: far more than the bound.
MOST = 4_000_000


def said_by(pieces: Iterable[bytes], between: Callable[[], object] = bool) -> str:
    """Return why a letter was not sent to a server that says *pieces*, and does *between* behind each."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        left = MOST
        with connection, suppress(OSError):
            for piece in pieces:
                connection.sendall(piece)
                left -= len(piece)
                between()
                if left < 0:
                    break

    threading.Thread(target=serve, daemon=True).start()
    port = listener.getsockname()[1]
    mail = Mail.model_validate(
        {"server": "127.0.0.1", "port": port, "security": "none", "sender": "a@b.example", "timeout": "1s"}
    )
    letter = Letter("a@b.example", ["c@d.example"], "x", "y", "id", 0.0)
    with listener, pytest.raises(NotSent) as caught:
        send_letter(letter, mail, None, None)
    return str(caught.value)


def test_floods_and_trickles_are_bounded() -> None:
    """A reply without an end is cut off by its length, and one that comes byte by byte by its time."""
    assert "longer than 65536 bytes" in said_by(repeat(b"220-and more\r\n" * 100))
    ended = threading.Event()
    # Half of the time that the client waits for a byte lies between two; after 20 the server says a whole reply, a no.
    pieces = [b"2", b"2", b"0", b"-", *[b"x"] * 16, b"\r\n554 no\r\n"]
    assert "takes too long" in said_by(pieces, lambda: ended.wait(0.5))
