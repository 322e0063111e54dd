"""Second factors: what lets in, once, what is remembered, and how guessing ends."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import gatherResults
from twisted.logger import LogEvent, capturedLogs, formatEvent

from ftpsd.auth.codes import STEP, code_of, step_at
from ftpsd.auth.credentials import LoginDenied, Refusal
from ftpsd.auth.factors import (
    FREE_GUESSES,
    LONGEST_LOCK,
    Passed,
    Question,
    SecondFactors,
    lock_after,
)
from ftpsd.config.users import UserRecord
from ftpsd.durable import facts
from ftpsd.durable.opening import state_opened
from ftpsd.durable.store import Store
from ftpsd.durable.tables import BEGUN
from ftpsd.values.login.second_factor import SecondFactor, digest_of
from tests.state import begin_long_ago
from tests.unit.durable.running import Driven, driven

SECRET, RECOVERY = b"12345678901234567890", "abcd-efgh-ijkl-mn23"
NOW = 1_700_000_010.0
ADDRESS = "192.0.2.1"
USER = UserRecord("alice", "$hash", Path("/"), second_factor=SecondFactor(SECRET, (digest_of(RECOVERY),)))


class Lines:
    """The lines of *events* that are logged."""

    def __init__(self, events: Sequence[LogEvent]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[str]:
        return iter([formatEvent(event) for event in self._events])


class Desk:
    """The second factors of one process, and its clock."""

    def __init__(self, it: Driven) -> None:
        self.it = it
        self.clock = it.reactor
        self.factors = SecondFactors(it.store, it.reactor)

    def code(self, offset: int = 0) -> str:
        """The code of a device whose clock is that many steps ahead."""
        return code_of(SECRET, step_at(self.clock.seconds()) + offset)

    def ask(self, code: str | None, *, user: UserRecord = USER, **changes: Any) -> Passed | Refusal | None:
        """Return how the factor is passed, None for not yet, or why not."""
        facts = {"account": user.name, "user": user, "peer": ADDRESS, "remember": 900.0, **changes}
        question = Question(**facts, code=code)
        try:
            return self.it.answer(self.factors.decide(question))
        except LoginDenied as error:
            return error.reason


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def desk(path: Path) -> Iterator[Desk]:
    """A server at NOW."""
    begin_long_ago(path)
    with driven(path) as it:
        it.reactor.advance(NOW)
        yield Desk(it)


@pytest.fixture
def warnings() -> Iterator[Lines]:
    """The lines logged meanwhile."""
    with capturedLogs() as events:
        yield Lines(events)


def test_a_code_is_asked_for(desk: Desk) -> None:
    """Where nothing is remembered and none came along."""
    assert desk.ask(None) is None


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_one_step_of_tolerance(desk: Desk, offset: int) -> None:
    """To either side."""
    assert desk.ask(desk.code(offset)) is Passed.TOTP


def test_a_clock_that_was_ahead_makes_no_lock_and_no_memory_longer(desk: Desk) -> None:
    """Both last as long as if they began now, at most, also where they are looked at in between."""
    other = replace(USER, name="bob")
    desk.clock.rightNow = NOW + 20 * 86400
    assert desk.ask(desk.code()) is Passed.TOTP
    for _ in range(FREE_GUESSES):
        desk.ask("000000", user=other)
    desk.clock.rightNow = NOW
    assert desk.ask(None) is Passed.REMEMBERED
    assert desk.ask(desk.code(), user=other) is Refusal.SECOND_FACTOR_LOCKED
    desk.clock.advance(61)
    assert desk.ask(desk.code(), user=other) is Passed.TOTP
    desk.clock.advance(840)
    assert desk.ask(None) is None


def test_a_step_counts_once(desk: Desk) -> None:
    """For whoever comes from elsewhere with the same code; and none before it counts any more."""
    assert desk.ask(desk.code(0)) is Passed.TOTP
    assert desk.ask(desk.code(0), peer="192.0.2.2") is Refusal.SECOND_FACTOR_USED
    assert desk.ask(desk.code(-1), peer="192.0.2.2") is Refusal.SECOND_FACTOR_USED
    assert desk.ask(desk.code(1), peer="192.0.2.2") is Passed.TOTP


def test_a_step_counts_once_after_a_restart_and_in_another_process(desk: Desk, path: Path) -> None:
    """The other has the same file open meanwhile."""
    code = desk.code()
    with driven(path) as it:
        it.reactor.advance(NOW)
        other = Desk(it)
        assert other.ask(None) is None
        assert desk.ask(code) is Passed.TOTP
        assert other.ask(code, peer="192.0.2.2") is Refusal.SECOND_FACTOR_USED
        assert other.ask(None) is Passed.REMEMBERED
    assert desk.it.store.stop()
    with driven(path) as it:
        it.reactor.advance(NOW + 5)
        assert Desk(it).ask(code, peer="192.0.2.2") is Refusal.SECOND_FACTOR_USED
        assert Desk(it).ask(None) is Passed.REMEMBERED


def test_a_restart_with_the_clock_set_back(desk: Desk) -> None:
    """An earlier step counts no more, though it is of now again."""
    code = desk.code()
    assert desk.ask(code) is Passed.TOTP
    desk.clock.rightNow = NOW - 3600
    assert desk.ask(desk.code(), peer="192.0.2.2") is Refusal.SECOND_FACTOR_USED


@pytest.mark.parametrize("is_set_back", [False, True])
def test_a_state_file_that_was_lost(path: Path, warnings: Lines, is_set_back: bool) -> None:
    """Of the new one no code counts that could have been used before; also where it was begun by a clock ahead."""
    with driven(path) as it:
        it.reactor.advance(NOW)
        desk = Desk(it)
        begun = NOW + 3600 if is_set_back else NOW
        it.answer(it.store.run(facts.put, BEGUN, "", repr(begun)))
        for offset in (-1, 0, 1):
            assert desk.ask(desk.code(offset)) is Refusal.SECOND_FACTOR_UNAVAILABLE
        assert "alice cannot log in for another 60 s: the state file was begun anew" in next(iter(warnings))
        desk.clock.advance(59)
        assert desk.ask(desk.code(0)) is Refusal.SECOND_FACTOR_UNAVAILABLE
        desk.clock.advance(1)
        assert desk.ask(desk.code(-1)) is Refusal.SECOND_FACTOR_UNAVAILABLE
        assert desk.ask(desk.code(0)) is Passed.TOTP
        assert desk.ask(desk.code(0), peer="192.0.2.2") is Refusal.SECOND_FACTOR_USED


def test_recovery_codes_behind_a_state_file_that_was_lost(path: Path, warnings: Lines) -> None:
    """Of the new one only those count that were made since, by a clock of the past; the operator reads what to do."""
    with driven(path) as it:
        it.reactor.advance(NOW)
        desk = Desk(it)
        it.answer(it.store.run(facts.put, BEGUN, "", repr(NOW - 600)))
        for made in (None, NOW - 601, NOW + 1):
            of_then = replace(USER, second_factor=SecondFactor(SECRET, (digest_of(RECOVERY),), made))
            assert desk.ask(RECOVERY, user=of_then) is Refusal.SECOND_FACTOR_UNAVAILABLE
        assert "make new ones: ftpsd user otp alice --recovery" in next(iter(warnings))
        assert RECOVERY not in "".join(warnings)
        made_since = replace(USER, second_factor=SecondFactor(SECRET, (digest_of(RECOVERY),), NOW - 600))
        assert desk.ask(RECOVERY, user=made_since) is Passed.RECOVERY_CODE
        assert desk.ask(RECOVERY, user=made_since, peer="192.0.2.2") is Refusal.SECOND_FACTOR_USED


def test_a_new_state_file_knows_when_it_was_begun(path: Path) -> None:
    """And goes on knowing it."""
    with state_opened(path) as connection:
        begun = facts.get(connection, BEGUN, "", 0)
    assert begun is not None
    assert abs(float(begun) - time.time()) < 3600
    with state_opened(path) as connection:
        assert facts.get(connection, BEGUN, "", 0) == begun


def test_logins_with_one_code_at_once(desk: Desk, path: Path) -> None:
    """Of eight that two processes are asked for together one uses the code up, and the others are remembered."""
    code = desk.code()
    with driven(path) as it:
        it.reactor.advance(NOW)
        other = Desk(it)
        question = Question("alice", USER, ADDRESS, None, code, 900.0)
        asked = [each.factors.decide(question) for each in (desk, other) for _ in range(4)]
        ours, theirs = gatherResults(asked[:4]), gatherResults(asked[4:])
        passed = [*desk.it.answer(ours), *it.answer(theirs)]
    assert sorted(map(str, passed)) == ["remembered"] * 7 + ["totp"]


def test_logins_with_one_code_at_once_where_nothing_is_remembered(desk: Desk) -> None:
    """All but the first are replays."""
    answers = [desk.ask(desk.code(), remember=0.0) for _ in range(3)]
    assert answers == [Passed.TOTP, Refusal.SECOND_FACTOR_USED, Refusal.SECOND_FACTOR_USED]


def test_what_a_login_is_remembered_for(desk: Desk) -> None:
    """The user, the client and the certificate, for the time that is configured."""
    user = USER
    assert desk.ask(desk.code()) is Passed.TOTP
    forgotten = (
        {"peer": "192.0.2.2"},
        {"certificate": "sha256:ab"},
        {"account": "host\nalice"},
        {"remember": 0.0},
        {"user": replace(user, password="$another")},
        {"user": replace(user, second_factor=SecondFactor(SECRET[::-1]))},
    )
    for changes in forgotten:
        assert desk.ask(None, **changes) is None, changes
    assert desk.ask(None, peer=f"::ffff:{ADDRESS}") is Passed.REMEMBERED
    # A client that appends its code to every login goes on with an old one.
    assert desk.ask("000000") is Passed.REMEMBERED
    desk.clock.advance(899)
    assert desk.ask(None) is Passed.REMEMBERED
    desk.clock.advance(2)
    assert desk.ask(None) is None


def test_a_new_code_is_remembered_anew(desk: Desk) -> None:
    """From its own moment on."""
    assert desk.ask(desk.code()) is Passed.TOTP
    desk.clock.advance(600)
    assert desk.ask(desk.code()) is Passed.TOTP
    desk.clock.advance(600)
    assert desk.ask(None) is Passed.REMEMBERED


def test_one_ipv6_network_is_one_client(desk: Desk) -> None:
    """As for limits: a /64."""
    assert desk.ask(desk.code(), peer="2001:db8::1") is Passed.TOTP
    assert desk.ask(None, peer="2001:db8::2") is Passed.REMEMBERED
    assert desk.ask(None, peer="2001:db8:0:1::1") is None


def test_a_user_who_was_shut_out_is_asked_again(desk: Desk) -> None:
    """And no other is."""
    other = replace(USER, name="bob")
    assert desk.ask(desk.code()) is Passed.TOTP
    assert desk.ask(desk.code(), user=other) is Passed.TOTP
    desk.factors.forget(["alice"])
    assert desk.ask(None) is None
    assert desk.ask(None, user=other) is Passed.REMEMBERED


def test_a_recovery_code_counts_once(desk: Desk, warnings: Lines) -> None:
    """However it is written; and the operator learns that few are left."""
    assert desk.ask(RECOVERY.upper()) is Passed.RECOVERY_CODE
    assert any("recovery code" in line and "0 are left" in line for line in warnings)
    assert desk.ask(RECOVERY, peer="192.0.2.2") is Refusal.SECOND_FACTOR_USED
    assert desk.ask(None) is Passed.REMEMBERED


def test_a_clock_that_is_off_is_told(desk: Desk, warnings: Lines) -> None:
    """To the operator, with the direction; the code is refused."""
    assert desk.ask(desk.code(-3)) is Refusal.SECOND_FACTOR_SKEWED
    assert desk.ask(desk.code(10)) is Refusal.SECOND_FACTOR_SKEWED
    assert desk.ask(desk.code(11)) is Refusal.SECOND_FACTOR_WRONG
    told = [line for line in warnings if "the clock of the device" in line]
    assert [line.partition(" is ")[2].partition(";")[0] for line in told] == ["about 90 s behind", "about 300 s ahead"]
    assert all("alice" in line for line in told)


def test_many_clocks_that_are_off_make_ours_doubtful(desk: Desk) -> None:
    """Not two, and not when as many are right; by the last code of each within a day."""
    factors = desk.factors
    for number, (offset, is_told) in enumerate(
        [(-1, False), (-4, False), (0, False), (-1, True), (0, True), (0, False)]
    ):
        desk.ask(desk.code(offset), user=replace(USER, name=f"user{number}"))
        desk.it.answer(factors.look_at_clocks())
        assert (factors.clocks.trouble is not None) is is_told, number
    assert (factors.clocks.devices, factors.clocks.behind, factors.clocks.ahead) == (6, 3, 0)
    desk.clock.advance(86401)
    desk.it.answer(factors.look_at_clocks())
    assert factors.clocks.devices == 0


def test_guesses_are_bounded_from_wherever_they_come(desk: Desk) -> None:
    """After five the factor is locked, also for the right code; then for longer and longer."""
    for number in range(FREE_GUESSES):
        assert desk.ask("000000", peer=f"192.0.2.{number}") is Refusal.SECOND_FACTOR_WRONG
    assert desk.ask(desk.code(), peer="198.51.100.1") is Refusal.SECOND_FACTOR_LOCKED
    assert desk.ask(None) is None
    desk.clock.advance(61)
    assert desk.ask("000000") is Refusal.SECOND_FACTOR_WRONG
    desk.clock.advance(61)
    assert desk.ask(desk.code()) is Refusal.SECOND_FACTOR_LOCKED
    desk.clock.advance(60)
    assert desk.ask(desk.code()) is Passed.TOTP


def test_a_login_forgives_half(desk: Desk) -> None:
    """An attacker who knows the password gains little by the user's own logins."""
    for _ in range(4):
        desk.ask("000000")
    assert desk.ask(desk.code(), peer="192.0.2.2") is Passed.TOTP
    desk.clock.advance(STEP * 2)
    for _ in range(FREE_GUESSES - 2):
        assert desk.ask("000000") is Refusal.SECOND_FACTOR_WRONG
    assert desk.ask("000000") is Refusal.SECOND_FACTOR_LOCKED


def test_guesses_at_once_are_counted_one_by_one(desk: Desk, path: Path) -> None:
    """In two processes: of sixteen, five are looked at."""
    with driven(path) as it:
        it.reactor.advance(NOW)
        other = Desk(it)
        reasons: list[Refusal] = []

        def note(failure: Any) -> None:
            failure.trap(LoginDenied)
            reasons.append(failure.value.reason)

        for number in range(16):
            each = (desk, other)[number % 2]
            each.factors.decide(Question("alice", USER, f"192.0.2.{number}", None, "000000", 900.0)).addErrback(note)
        for each in (desk, other):
            each.it.answer(each.it.store.run(lambda _: None))
    assert len(reasons) == 16
    assert reasons.count(Refusal.SECOND_FACTOR_WRONG) == FREE_GUESSES


def test_a_year_of_guessing() -> None:
    """Right with less than 1 %, though the user logs in every day: three of a million codes are right at a time."""
    guesses = tried = 0
    for _ in range(365):
        guesses //= 2
        left = 86400.0
        while left > 0:
            guesses += 1
            tried += 1
            left -= max(lock_after(guesses), 0.1)
    assert tried * 3e-6 < 0.01
    assert lock_after(10_000) == LONGEST_LOCK


def test_a_new_device_begins_without_guesses(desk: Desk) -> None:
    """An operator who enrols a locked user anew lets the user in."""
    for _ in range(FREE_GUESSES):
        desk.ask("000000")
    secret = SECRET[::-1]
    user = replace(USER, second_factor=SecondFactor(secret))
    assert desk.ask(code_of(secret, step_at(desk.clock.seconds())), user=user) is Passed.TOTP


def test_without_the_state_file_nobody_is_let_in(tmp_path: Path, warnings: Lines) -> None:
    """Broken, missing or not configured; the log says who could not log in."""
    with driven(tmp_path / "nowhere" / "state.db") as it:
        it.reactor.advance(NOW)
        desk = Desk(it)
        assert desk.ask(desk.code()) is Refusal.SECOND_FACTOR_UNAVAILABLE
        assert desk.ask(None) is Refusal.SECOND_FACTOR_UNAVAILABLE
        assert any("alice cannot log in" in line and "does not exist" in line for line in warnings)
        desk.factors = SecondFactors(Store(None, it.reactor.callFromThread), it.reactor)
        assert desk.ask(desk.code()) is Refusal.SECOND_FACTOR_UNAVAILABLE


def test_a_commit_that_fails_lets_nobody_in(desk: Desk) -> None:
    """A full disk: what could not be used up for good does not count."""
    assert desk.ask(None) is None

    def fill(connection: Any) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    desk.it.answer(desk.it.store.run(fill))
    answers = {desk.ask(desk.code(), account="x" * 5000, peer=f"192.0.2.{number}") for number in range(3)}
    assert Refusal.SECOND_FACTOR_UNAVAILABLE in answers


def test_a_user_who_has_none_yet(desk: Desk) -> None:
    """A role asks for it, and nothing is enrolled."""
    assert desk.ask(None, user=replace(USER, second_factor=SecondFactor())) is Refusal.SECOND_FACTOR_NOT_ENROLLED
