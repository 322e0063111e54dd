"""Passive ports under random sequences of operations, against a model that is simple enough to be believed."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from ftpsd.data.ports import WAIT_FOR_PORT, PassivePorts, PortsExhausted, Reservation

pytestmark = pytest.mark.slow

FIRST, LAST = 5000, 5002
BROKEN = 5001
PATIENCE = 2.0
ADDRESSES = st.sampled_from(["198.51.100.1", "2001:db8::2"])


class Claimed:
    """One claim and what came of it."""

    def __init__(self, address: str, at: float) -> None:
        self.address = address
        self.at = at
        self.reservation: Reservation | None = None
        self.is_refused = False


class PortsMachine(RuleBasedStateMachine):
    """Claims, releases, connections and time, in any order."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.opened: list[int] = []
        self.ports = PassivePorts(FIRST, LAST, self._listen, self.clock, PATIENCE)
        self.all: list[Claimed] = []
        self.pending: list[Claimed] = []

    def _listen(self, port: int) -> None:
        if port == BROKEN:
            raise OSError("in use")
        self.opened.append(port)

    @rule(target=claims, address=ADDRESSES)
    def claim(self, address: str) -> Claimed:
        claim = Claimed(address, self.clock.seconds())

        def lent(reservation: Reservation) -> None:
            # The holder of the port had grown old: the model lets go of it.
            self.pending = [
                other
                for other in self.pending
                if not (
                    other.address == address
                    and other.reservation is not None
                    and other.reservation.port == reservation.port
                    and other.reservation.expires <= self.clock.seconds()
                )
            ]
            claim.reservation = reservation
            self.pending.append(claim)

        def refused(failure: Failure) -> None:
            failure.trap(PortsExhausted)
            claim.is_refused = True

        self.all.append(claim)
        self.ports.claim(address, lambda _: None).addCallbacks(lent, refused)
        return claim

    @rule(claim=claims)
    def release(self, claim: Claimed) -> None:
        if claim.reservation is not None:
            if claim in self.pending:
                self.pending.remove(claim)
            claim.reservation.release()

    @rule(address=ADDRESSES, port=st.integers(FIRST - 1, LAST + 1))
    def connect(self, address: str, port: int) -> None:
        expected = [
            claim
            for claim in self.pending
            if claim.address == address and claim.reservation is not None and claim.reservation.port == port
        ]
        for claim in expected:
            self.pending.remove(claim)
        taken = self.ports.take(port, address)
        assert taken is (expected[0].reservation if expected else None)

    @rule(seconds=st.sampled_from([0.5, PATIENCE, WAIT_FOR_PORT]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def no_two_reservations_share_a_port_and_an_address(self) -> None:
        held = [(claim.address, claim.reservation.port) for claim in self.pending if claim.reservation is not None]
        assert len(held) == len(set(held))

    @invariant()
    def counts_are_right(self) -> None:
        assert self.ports.claimed == len(self.pending)
        by_address = [sum(claim.address == address for claim in self.pending) for address in self._addresses()]
        assert self.ports.busiest == max(by_address, default=0)
        assert self.ports.exhausted == sum(claim.is_refused for claim in self.all)
        assert self.ports.listening == len(self.opened) == len(set(self.opened))

    @invariant()
    def every_port_is_one_of_the_range_that_can_be_opened(self) -> None:
        ports = {claim.reservation.port for claim in self.all if claim.reservation is not None}
        assert ports <= set(range(FIRST, LAST + 1)) - {BROKEN}

    @invariant()
    def nobody_waits_longer_than_promised(self) -> None:
        for claim in self._waiting():
            assert self.clock.seconds() - claim.at < WAIT_FOR_PORT

    @invariant()
    def nobody_waits_for_a_port_that_is_free(self) -> None:
        for claim in self._waiting():
            assert sum(other.address == claim.address for other in self.pending) == LAST - FIRST

    @invariant()
    def nobody_is_overtaken(self) -> None:
        for claim in self._waiting():
            later = self.all[self.all.index(claim) :]
            assert not [other for other in later if other.address == claim.address and other.reservation is not None]

    @invariant()
    def only_those_who_wait_need_a_timer(self) -> None:
        assert self._waiting() or not self.clock.getDelayedCalls()

    def _waiting(self) -> list[Claimed]:
        return [claim for claim in self.all if claim.reservation is None and not claim.is_refused]

    def _addresses(self) -> set[str]:
        return {claim.address for claim in self.pending}

    def teardown(self) -> None:
        for claim in list(self.pending):
            self.release(claim)
        self.clock.advance(WAIT_FOR_PORT)
        for claim in list(self.pending):
            self.release(claim)
        assert self.ports.claimed == 0
        assert self.clock.getDelayedCalls() == []


def test_ports() -> None:
    """No sequence of operations tells them from the model."""
    run_state_machine_as_test(PortsMachine, settings=settings(max_examples=60, stateful_step_count=40))
