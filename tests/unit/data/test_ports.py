"""Passive ports: the contract of the allocator, and a property over random sequences of its operations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from ftpsd.data.ports import MAX_WAITING, MOST_TOLD, WAIT_FOR_PORT, PassivePorts, PortsExhausted, Reservation

ALICE, BOB = "198.51.100.1", "198.51.100.2"


class Ports:
    """An allocator, and the results of its claims."""

    def __init__(
        self, first: int = 5000, last: int = 5001, closed: tuple[int, ...] = (), patience: float = 60.0
    ) -> None:
        self.clock = Clock()
        self.opened: list[int] = []
        self.closed = set(closed)
        self.allocator = PassivePorts(first, last, self._listen, self.clock, patience)

    def _listen(self, port: int) -> None:
        if port in self.closed:
            raise OSError("in use")
        self.opened.append(port)

    def claim(self, address: str = ALICE, arrived: Callable[[object], None] = lambda _: None) -> Claim:
        return Claim(self.allocator.claim(address, arrived))

    def lend(self, address: str = ALICE) -> Reservation:
        """Claim where a port is free."""
        reservation = self.claim(address).reservation
        assert reservation is not None
        return reservation


class Claim:
    """A claim: it waits, has its reservation, or was refused."""

    def __init__(self, result: Deferred[Reservation]) -> None:
        self.reservation: Reservation | None = None
        self.is_refused = False
        self.unopened: int | None = None
        result.addCallbacks(self._lent, self._refused)

    def _lent(self, reservation: Reservation) -> None:
        self.reservation = reservation

    def _refused(self, failure: object) -> None:
        error = getattr(failure, "value", None)
        assert isinstance(error, PortsExhausted)
        self.is_refused, self.unopened = True, error.unopened

    @property
    def waits(self) -> bool:
        return self.reservation is None and not self.is_refused


def test_a_claim_is_answered_at_once() -> None:
    """A range with a free port makes nobody wait."""
    assert Ports().lend().port in (5000, 5001)


def test_a_range_of_one_port() -> None:
    """First and last may be the same port."""
    assert Ports(5000, 5000).lend().port == 5000


def test_one_address_gets_every_port_once() -> None:
    """Two pending reservations of one address never share a port: their connections could not be told apart."""
    ports = Ports(5000, 5009)
    assert sorted(ports.lend().port for _ in range(10)) == list(range(5000, 5010))


def test_one_port_serves_many_addresses() -> None:
    """A port lent to one address is free for every other."""
    ports = Ports(5000, 5000)
    assert ports.lend(ALICE).port == ports.lend(BOB).port == 5000


@pytest.mark.parametrize("closed", [(), (5001,), (5000, 5001)])
def test_a_refusal_tells_how_many_ports_others_hold(closed: tuple[int, ...]) -> None:
    """So that a range which another program has taken is not said to be in use for the client."""
    ports = Ports(5000, 5001, closed)
    for _ in range(2 - len(closed)):
        ports.lend()
    claim = ports.claim()
    ports.clock.advance(WAIT_FOR_PORT)
    assert (claim.is_refused, claim.unopened) == (True, len(closed))


def test_a_listener_is_opened_once() -> None:
    """A port that listens is not opened for its second use."""
    ports = Ports(5000, 5000)
    ports.lend().release()
    ports.lend()
    assert ports.opened == [5000]


def test_a_process_with_a_successor_keeps_few_ports() -> None:
    """They are opened at once; what a client waits for stays open until it has come, and all come back."""
    ports = Ports(5000, 5007, closed=(5000, 5001))
    held = ports.lend()
    assert ports.allocator.keep(2) == set()
    assert len(ports.opened) == 2
    lent = [ports.lend(BOB), ports.lend(BOB)]
    assert {each.port for each in lent} == set(ports.opened)
    assert ports.claim(BOB).waits
    assert ports.allocator.keep(0) == set()
    for each in (held, *lent):
        each.release()
    assert ports.allocator.keep(0) | {each.port for each in lent} == set(ports.opened)
    ports.allocator.keep(8)
    assert ports.lend("198.51.100.3").port in range(5002, 5008)


def test_a_port_that_another_leaves_is_tried_again() -> None:
    """While a command waits: the process before an upgrade lets go of it soon."""
    ports = Ports(closed=(5000, 5001))
    claim = ports.claim()
    assert claim.waits
    ports.closed.clear()
    ports.clock.advance(WAIT_FOR_PORT / 2)
    assert claim.reservation is not None


def test_a_connection_finds_its_reservation() -> None:
    """take() returns the reservation of that port and address."""
    ports = Ports()
    reservation = ports.lend()
    assert ports.allocator.take(reservation.port, ALICE) is reservation


def test_the_connection_goes_to_who_claimed() -> None:
    """The reservation carries the callback it was claimed with."""
    arrived: list[object] = []
    ports = Ports()
    claim = ports.claim(arrived=arrived.append)
    assert claim.reservation is not None
    claim.reservation.arrived("connection")
    assert arrived == ["connection"]


def test_a_taken_port_is_free() -> None:
    """The port is lent again as soon as its connection has arrived."""
    ports = Ports(5000, 5000)
    ports.allocator.take(ports.lend().port, ALICE)
    assert ports.lend().port == 5000


def test_a_reservation_is_taken_once() -> None:
    """The second connection to a port is a stranger's."""
    ports = Ports(5000, 5000)
    ports.lend()
    ports.allocator.take(5000, ALICE)
    assert ports.allocator.take(5000, ALICE) is None


def test_a_stranger_gets_nothing() -> None:
    """A connection from an address without a reservation on that port is nobody's."""
    ports = Ports(5000, 5000)
    ports.lend(ALICE)
    assert ports.allocator.take(5000, BOB) is None


def test_a_stranger_takes_nothing_away() -> None:
    """After the stranger the right client still finds the reservation (PASV theft)."""
    ports = Ports(5000, 5000)
    reservation = ports.lend(ALICE)
    ports.allocator.take(5000, BOB)
    assert ports.allocator.take(5000, ALICE) is reservation


def test_the_wrong_port_gets_nothing() -> None:
    """The right address on another port is no match."""
    ports = Ports(5000, 5001)
    other = 5000 if ports.lend().port == 5001 else 5001
    assert ports.allocator.take(other, ALICE) is None


def test_releasing_frees_the_port() -> None:
    """A released port is lent again."""
    ports = Ports(5000, 5000)
    ports.lend().release()
    assert ports.lend().port == 5000


def test_releasing_twice_is_harmless() -> None:
    """The second release does not touch who has the port by now."""
    ports = Ports(5000, 5000)
    first = ports.lend()
    first.release()
    second = ports.lend()
    first.release()
    assert ports.allocator.take(5000, ALICE) is second


def test_a_released_reservation_is_not_found() -> None:
    """A connection that comes after the release is a stranger's."""
    ports = Ports(5000, 5000)
    ports.lend().release()
    assert ports.allocator.take(5000, ALICE) is None


def test_a_full_range_waits() -> None:
    """A claim that finds the range full for its address is not refused at once."""
    ports = Ports(5000, 5000)
    ports.lend()
    assert ports.claim().waits


def test_a_full_range_refuses_in_the_end() -> None:
    """After WAIT_FOR_PORT seconds the claim fails."""
    ports = Ports(5000, 5000)
    ports.lend()
    claim = ports.claim()
    ports.clock.advance(WAIT_FOR_PORT)
    assert claim.is_refused


def test_refusals_are_counted() -> None:
    """`exhausted` counts claims that failed."""
    ports = Ports(5000, 5000)
    ports.lend()
    ports.claim()
    ports.clock.advance(WAIT_FOR_PORT)
    assert ports.allocator.exhausted == 1


def test_a_full_range_of_one_address_is_not_full_for_another() -> None:
    """One client's reservations make nobody else wait."""
    ports = Ports(5000, 5000)
    ports.lend(ALICE)
    assert not ports.claim(BOB).waits


def test_a_release_serves_who_waits() -> None:
    """The port that is given back goes to the claim that waits for it."""
    ports = Ports(5000, 5000)
    first = ports.lend()
    claim = ports.claim()
    first.release()
    assert claim.reservation is not None
    assert claim.reservation.port == 5000


def test_an_arrival_serves_who_waits() -> None:
    """A connection that arrives frees its port too."""
    ports = Ports(5000, 5000)
    ports.lend()
    claim = ports.claim()
    ports.allocator.take(5000, ALICE)
    assert claim.reservation is not None


def test_waiting_is_in_order() -> None:
    """The session that has waited longest is served first."""
    ports = Ports(5000, 5000)
    held = ports.lend()
    claims = [ports.claim() for _ in range(3)]
    for served in range(3):
        held.release()
        assert [claim.waits for claim in claims] == [number > served for number in range(3)]
        now = claims[served].reservation
        assert now is not None
        held = now


def test_who_was_served_is_not_refused_later() -> None:
    """The timeout of a claim ends with its wait."""
    ports = Ports(5000, 5000)
    first = ports.lend()
    ports.claim()
    first.release()
    assert ports.clock.getDelayedCalls() == []


def test_who_was_refused_is_not_served_later() -> None:
    """A port that comes too late stays free."""
    ports = Ports(5000, 5000)
    first = ports.lend()
    ports.claim()
    ports.clock.advance(WAIT_FOR_PORT)
    first.release()
    assert ports.allocator.claimed == 0


def test_the_line_is_bounded() -> None:
    """Beyond MAX_WAITING claims an address is refused at once."""
    ports = Ports(5000, 5000)
    ports.lend()
    claims = [ports.claim() for _ in range(MAX_WAITING + 1)]
    assert [claim.is_refused for claim in claims] == [False] * MAX_WAITING + [True]


def test_an_old_reservation_is_lent_anew() -> None:
    """Nobody used it for `patience` seconds: whoever needs the port may have it."""
    ports = Ports(5000, 5000, patience=60)
    ports.lend()
    ports.clock.advance(60)
    assert ports.lend().port == 5000


def test_an_old_reservation_holds_while_nobody_needs_it() -> None:
    """A client that is slower than `patience` still finds its port."""
    ports = Ports(5000, 5000, patience=60)
    reservation = ports.lend()
    ports.clock.advance(3600)
    assert ports.allocator.take(5000, ALICE) is reservation


def test_a_free_port_goes_before_an_old_reservation() -> None:
    """Nobody loses a reservation while another port is free."""
    ports = Ports(5000, 5001, patience=60)
    old = ports.lend()
    ports.clock.advance(60)
    assert ports.lend().port != old.port


def test_releasing_a_reservation_that_was_replaced_is_harmless() -> None:
    """The session that was too slow does not take the port from its new holder."""
    ports = Ports(5000, 5000, patience=60)
    old = ports.lend()
    ports.clock.advance(60)
    new = ports.lend()
    old.release()
    assert ports.allocator.take(5000, ALICE) is new


def test_a_reservation_that_grows_old_serves_who_waits() -> None:
    """A claim that waits gets the port that becomes free by age, before it is refused."""
    ports = Ports(5000, 5000, patience=60)
    ports.lend()
    ports.clock.advance(59)
    claim = ports.claim()
    ports.clock.advance(1)
    ports.clock.advance(WAIT_FOR_PORT)
    assert claim.reservation is not None


def test_nobody_overtakes_who_waits() -> None:
    """A newcomer does not get the port that has grown old while others wait for one."""
    ports = Ports(5000, 5000, patience=60)
    ports.lend()
    ports.clock.advance(59)
    waiting = ports.claim()
    ports.clock.advance(1)
    ports.claim()
    assert waiting.reservation is not None


def test_a_port_that_cannot_be_opened_is_passed_over() -> None:
    """Another program on one port of the range costs that port only."""
    ports = Ports(5000, 5001, closed=(5000,))
    assert ports.lend().port == 5001


def test_a_port_that_could_not_be_opened_is_tried_again() -> None:
    """When the other program has gone, its port is lent."""
    ports = Ports(5000, 5000, closed=(5000,))
    ports.claim()
    ports.clock.advance(WAIT_FOR_PORT)
    ports.closed.clear()
    assert ports.lend().port == 5000


def test_never_a_port_outside_the_range() -> None:
    """A range of which nothing can be opened refuses; the kernel is not asked for another port."""
    ports = Ports(5000, 5001, closed=(5000, 5001))
    claim = ports.claim()
    ports.clock.advance(WAIT_FOR_PORT)
    assert claim.is_refused


def test_who_is_served_may_release_at_once() -> None:
    """A session that died while it waited gives its port back from inside the callback."""
    ports = Ports(5000, 5000)
    first = ports.lend()
    ports.allocator.claim(ALICE, lambda _: None).addCallback(lambda reservation: reservation.release())
    first.release()
    assert ports.allocator.claimed == 0


def test_the_busiest_address_is_counted() -> None:
    """`busiest` is the most reservations any one address holds, `by_client` are those of the busiest addresses."""
    ports = Ports(5000, 5004)
    for address in (ALICE, ALICE, BOB):
        ports.lend(address)
    assert ports.allocator.busiest == 2
    assert ports.allocator.by_client() == {ALICE: 2, BOB: 1}
    many = Ports(5000, 5004)
    for number in range(MOST_TOLD):
        many.lend(f"192.0.2.{number}")
    many.lend(BOB)
    many.lend(BOB)
    assert len(many.allocator.by_client()) == MOST_TOLD
    assert many.allocator.by_client()[BOB] == 2


@pytest.mark.parametrize(("claims", "ports_open"), [(0, 0), (2, 2)])
def test_listeners_are_counted(claims: int, ports_open: int) -> None:
    """`listening` is how many ports have been opened so far."""
    ports = Ports(5000, 5001)
    for _ in range(claims):
        ports.lend()
    assert ports.allocator.listening == ports_open
