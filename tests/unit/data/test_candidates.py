"""Several connections to one passive port: the first that resumes is the data connection, whoever came before it."""

from __future__ import annotations

import pytest

from ftpsd.data.candidates import GRACE, MOST, MOST_LOGGED, WAIT_FOR_COMMAND
from ftpsd.data.connection import DataConnection
from ftpsd.data.trouble import Cause, Trouble
from ftpsd.tls.session_tls import SessionTLS
from tests.dataclient import DataClient, new_client
from tests.unit.data.side import CONNECT, HANDSHAKE, HOST, Opening, Side


class OfTickets(SessionTLS):
    """TLS of a session whose client knows tickets, so that no cache holds them."""

    @property
    def has_cache(self) -> bool:
        return False


def protected(*, is_capped: bool = False) -> Side:
    """Return a side with PROT P and an agreed port; *is_capped* is TLS 1.2 with tickets: handshakes begin at once."""
    side = Side()
    side.protect()
    if is_capped:
        assert side.dtp.tls is not None
        side.dtp.tls.__class__ = OfTickets
        side.dtp.tls._is_capped = True  # the context speaks both: only when the handshake begins is of interest
    side.listen()
    return side


def wins(side: Side, opening: Opening | None = None) -> None:
    """Let the client come, and assert that its connection is the data connection."""
    client = side.arrive()
    client.shake_hands(side.resuming())
    opening = opening or side.open()
    side.reactor.run_until(lambda: opening.is_over)
    assert isinstance(opening.result, DataConnection)
    opening.result.finish(60)
    assert client.read_all() == b""


def say_nothing(client: DataClient) -> None: ...
def say_garbage(client: DataClient) -> None:
    client.send(b"GET / HTTP/1.0\r\n\r\n")


def shake_hands(client: DataClient) -> None:
    client.shake_hands(new_client())


def hang_up(client: DataClient) -> None:
    client.close()


STRANGERS = [say_nothing, say_garbage, shake_hands, hang_up]


@pytest.mark.parametrize("is_early", [False, True])
@pytest.mark.parametrize("is_capped", [False, True])
@pytest.mark.parametrize("act", STRANGERS)
def test_a_stranger_who_comes_first_ends_nothing(act: object, is_capped: bool, is_early: bool) -> None:
    """The client's connection is used, whatever a stranger does, before or behind the command, in TLS 1.2 or 1.3."""
    side = protected(is_capped=is_capped)
    opening = None if is_early else side.open()
    stranger = side.arrive()
    assert callable(act)
    act(stranger)
    side.reactor.settle()
    wins(side, opening)


def test_a_stranger_who_comes_later_ends_nothing() -> None:
    """The client shakes hands last."""
    side = protected()
    opening = side.open()
    client = side.arrive()
    side.arrive().shake_hands(new_client())
    client.shake_hands(side.resuming())
    assert opening.result.is_secure


@pytest.mark.parametrize("cuts", [(200,), (3,), (3, 7, 200)], ids=str)
def test_a_hello_comes_in_several_segments(cuts: tuple[int, ...]) -> None:
    """As that of a client with keys against quantum computers, which no segment holds."""
    side = protected()
    opening = side.open()
    side.arrive().shake_hands(side.resuming(), cuts=cuts)
    assert opening.result.is_secure


def test_the_others_are_closed_when_one_is_chosen() -> None:
    """No descriptor and no timer of theirs is left, and the audit log knows why."""
    side = protected()
    opening = side.open()
    strangers = [side.arrive() for _ in range(3)]
    wins(side, opening)
    for stranger in strangers:
        assert stranger.read_all() == b""
    assert [refusal.trouble for refusal in side.refusals] == [Trouble.NOT_CHOSEN] * 3


def test_the_port_is_free_when_one_is_chosen() -> None:
    """Not before: another session of the same address must not be given it while somebody may still come."""
    side = protected()
    side.open()
    side.arrive().shake_hands(new_client())
    assert side.ports.claimed == 1
    side.arrive().shake_hands(side.resuming())
    assert side.ports.claimed == 0
    assert side.ports.take(5000, HOST) is None


def test_a_refused_candidate_is_told() -> None:
    """Each with its reason."""
    side = protected()
    opening = side.open()
    side.arrive().shake_hands(new_client())
    side.arrive().send(b"USER alice\r\nPASS secret\r\n")
    side.reactor.run_until(lambda: len(side.refusals) == 2)
    assert [refusal.trouble for refusal in side.refusals] == [Trouble.NOT_RESUMED, Trouble.NO_TLS]
    assert side.refusals[1].failure is not None
    assert side.refusals[1].failure.reason == "clear-text"
    assert not opening.is_over


def test_a_connection_that_is_given_up_is_no_refusal() -> None:
    """rclone connects, sends MLSD, hears 550 and closes: nobody was refused, and the audit log must not say so."""
    side = protected(is_capped=True)
    side.arrive().close()
    side.reactor.settle()
    side.dtp.forget()
    assert not side.refusals


def test_a_connection_given_up_before_its_command_is_told_with_the_command() -> None:
    """The cause of the command's failure is told once: here with its reply."""
    side = protected(is_capped=True)
    side.arrive().close()
    side.reactor.advance(WAIT_FOR_COMMAND)
    side.reactor.settle()
    opening = side.open()
    side.reactor.advance(GRACE)
    assert opening.trouble is Trouble.NO_TLS
    assert not opening.result.is_logged
    assert not side.refusals


def test_a_refusal_is_answered_soon() -> None:
    """A client that cannot resume waits GRACE seconds, not connect_timeout."""
    side = protected()
    opening = side.open()
    side.arrive().shake_hands(new_client())
    side.reactor.advance(GRACE - 0.01)
    assert not opening.is_over
    side.reactor.advance(0.01)
    assert opening.trouble is Trouble.NOT_RESUMED
    assert (side.ports.claimed, side.dtp.has_port) == (0, False)


def test_every_candidate_prolongs_the_wait() -> None:
    """Up to connect_timeout, counted from the command."""
    side = protected()
    opening = side.open()
    for _ in range(int(CONNECT / GRACE)):
        side.arrive().shake_hands(new_client())
        assert not opening.is_over
        side.reactor.advance(GRACE - WAIT_FOR_COMMAND)
    side.reactor.advance(CONNECT)
    assert opening.trouble is Trouble.NOT_RESUMED


def test_a_candidate_at_work_is_waited_for() -> None:
    """Its handshake has a time of its own; then the reason of the last counts."""
    side = protected()
    opening = side.open()
    side.arrive().shake_hands(new_client())
    side.arrive()
    side.reactor.advance(HANDSHAKE - 0.01)
    assert not opening.is_over
    side.reactor.advance(0.01)
    side.patience_ends()
    assert opening.trouble is Trouble.NO_TLS


def test_candidates_are_bounded() -> None:
    """The oldest but the first is closed when there are too many."""
    side = protected()
    opening = side.open()
    side.arrive()
    second = side.arrive()
    for _ in range(MOST - 1):
        side.arrive()
    assert second.read_all() == b""
    assert [(refusal.trouble, refusal.detail) for refusal in side.refusals] == [(Trouble.NOT_CHOSEN, Cause.CROWDED)]
    wins(side, opening)


def test_the_first_is_not_crowded_out() -> None:
    """A client that came first is served, whatever comes to its port before its handshake."""
    side = protected()
    opening = side.open()
    client = side.arrive()
    for _ in range(5 * MOST):
        side.arrive()
    client.shake_hands(side.resuming())
    side.reactor.run_until(lambda: opening.is_over)
    assert isinstance(opening.result, DataConnection)


def test_what_is_told_is_bounded() -> None:
    """A stranger without an account does not fill the audit log."""
    side = protected()
    side.open()
    for _ in range(MOST_LOGGED + 10):
        side.arrive().close()
    assert len(side.refusals) == MOST_LOGGED


@pytest.mark.parametrize("is_protected", [False, True])
def test_the_first_counts_where_nothing_is_to_be_proved(is_protected: bool) -> None:
    """PROT C, or `offered`: there is nothing to tell a stranger by, so the port is closed behind the first."""
    side = Side()
    side.protect()
    side.dtp.is_protected = is_protected
    side.dtp.needs_resumption = False
    side.listen()
    side.arrive()
    assert side.ports.take(5000, HOST) is None


def test_a_new_port_closes_the_candidates() -> None:
    """They belong to the port that was agreed before."""
    side = protected()
    clients = [side.arrive() for _ in range(3)]
    side.listen()
    for client in clients:
        assert client.read_all() == b""


def test_the_end_of_a_session_closes_the_candidates() -> None:
    """No timer, no descriptor, no reservation."""
    side = protected()
    for _ in range(3):
        side.arrive()
    side.dtp.end(Cause.CLIENT_GONE)
    assert (side.ports.claimed, side.reactor.watched, side.reactor.getDelayedCalls()) == (0, 0, [])


def test_an_abort_ends_the_wait_among_candidates() -> None:
    """ABOR is answered at once."""
    side = protected()
    opening = side.open()
    side.arrive()
    side.arrive()
    side.dtp.abort(Cause.ABOR)
    assert opening.trouble is Trouble.ABORTED
    assert (side.ports.claimed, side.reactor.watched, side.reactor.getDelayedCalls()) == (0, 0, [])


def test_a_winner_before_the_command_waits_for_it() -> None:
    """Some clients shake hands before they say what they want; nobody can come in between then."""
    side = protected(is_capped=True)
    side.arrive().shake_hands(side.resuming())
    assert side.ports.claimed == 0
    assert side.open().result.is_secure


def test_a_refused_connection_that_goes_on_sending_is_not_reset_before_the_reply() -> None:
    """More than anybody reads of it stays in the kernel until then: a RST would hide the reply from the client."""
    side = protected()
    opening = side.open()
    client = side.arrive()
    client.shake_hands(new_client())
    for _ in range(64):
        try:
            client.send(bytes(16384))
        except BlockingIOError:
            break
        side.reactor.settle()
    side.patience_ends()
    assert opening.trouble is Trouble.NOT_RESUMED
    assert len(side.dtp.tails) == 1
    side.reactor.advance(CONNECT)
    assert len(side.dtp.tails) == 0


def test_a_stranger_from_another_address_is_named() -> None:
    """When nobody else comes: the client may have two addresses."""
    side = protected()
    opening = side.open()
    assert side.ports.take(5000, "192.0.2.9") is None
    side.reactor.advance(CONNECT)
    assert opening.trouble is Trouble.FOREIGN_ADDRESS
    assert "192.0.2.9" in str(opening.result)
