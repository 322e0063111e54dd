"""Shared contexts: for how long, for whom, and which one a ticket belongs to."""

from __future__ import annotations

import gc
import ssl
import weakref
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from ftpsd.tls.certificates import CertificatePair
from ftpsd.tls.live import secret_of
from ftpsd.tls.session_tls import SessionTLS, TLSPolicy
from ftpsd.tls.tickets import MOST_SECONDS, TicketContexts
from ftpsd.wire.clienthello import client_hello
from tests.tlsclient import TLS_1_2, TLS_1_3, Client, Control, client_context, connect_control, connect_data

LIFETIME = 3600.0


class House:
    """Sessions that share the contexts of one process."""

    def __init__(self, pair: CertificatePair, authority: Path) -> None:
        self.clock = Clock()
        self.tickets = TicketContexts(self.clock, LIFETIME)
        self._pair = pair
        self._policy = TLSPolicy(maximum="auto", tickets=self.tickets)
        self._authority = authority

    def client(self, *, tickets: bool = True, offers: tuple[str, ...] = ()) -> ssl.SSLContext:
        """Return a client that speaks both versions, with a cache of its own."""
        context = client_context(self._authority, TLS_1_2, tickets=tickets, offers=offers)
        context.maximum_version = TLS_1_3
        return context

    def session(
        self, client: ssl.SSLContext, session: ssl.SSLSession | None = None, address: str = "192.0.2.1"
    ) -> tuple[SessionTLS, Control]:
        """Open a control connection of *client*."""
        tls = SessionTLS(self._pair, self._policy, address=address)
        tls.choose_version(client_hello(Client(client, session).take(b"")))
        control = connect_control(tls, client, session=session)
        tls.was_established()
        return tls, control


@pytest.fixture
def house(pair: CertificatePair, authority: Path) -> House:
    return House(pair, authority)


@pytest.mark.parametrize("tickets", [True, False])
def test_a_data_connection_resumes_another_session(house: House, tickets: bool) -> None:
    """The master secret tells whose it was: rclone with tickets, curl -Z with session ids."""
    client = house.client(tickets=tickets)
    (mine, _), (other, control) = house.session(client), house.session(client)
    with connect_data(mine, client, control.client.tls.session) as (server, ours):
        assert ours.tls.session_reused
        assert not mine.is_own(server)
        assert secret_of(server) == other.secret != mine.secret
        assert other.is_own(server)


def test_a_control_connection_may_resume(house: House) -> None:
    """Then two sessions have one secret."""
    client = house.client()
    first, control = house.session(client)
    second, again = house.session(client, control.client.tls.session)
    assert again.client.tls.session_reused
    assert first.secret == second.secret


@pytest.mark.parametrize("tickets", [True, False])
def test_a_full_handshake_has_a_secret_of_its_own(house: House, tickets: bool) -> None:
    """So what a stranger does on a data port makes no session that counts, the next time either."""
    client, stranger = house.client(tickets=tickets), house.client(tickets=tickets)
    mine, _ = house.session(client)
    with connect_data(mine, stranger) as (server, theirs):
        session = theirs.tls.session
        assert not mine.is_own(server)
    with connect_data(mine, stranger, session) as (server, theirs):
        assert theirs.tls.session_reused
        assert not mine.is_own(server)


def test_the_next_hour(house: House) -> None:
    """A new context, and a data connection of a session from before may present a ticket of the new one, and back."""
    client = house.client()
    old, before = house.session(client)
    house.clock.advance(LIFETIME)
    new, after = house.session(client)
    assert old.context is not new.context
    with connect_data(old, client, after.client.tls.session) as (server, ours):
        assert ours.tls.session_reused
        assert new.is_own(server)
    with connect_data(new, client, before.client.tls.session) as (server, ours):
        assert ours.tls.session_reused
        assert old.is_own(server)


def test_a_context_goes_with_its_last_session(house: House) -> None:
    """Its keys go with it: a ticket that somebody recorded opens nothing any more."""
    client = house.client()
    old, before = house.session(client)
    session = before.client.tls.session
    house.clock.advance(LIFETIME)
    del old, before
    gc.collect()
    new, _ = house.session(client)
    with connect_data(new, client, session) as (_server, ours):
        assert not ours.tls.session_reused


def test_no_session_outlives_a_day(house: House) -> None:
    """A session that keeps a context has to end in time."""
    tls, _ = house.session(house.client())
    house.clock.advance(LIFETIME - 1)
    later, _ = house.session(house.client())
    assert tls.expires == later.expires == MOST_SECONDS


def test_a_session_begins_with_half_a_day_at_least(house: House) -> None:
    """Also where somebody is always there, at an address whose clients know session ids only."""
    client = house.client(tickets=False)
    first, _ = house.session(client)
    house.clock.advance(MOST_SECONDS / 2)
    second, _ = house.session(client)
    assert first.context is second.context
    house.clock.advance(1)
    third, _ = house.session(client)
    assert first.context is not third.context
    assert third.expires == house.clock.seconds() + MOST_SECONDS


def test_session_ids_are_shared_at_one_address_only(house: House) -> None:
    """The cache that holds them must not be filled by strangers."""
    client = house.client(tickets=False)
    (here, _), (also_here, _) = (house.session(client, address="192.0.2.1") for _ in range(2))
    there, _ = house.session(client, address="192.0.2.2")
    assert here.context is also_here.context is not there.context


def test_the_context_of_an_address_goes(house: House) -> None:
    """With its last session, so addresses that come and go leave nothing behind."""
    client = house.client(tickets=False)
    for number in range(20):
        house.session(client, address=f"192.0.2.{number}")
    gc.collect()
    assert len(house.tickets) == 0


def test_other_versions_and_protocols_share_nothing(house: House, authority: Path) -> None:
    """TLS 1.3 gives no secret to compare; a client that is to be refused raises in a callback."""
    for client in (client_context(authority, TLS_1_3), house.client(offers=("http/1.1",))):
        tls = SessionTLS(house._pair, house._policy)
        tls.choose_version(client_hello(Client(client).take(b"")))
        assert not tls.is_shared


def test_a_data_connection_for_another_protocol_is_refused_alone(house: House) -> None:
    """In a context of its own, whose failure no other connection is told."""
    client = house.client()
    mine, control = house.session(client)
    browser = house.client(offers=("h2",))
    with pytest.raises(Exception, match="no application protocol"), connect_data(mine, browser):
        pass
    with connect_data(mine, client, control.client.tls.session) as (server, _ours):
        assert mine.is_own(server)


def test_a_hello_in_two_records_hides_no_protocol(house: House) -> None:
    """An attacker on the line can cut a browser's hello up, so that what it offers is not seen in time (ALPACA)."""
    client = house.client()
    mine, control = house.session(client)
    browser = house.client(offers=("h2",))
    with pytest.raises(Exception, match="no application protocol"), connect_data(mine, browser, is_cut=True):
        pass
    with connect_data(mine, client, control.client.tls.session, is_cut=True) as (server, _ours):
        assert mine.is_own(server)


@pytest.mark.parametrize(("is_used", "is_wanted"), [(False, False), (True, False), (False, True)])
def test_a_session_that_never_logged_in_leaves_the_cache(house: House, is_used: bool, is_wanted: bool) -> None:
    """Without an account nobody fills the cache, one handshake after the other; who has logged in may resume."""
    client = house.client(tickets=False)
    here, _ = house.session(client)
    tls, control = house.session(client)
    session = control.client.tls.session
    # Both ends say close_notify, after which OpenSSL keeps a session.
    control.server.loseConnection()
    control.transport.clear()
    if is_used:
        tls.was_used()
    tls.has_ended(is_wanted=is_wanted)
    del tls, control
    gc.collect()
    with connect_data(here, client, session) as (_server, ours):
        assert ours.tls.session_reused == (is_used or is_wanted)


@pytest.mark.parametrize("is_used", [False, True])
def test_a_chain_of_strangers_leaves_nothing_in_the_cache(house: House, is_used: bool) -> None:
    """Each resumes the TLS session of the one before, which ends first: none of them is its last one, but the last."""
    client = house.client(tickets=False)
    here, _ = house.session(client)
    tls, control = house.session(client)
    session = control.client.tls.session
    for _ in range(3):
        following, again = house.session(client, session)
        assert again.client.tls.session_reused
        end(tls, control, is_wanted=True)
        tls, control = following, again
    if is_used:
        tls.was_used()
        end(tls, control)
        # A client that comes without a login takes nothing from those who have resumed it before.
        tls, control = house.session(client, session)
    end(tls, control)
    del tls, control, following, again
    gc.collect()
    with connect_data(here, client, session) as (_server, ours):
        assert ours.tls.session_reused == is_used


def end(tls: SessionTLS, control: Control, *, is_wanted: bool = False) -> None:
    """Let the control connection go with close_notify, after which OpenSSL keeps a session."""
    control.server.loseConnection()
    control.transport.clear()
    tls.has_ended(is_wanted=is_wanted)


def test_another_lifetime_holds_at_once(house: House) -> None:
    """A reload that shortens it is there to narrow what a stolen key opens."""
    client = house.client()
    before, _ = house.session(client)
    house.tickets.lifetime = LIFETIME
    same, _ = house.session(client)
    assert same.context is before.context
    house.tickets.lifetime = 60.0
    after, _ = house.session(client)
    assert after.context is not before.context
    house.clock.advance(LIFETIME - 60)
    house.clock.advance(59)
    latest, _ = house.session(client)
    assert latest.context is not after.context
    # The time of the first context is no concern of a later one.
    house.clock.advance(2)
    also_latest, _ = house.session(client)
    assert also_latest.context is latest.context


def test_a_context_that_was_replaced_goes_at_once(house: House) -> None:
    """No timer keeps its keys."""
    tls, control = house.session(house.client())
    assert tls._shared is not None
    context = weakref.ref(tls._shared)
    house.tickets.lifetime = 60.0
    del tls, control
    gc.collect()
    assert context() is None
