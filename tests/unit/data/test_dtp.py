"""The server-DTP: from an agreed port to a connection that may carry a transfer, or the reason why there is none."""

from __future__ import annotations

from typing import Any

import pytest

from ftpsd.data.candidates import WAIT_FOR_COMMAND
from ftpsd.data.connection import DataConnection
from ftpsd.data.holder import State
from ftpsd.data.ports import WAIT_FOR_PORT, PortsExhausted
from ftpsd.data.trouble import Cause, Trouble
from tests.dataclient import new_client
from tests.unit.data.side import CONNECT, HANDSHAKE, HOST, Opening, Side

# --- passive


def test_a_connection_that_is_there_is_used() -> None:
    """lftp and rclone connect before the command: open() has nothing to wait for."""
    side = Side()
    side.listen()
    side.arrive()
    assert isinstance(side.open().result, DataConnection)


def test_a_connection_that_comes_later_is_used() -> None:
    """Other clients connect after the 150."""
    side = Side()
    side.listen()
    opening = side.open()
    assert not opening.is_over
    side.arrive()
    assert isinstance(opening.result, DataConnection)


def test_a_transfer_uses_the_port_up() -> None:
    """After open() a new PASV or PORT is needed (RFC 959, 3.2)."""
    side = Side()
    side.listen()
    side.arrive()
    side.open()
    assert not side.dtp.has_port


def test_an_agreed_port_stays_until_it_is_used() -> None:
    """A command that fails before its 150 leaves the port usable (Netscape's symlink probing)."""
    side = Side()
    side.listen()
    side.arrive()
    assert side.dtp.has_port


def test_nobody_comes() -> None:
    """Without a connection the wait ends after connect_timeout seconds."""
    side = Side()
    side.listen()
    opening = side.open()
    side.reactor.advance(CONNECT)
    assert opening.trouble is Trouble.NOBODY_CAME


def test_who_does_not_come_loses_the_port() -> None:
    """The reservation returns to the pool."""
    side = Side()
    side.listen()
    side.open()
    side.reactor.advance(CONNECT)
    assert (side.ports.claimed, side.dtp.has_port) == (0, False)


def test_without_a_port_there_is_nothing_to_open() -> None:
    """open() without PASV or PORT says so."""
    assert Side().open().trouble is Trouble.NO_PORT


def test_a_new_passive_port_replaces_the_old() -> None:
    """At most one reservation for each session."""
    side = Side()
    side.listen()
    side.listen()
    assert side.ports.claimed == 1


def test_a_new_passive_port_drops_the_connection() -> None:
    """A connection to the old port is closed."""
    side = Side()
    side.listen()
    client = side.arrive()
    side.listen()
    assert client.read_all() == b""


def test_a_full_range_is_told() -> None:
    """listen() fails with PortsExhausted when every port is taken, and no port is agreed then."""
    side = Side()
    side.ports.claim(HOST, lambda _: None)
    listening = Opening(side.dtp.listen())
    side.reactor.advance(WAIT_FOR_PORT)
    assert isinstance(listening.result, PortsExhausted)
    assert not side.dtp.has_port


def test_a_session_that_ends_while_it_waits_holds_no_port() -> None:
    """forget() while listen() waits for a port: the port that comes later is given back at once."""
    side = Side()
    held: list[Any] = []
    side.ports.claim(HOST, lambda _: None).addCallback(held.append)
    listening = Opening(side.dtp.listen())
    side.dtp.forget()
    held[0].release()
    side.reactor.advance(WAIT_FOR_PORT)
    assert side.ports.claimed == 0
    assert not isinstance(listening.result, int)


@pytest.mark.parametrize("does_arrive", [False, True])
def test_forgetting_gives_everything_back(does_arrive: bool) -> None:
    """forget() releases the reservation and closes what has come."""
    side = Side()
    side.listen()
    if does_arrive:
        side.arrive()
    side.dtp.forget()
    assert (side.ports.claimed, side.dtp.has_port, side.reactor.watched) == (0, False, 0)


def test_aborting_ends_the_wait() -> None:
    """ABOR while nobody has connected yet."""
    side = Side()
    side.listen()
    opening = side.open()
    side.dtp.abort(Cause.ABOR)
    assert opening.trouble is Trouble.ABORTED
    assert side.reactor.getDelayedCalls() == []


def test_a_finished_connection_is_let_go() -> None:
    """After let_go() the next PASV does not cut the tail of the last file."""
    side = Side()
    side.listen()
    client = side.arrive()
    connection = side.open().result
    connection.finish(60)
    side.dtp.let_go(connection)
    side.dtp.forget()
    assert connection.state is State.CLOSING
    client.close()


# --- TLS


def test_the_handshake_begins_when_the_client_comes() -> None:
    """A client that starts TLS before it sends a command is answered after a moment: it may wait for that."""
    side = Side()
    side.protect()
    side.listen()
    client = side.arrive()
    client.shake_hands(side.resuming())
    assert client.tls is not None


def test_a_resumed_session_is_accepted() -> None:
    """A data connection that resumes its own control connection's TLS is this client's."""
    side = Side()
    side.protect()
    side.listen()
    side.arrive().shake_hands(side.resuming())
    assert side.open().result.is_secure


def test_a_new_session_is_refused() -> None:
    """A full handshake proves nothing about who is there."""
    side = Side()
    side.protect()
    side.listen()
    side.arrive().shake_hands(new_client())
    opening = side.open()
    side.patience_ends()
    assert opening.trouble is Trouble.NOT_RESUMED


def test_a_refused_connection_is_not_cut() -> None:
    """It ends with close_notify: clients that see TLS cut off never read the reply (ftplib)."""
    side = Side()
    side.protect()
    side.listen()
    client = side.arrive()
    client.shake_hands(new_client())
    assert client.read_all() == b""


def test_a_new_session_is_accepted_by_policy() -> None:
    """data_session_reuse: offered lets clients in that cannot resume."""
    side = Side()
    side.protect()
    side.dtp.needs_resumption = False
    side.listen()
    side.arrive().shake_hands(new_client())
    assert side.open().result.is_secure


def test_another_session_of_the_server_is_refused() -> None:
    """A user's valid TLS session does not open another user's data port."""
    side, other = Side(), Side()
    side.protect()
    other.protect()
    side.listen()
    side.arrive().shake_hands(other.resuming())
    opening = side.open()
    side.patience_ends()
    assert opening.trouble is Trouble.NOT_RESUMED


@pytest.mark.parametrize("is_late", [False, True])
def test_a_handshake_that_fails(is_late: bool) -> None:
    """Clear text where TLS was agreed is no connection, whether it fails before the command or after it."""
    side = Side()
    side.protect()
    side.listen()
    client = side.arrive()
    opening = side.open() if is_late else None
    side.reactor.advance(WAIT_FOR_COMMAND)
    client.send(b"clear text")
    side.reactor.run_until(lambda: bool(side.refusals))
    opening = opening or side.open()
    side.patience_ends()
    assert opening.trouble is Trouble.NO_TLS


def test_a_handshake_that_takes_too_long() -> None:
    """A client that connects and says nothing is given handshake_timeout seconds."""
    side = Side()
    side.protect()
    side.listen()
    side.arrive()
    opening = side.open()
    side.reactor.advance(HANDSHAKE)
    side.patience_ends()
    assert opening.trouble is Trouble.NO_TLS


def test_a_handshake_that_is_aborted() -> None:
    """ABOR in the handshake is an abort, not the client's failure."""
    side = Side()
    side.protect()
    side.listen()
    side.arrive()
    opening = side.open()
    side.dtp.abort(Cause.ABOR)
    assert opening.trouble is Trouble.ABORTED


def test_protection_may_be_asked_for_late() -> None:
    """PROT P after the connection has come: the handshake begins with the transfer."""
    side = Side()
    side.protect()
    side.dtp.is_protected = False
    side.listen()
    client = side.arrive()
    side.dtp.is_protected = True
    opening = side.open()
    client.shake_hands(side.resuming())
    assert opening.result.is_secure


def test_protection_is_not_taken_back() -> None:
    """PROT C after the handshake has begun cannot make that connection clear."""
    side = Side()
    side.protect()
    side.listen()
    side.arrive()
    side.reactor.advance(WAIT_FOR_COMMAND)
    side.dtp.is_protected = False
    assert side.open().trouble is Trouble.NO_TLS
