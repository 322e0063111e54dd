"""Limits on sessions and bandwidth: what sessions rely on, for one process and for one of several."""

from __future__ import annotations

import gc

import pytest
from twisted.internet.task import Clock

from ftpsd.control.state.limits import Counts, Rates, SessionCounts, UserRates
from ftpsd.processes.shared.count_table import CountTable
from ftpsd.processes.shared.counts import SharedCounts, SharedRates
from ftpsd.values.direction import Direction

KINDS = ["alone", "one of several"]


def table() -> CountTable:
    """Return the table of two processes, as the first sees it; no other has counted anything."""
    return CountTable(CountTable.create(2, 2000).fd, 0)


@pytest.fixture(params=KINDS)
def counts(request: pytest.FixtureRequest) -> Counts:
    """The counts of either kind."""
    return SessionCounts() if request.param == "alone" else SharedCounts(table())


@pytest.fixture(params=KINDS)
def rates(request: pytest.FixtureRequest) -> Rates:
    """The rates of either kind."""
    return UserRates(Clock()) if request.param == "alone" else SharedRates(Clock(), table())


def test_counts_forget_who_has_gone(counts: Counts) -> None:
    """Nothing is kept for addresses and users without a session."""
    assert counts.admit("198.51.100.7", 1, 1) is None
    counts.log_in("alice", None)
    counts.log_out("alice")
    counts.closed("198.51.100.7")
    assert (counts.total, counts.logged_in, counts.admit("198.51.100.7", 1, 1)) == (0, 0, None)


def test_a_login_beyond_the_limit_is_not_counted(counts: Counts) -> None:
    """log_in() says no, and changes nothing."""
    assert counts.log_in("alice", 1)
    assert not counts.log_in("alice", 1)
    assert counts.logged_in == 1


def test_users_without_a_limit(counts: Counts) -> None:
    """None is no limit."""
    assert all(counts.log_in("alice", None) for _ in range(1000))


def test_whoever_is_refused_is_not_counted(counts: Counts) -> None:
    """admit() with a thousand strangers too many keeps none of them, and says which limit it was."""
    assert counts.admit("198.51.100.7", 1, 1) is None
    refused = {counts.admit(f"198.51.100.{number}", 1, 1) for number in range(1000)}
    assert (counts.total, refused) == (1, {"too-many-connections"})
    assert counts.admit("198.51.100.7", 2, 1) == "too-many-from-address"


def test_few_refused_connections_linger(counts: Counts) -> None:
    """Four of an address, 64 in all; one that goes makes room."""
    assert [counts.may_linger("192.0.2.1") for _ in range(5)] == [True] * 4 + [False]
    counts.lingered("192.0.2.1")
    assert counts.may_linger("192.0.2.1")
    assert [counts.may_linger(f"198.51.100.{number}") for number in range(61)] == [True] * 60 + [False]


def test_one_network_is_one_client(counts: Counts) -> None:
    """All addresses of a /64 share what one address may have; the next /64 has its own."""
    assert counts.admit("2001:db8::1", 9, 2) is None
    assert counts.admit("2001:db8::2", 9, 2) is None
    assert counts.admit("2001:db8::3", 9, 2) == "too-many-from-address"
    assert counts.admit("2001:db8:0:1::3", 9, 2) is None
    counts.closed("2001:db8::9")
    assert counts.admit("2001:db8::4", 9, 2) is None


def test_a_quarter_is_for_sessions_that_are_logged_in(counts: Counts) -> None:
    """Connections without a login are three quarters at most; each login makes room for one more."""
    admitted = [counts.admit(f"198.51.100.{number}", 100, 9) for number in range(100)]
    assert admitted == [None] * 75 + ["too-many-without-login"] * 25
    for number in range(25):
        assert counts.log_in("alice", None)
        assert counts.admit(f"203.0.113.{number}", 100, 9) is None
    assert counts.admit("192.0.2.1", 100, 9) == "too-many-connections"
    counts.log_out("alice")
    counts.closed("198.51.100.0")
    assert counts.admit("192.0.2.1", 100, 9) == "too-many-without-login"


def test_a_known_client_comes_in_though_strangers_wait(counts: Counts) -> None:
    """Into the quarter of those who are logged in; when the server is full, it is full."""
    for number in range(75):
        assert counts.admit(f"198.51.100.{number}", 100, 9) is None
    known = [counts.admit(f"203.0.113.{number}", 100, 9, is_known=True) for number in range(26)]
    assert known == [None] * 25 + ["too-many-connections"]


@pytest.mark.parametrize("connections", [1, 2, 3])
def test_a_server_for_three_has_no_quarter(counts: Counts, connections: int) -> None:
    """Rounded down: every place can still be logged in at."""
    assert [counts.admit(f"198.51.100.{number}", connections, 9) for number in range(connections)] == [
        None
    ] * connections


# --- rates


def test_a_session_that_has_gone_shares_no_more(rates: Rates) -> None:
    """A session that is alone again has the whole tenth of a second."""
    one, other = (rates.pace("alice", Direction.DOWNLOAD, 1_000_000, None) for _ in range(2))
    assert one.allowance() == 50_000
    del other
    gc.collect()
    assert one.allowance() == 100_000


def test_sessions_of_a_user_share_their_rate(rates: Rates) -> None:
    """Bytes of one session make the other pause."""
    one, other = (rates.pace("alice", Direction.DOWNLOAD, 1000, None) for _ in range(2))
    one.spend(1000)
    assert other.pause() > 0


def test_users_do_not_share_a_rate(rates: Rates) -> None:
    """Two users with the same limit have one each."""
    alice, bob = (rates.pace(name, Direction.DOWNLOAD, 1000, None) for name in ("alice", "bob"))
    alice.spend(1000)
    assert bob.pause() == 0


def test_directions_do_not_share_a_rate(rates: Rates) -> None:
    """An upload does not slow a download."""
    down, up = rates.pace("alice", Direction.DOWNLOAD, 1000, None), rates.pace("alice", Direction.UPLOAD, 1000, None)
    down.spend(1000)
    assert up.pause() == 0


def test_the_rate_of_a_session_is_its_own(rates: Rates) -> None:
    """limits.download_rate holds for each session by itself."""
    one, other = (rates.pace("alice", Direction.DOWNLOAD, None, 1000) for _ in range(2))
    one.spend(1000)
    assert other.pause() == 0


def test_a_shared_rate_goes_with_its_last_session(rates: Rates) -> None:
    """Nothing is kept for users who have gone."""
    rates.pace("alice", Direction.DOWNLOAD, 1000, None).spend(1_000_000)
    gc.collect()
    assert rates.pace("alice", Direction.DOWNLOAD, 1000, None).pause() == 0
