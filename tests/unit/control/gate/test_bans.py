"""Bans: what leads to one, how long it is, whom it spares, and what is forgotten when there is no room."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
from twisted.internet.task import Clock

from ftpsd.audit.events import (
    DAEMON,
    Banned,
    ConnectionRejected,
    Event,
    LeftWithoutLogin,
    LoggedIn,
    LoginRefused,
    SessionClosed,
    TLSFailed,
    Unbanned,
    Who,
)
from ftpsd.auth.credentials import LoginUnavailable, Refusal
from ftpsd.auth.slots import SLOTS_IN_BUCKET
from ftpsd.config.model import Config
from ftpsd.control.gate.arrivals import Arrivals, own_arrivals
from ftpsd.control.gate.bans import KNOWN_FACTOR, GrowingPenalties
from ftpsd.control.gate.offences import ENDS, INNOCENT, REFUSED_LOGINS, Offence, offence_of
from ftpsd.control.gate.penalties import BANNED, RATE
from ftpsd.control.gate.record_table import RecordTable, own_table

GUESSER, OFFICE = "192.0.2.7", "203.0.113.9"
START = 1_000_000.0


class Gate:
    """Penalties on a clock that the test moves; *sections* are those of ftpsd.yaml."""

    def __init__(self, places: int = 4096, **sections: Any) -> None:
        self.clock = Clock()
        self.clock.advance(START)
        records = RecordTable(own_table(places), nullcontext())
        self.penalties = GrowingPenalties(records, Arrivals(own_arrivals(64), nullcontext()), self.clock)
        self.penalties.use(Config.model_validate(sections))
        self.events: list[Event] = []
        self.penalties.publish = self.publish

    def publish(self, event: Event) -> None:
        """Publish as the bus does: to the penalties, too."""
        self.events.append(event)
        self.penalties.note(event, self.clock.seconds())

    def fail(self, address: str, name: str = "alice", times: int = 1, reason: str = Refusal.WRONG_PASSWORD) -> None:
        """Refuse so many logins."""
        for _ in range(times):
            self.publish(LoginRefused(Who("s", None, address, "explicit:21"), "password", name, reason, 0.1))

    def log_in(self, address: str, user: str = "bob") -> None:
        """Log a user in."""
        self.publish(LoggedIn(Who("s", user, address, "explicit:21"), "password", 0.1))

    def is_banned(self, address: str) -> bool:
        """Return whether connections from *address* are refused."""
        return self.penalties.refusal(address) == BANNED

    @property
    def banned(self) -> list[tuple[str, str, float]]:
        """The bans that were pronounced."""
        return [(each.client, each.reason, each.seconds) for each in self.events if isinstance(each, Banned)]


def test_ten_failures_ban() -> None:
    """Nine do not, and nobody else is banned."""
    gate = Gate()
    gate.fail(GUESSER, times=9)
    assert not gate.is_banned(GUESSER)
    gate.fail(GUESSER)
    assert gate.is_banned(GUESSER)
    assert not gate.is_banned("192.0.2.8")
    assert gate.banned == [(GUESSER, "wrong-password", 900.0)]


def test_the_window_is_kept_to_the_second() -> None:
    """Ten failures, however they are spread over it; and never eleven beyond it, each of them forgotten in time."""
    gate = Gate()
    for _ in range(9):
        gate.fail(GUESSER)
        gate.clock.advance(66)
    assert not gate.is_banned(GUESSER)
    gate.fail(GUESSER)
    assert gate.is_banned(GUESSER)
    slow = Gate()
    for _ in range(100):
        slow.fail(GUESSER)
        slow.clock.advance(76)
    assert slow.banned == []


def test_bans_of_repeaters_grow_to_a_maximum_and_are_forgotten() -> None:
    """Twice as long each time."""
    gate = Gate(penalties={"ban": "1m", "max_ban": "10m"})
    for _ in range(6):
        gate.fail(GUESSER, times=10)
        gate.clock.advance(gate.banned[-1][2])
        assert not gate.is_banned(GUESSER)
    gate.clock.advance(599)
    gate.fail(GUESSER, times=10)
    gate.clock.advance(600 + 601)
    gate.fail(GUESSER, times=10)
    assert [seconds for _, _, seconds in gate.banned] == [60, 120, 240, 480, 600, 600, 600, 60]


def test_a_client_that_tries_on_makes_its_ban_no_longer() -> None:
    """Clients that retry by themselves would never come back."""
    gate = Gate()
    gate.fail(GUESSER, times=50)
    gate.publish(ConnectionRejected(Who("", None, GUESSER, "explicit:21"), BANNED))
    (ban,) = gate.penalties.bans()
    assert (ban.until, ban.level) == (START + 900, 1)
    gate.clock.advance(901)
    gate.fail(GUESSER, times=9)
    assert not gate.is_banned(GUESSER)


def test_every_offence_is_seen_and_weighs_what_the_configuration_says() -> None:
    """As many as its weight needs ban, and one fewer does not; the reason is in the event. 0 weighs nothing."""
    who = Who("s", None, GUESSER, "explicit:21")
    closed = {offence: SessionClosed(who, 1.0, reason, 0, 0) for reason, offence in ENDS.items()}
    refused = {
        offence: LoginRefused(who, "password", "alice", reason, 0.1) for reason, offence in REFUSED_LOGINS.items()
    }
    seen: dict[Offence, Event] = {
        **closed,
        **refused,
        Offence.HANDSHAKE_FAILED: TLSFailed(who, "control", "no-shared-cipher"),
        Offence.NO_LOGIN: LeftWithoutLogin(who),
    }
    assert set(seen) == set(Offence), set(Offence) - set(seen)
    for offence, event in seen.items():
        key = offence.replace("-", "_")
        for weight, needed in ((1.0, 10), (2.5, 4), (0.5, 20)):
            gate = Gate(penalties={"weights": {key: weight}})
            for _ in range(needed - 1):
                gate.publish(event)
            assert not gate.is_banned(GUESSER), (offence, weight)
            gate.publish(event)
            assert gate.banned == [(GUESSER, offence, 900.0)]
        gate = Gate(penalties={"weights": {key: 0}})
        for _ in range(100):
            gate.publish(event)
        assert not gate.is_banned(GUESSER), offence


def test_what_weighs_nothing() -> None:
    """Health checks that say nothing, a server that is full, sessions of users, missing homes, data connections."""
    who, user = Who("s", None, GUESSER, "explicit:21"), Who("s", "alice", GUESSER, "explicit:21")
    for event in (
        TLSFailed(who, "control", "no-hello"),
        TLSFailed(who, "data", "no-shared-cipher"),
        SessionClosed(who, 0.1, "connection-lost", 0, 0),
        SessionClosed(who, 0.1, "quit", 0, 0),
        SessionClosed(user, 0.1, "records-without-data", 0, 0),
        LoginRefused(who, "password", "alice", "busy", 0.1),
        LoginRefused(who, "password", "alice", LoginUnavailable.reason, 0.1),
        LoginRefused(who, "password", "alice", "too-many-sessions", 0.1),
        LoginRefused(who, "password", "alice", Refusal.NO_HOME, 0.1),
        ConnectionRejected(who, "too-many-connections"),
    ):
        assert offence_of(event) is None, event


def test_no_name_bans_sooner_than_another() -> None:
    """Known, unknown and kept out weigh alike: a guesser does not learn who exists by being banned."""
    for reason in set(Refusal) - INNOCENT:
        gate = Gate()
        gate.fail(GUESSER, reason=reason, times=9)
        assert not gate.is_banned(GUESSER), reason
        gate.fail(GUESSER, reason=reason)
        assert gate.is_banned(GUESSER), reason


class TestOffice:
    """Many users behind one address, from which one has logged in well."""

    def test_one_colleagues_wrong_passwords_ban_that_name_alone(self) -> None:
        """The number does not matter; after the tenth no hash is made for that name, and the others log in."""
        gate = Gate()
        gate.log_in(OFFICE)
        gate.fail(OFFICE, times=9)
        assert gate.penalties.login_refusal(OFFICE, "alice") is None
        gate.fail(OFFICE, times=1000)
        assert not gate.is_banned(OFFICE)
        assert gate.penalties.login_refusal(OFFICE, "alice") == BANNED
        assert gate.penalties.login_refusal(OFFICE, "bob") is None
        assert gate.penalties.login_refusal(OFFICE, "alice", "other.example.com") is None
        assert [(ban.client, ban.name) for ban in gate.penalties.bans()] == [(OFFICE, "alice")]
        gate.clock.advance(901)
        assert gate.penalties.login_refusal(OFFICE, "alice") is None

    def test_who_gets_in_begins_anew(self) -> None:
        """A user who finds the right password at last."""
        gate = Gate()
        gate.log_in(OFFICE)
        for _ in range(5):
            gate.fail(OFFICE, times=9)
            gate.log_in(OFFICE, "alice")
        assert gate.penalties.login_refusal(OFFICE, "alice") is None

    def test_spraying_over_names_bans_all_the_same(self) -> None:
        """Five times as many failures, of however many names."""
        gate = Gate()
        gate.log_in(OFFICE)
        for number in range(10 * KNOWN_FACTOR):
            assert not gate.is_banned(OFFICE)
            gate.fail(OFFICE, f"user{number}", reason=Refusal.UNKNOWN_USER)
        assert gate.is_banned(OFFICE)

    def test_it_is_known_for_some_time_only(self) -> None:
        """And not at all where the configuration says so."""
        gate = Gate()
        gate.log_in(OFFICE)
        gate.clock.advance(7 * 86400 + 1)
        gate.fail(OFFICE, times=10)
        assert gate.is_banned(OFFICE)
        gate = Gate(penalties={"known_for": 0})
        gate.log_in(OFFICE)
        gate.fail(OFFICE, times=10)
        assert gate.is_banned(OFFICE)


class TestNetwork:
    """Failures that many addresses of one network share."""

    @pytest.mark.parametrize(
        ("form", "network"), [("192.0.2.{}", "192.0.2.0/24"), ("2001:db8:0:{}::1", "2001:db8::/48")]
    )
    def test_failures_of_a_network_add_up(self, form: str, network: str) -> None:
        """A hundred, of twenty addresses, ban all of it; a client that is known goes on, and others elsewhere."""
        gate = Gate()
        gate.log_in(form.format(200))
        for number in range(20):
            gate.fail(form.format(number), times=5)
        assert gate.banned == [(network, "wrong-password", 900.0)]
        assert gate.is_banned(form.format(99))
        assert not gate.is_banned(form.format(200))
        assert not gate.is_banned("198.51.100.1")

    def test_a_network_can_be_left_out(self) -> None:
        """With `failures: null`; and of another size."""
        gate = Gate(penalties={"network": {"failures": None}})
        for number in range(200):
            gate.fail(f"192.0.2.{number}", times=5)
        assert gate.banned == []
        gate = Gate(penalties={"network": {"ipv4": 16, "failures": 20}})
        for number in range(20):
            gate.fail(f"192.0.{number}.1")
        assert [client for client, _, _ in gate.banned] == ["192.0.0.0/16"]

    def test_an_ipv6_client_is_its_64(self) -> None:
        """As everywhere."""
        gate = Gate()
        for number in range(10):
            gate.fail(f"2001:db8::{number}")
        assert gate.is_banned("2001:db8::ffff")
        assert [client for client, _, _ in gate.banned] == ["2001:db8::/64"]


def test_the_exempt_are_never_banned_and_come_as_fast_as_they_like() -> None:
    """Networks of the configuration, and proxies whose headers are read."""
    proxy = {"mode": "explicit", "port": 21, "proxy_protocol": {"trusted": ["10.0.0.5"]}}
    gate = Gate(penalties={"exempt": ["192.0.2.0/24"]}, listeners=[proxy], limits={"connection_rate": "1/1h"})
    for address in (GUESSER, "10.0.0.5"):
        gate.fail(address, times=1000)
        assert gate.penalties.refusal(address) is None
        with pytest.raises(ValueError, match="is exempt"):
            gate.penalties.ban(address, 60)
    gate.fail("10.0.0.6", times=10)
    assert gate.is_banned("10.0.0.6")


def test_who_becomes_exempt_is_listed_and_counted_no_more() -> None:
    """A reload ends the bans of addresses that it exempts; those of others, and of wider networks, go on."""
    gate = Gate()
    gate.fail(GUESSER, times=10)
    gate.penalties.ban(OFFICE, 60)
    gate.penalties.ban("192.0.0.0/16", 120)
    gate.penalties.use(Config.model_validate({"penalties": {"exempt": ["192.0.2.0/24"]}}))
    assert ([ban.client for ban in gate.penalties.bans()], gate.penalties.count()) == ([OFFICE, "192.0.0.0/16"], 2)
    assert gate.events[-1] == Unbanned(DAEMON, GUESSER, "operator")
    assert not gate.is_banned(GUESSER)


def test_without_penalties_an_operator_may_still_ban() -> None:
    """`enabled: false` counts nothing."""
    gate = Gate(penalties={"enabled": False})
    gate.fail(GUESSER, times=1000)
    assert not gate.is_banned(GUESSER)
    gate.penalties.ban(GUESSER, 60)
    assert gate.is_banned(GUESSER)


def test_an_operators_bans() -> None:
    """Of an address, of any network, for any time, for known clients too; they are lifted by the same words."""
    gate = Gate()
    gate.log_in("10.1.2.3")
    for place, inside, outside in (
        ("10.0.0.0/9", "10.1.2.3", "10.200.1.1"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
        ("2001:db8:1:2::5", "2001:db8:1:2::6", "2001:db8:1:3::5"),
        ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
    ):
        ban = gate.penalties.ban(place, 7200, "they asked for it")
        assert (ban.reason, ban.detail, ban.until) == ("operator", "they asked for it", START + 7200)
        assert (gate.is_banned(inside), gate.is_banned(outside)) == (True, False), place
        assert gate.penalties.lift(place)
        assert not gate.is_banned(inside)
        assert not gate.penalties.lift(place)
    for nonsense in ("0.0.0.0/0", "::/0", "example.com", "", "192.0.2.1/33"):
        with pytest.raises(ValueError, match=r"everybody|neither"):
            gate.penalties.ban(nonsense, 60)
    with pytest.raises(ValueError, match="duration"):
        gate.penalties.ban(GUESSER, 0)


def test_the_ends_of_bans_are_told_once() -> None:
    """When the time is over, or an operator ends one; then the client begins anew."""
    gate = Gate()
    gate.fail(GUESSER, times=10)
    gate.fail(OFFICE, times=10)
    assert gate.penalties.end_over() == 0
    assert gate.penalties.lift(GUESSER)
    gate.clock.advance(900)
    assert (gate.penalties.end_over(), gate.penalties.end_over()) == (1, 0)
    ended = [(each.client, each.reason) for each in gate.events if isinstance(each, Unbanned)]
    assert ended == [(GUESSER, "operator"), (OFFICE, "over")]
    gate.fail(GUESSER, times=10)
    gate.fail(OFFICE, times=10)
    assert [seconds for _, _, seconds in gate.banned] == [900, 900, 900, 1800]
    assert gate.penalties.lift_all() == 2
    assert all(each.who is DAEMON for each in gate.events if isinstance(each, Unbanned))


def test_bans_are_listed_in_order() -> None:
    """The one that ends first before the others."""
    gate = Gate()
    gate.penalties.ban("192.0.2.1", 300)
    gate.penalties.ban("192.0.2.2", 100)
    gate.penalties.ban("192.0.2.3", 200)
    assert [ban.client[-1] for ban in gate.penalties.bans()] == ["2", "3", "1"]


class TestRates:
    """Clients that come too fast."""

    def test_connections_and_handshakes_have_a_rate_each(self) -> None:
        """So many at once, then as many as the rate allows; others are not held up."""
        gate = Gate(limits={"connection_rate": "5/10s", "handshake_rate": "3/10s"})
        assert [gate.penalties.refusal(GUESSER) for _ in range(7)] == [None] * 5 + [RATE] * 2
        assert [gate.penalties.handshake_refusal(GUESSER) for _ in range(4)] == [None] * 3 + [RATE]
        assert gate.penalties.refusal(OFFICE) is None
        gate.clock.advance(2)
        assert [gate.penalties.refusal(GUESSER) for _ in range(2)] == [None, RATE]
        gate.clock.advance(1000)
        assert [gate.penalties.refusal(GUESSER) for _ in range(6)] == [None] * 5 + [RATE]

    def test_a_clock_set_back_keeps_nobody_out(self) -> None:
        """For longer than the time of the rate."""
        gate = Gate(limits={"connection_rate": "2/10s"})
        gate.clock.advance(100_000)
        assert gate.penalties.refusal(GUESSER) is None
        gate.clock.rightNow -= 100_000
        assert gate.penalties.refusal(GUESSER) in (None, RATE)
        gate.clock.advance(10)
        assert gate.penalties.refusal(GUESSER) is None

    def test_unlimited(self) -> None:
        """As the word says."""
        gate = Gate(limits={"connection_rate": "unlimited", "handshake_rate": "unlimited"})
        assert {gate.penalties.refusal(GUESSER) for _ in range(5000)} == {None}

    def test_a_flood_of_addresses_frees_nobody_who_came_faster(self) -> None:
        """The table has a bound: what others bring makes room among themselves."""
        gate = Gate(limits={"connection_rate": "5/1h"})
        for _ in range(5):
            gate.penalties.refusal(GUESSER)
        for number in range(10_000):
            gate.penalties.refusal(f"10.{number >> 8 & 255}.{number & 255}.1")
        assert gate.penalties.refusal(GUESSER) == RATE


class TestFullTable:
    """One bucket, which is full."""

    def test_failures_do_not_push_bans_out(self) -> None:
        """However many addresses bring them."""
        gate = Gate(SLOTS_IN_BUCKET, penalties={"network": {"failures": None}})
        gate.fail(GUESSER, times=10)
        for number in range(2000):
            gate.fail(f"10.{number >> 8}.{number & 255}.1")
        assert gate.is_banned(GUESSER)

    def test_the_ban_that_ends_first_gives_way_to_a_longer_one(self) -> None:
        """And to no shorter one."""
        gate = Gate(SLOTS_IN_BUCKET)
        for number in range(SLOTS_IN_BUCKET):
            gate.penalties.ban(f"192.0.2.{number}", 1000 + number)
        with pytest.raises(ValueError, match="full"):
            gate.penalties.ban("192.0.2.100", 999)
        gate.penalties.ban("192.0.2.101", 5000)
        banned = {ban.client for ban in gate.penalties.bans()}
        assert banned == {f"192.0.2.{number}" for number in (*range(1, SLOTS_IN_BUCKET), 101)}

    def test_known_clients_stay_before_failures(self) -> None:
        """An attacker's addresses push out an attacker's addresses."""
        gate = Gate(SLOTS_IN_BUCKET, penalties={"network": {"failures": None}})
        gate.log_in(OFFICE)
        for number in range(1000):
            gate.fail(f"10.{number >> 8}.{number & 255}.1")
        gate.fail(OFFICE, times=49)
        assert not gate.is_banned(OFFICE)

    def test_what_has_no_room_is_counted_for_its_network(self) -> None:
        """A network whose addresses come one after the other is banned as a whole, whatever the table forgets."""
        gate = Gate(2 * SLOTS_IN_BUCKET)
        for number in range(100):
            gate.fail(f"192.0.2.{number}")
        assert gate.is_banned("192.0.2.250")


def test_the_log_has_some_of_a_flood_of_refusals() -> None:
    """The others are counted, and one that is logged admits how many."""
    gate = Gate()
    who = Who("", None, GUESSER, "explicit:21")
    events = [gate.penalties.rejection(who, BANNED) for _ in range(1000)]
    assert sum(event.logged for event in events) == 20
    gate.clock.advance(1)
    later = gate.penalties.rejection(who, BANNED)
    assert (later.logged, later.detail) == (True, "980 more since the last one were not logged")
