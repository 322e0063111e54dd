"""Penalties and the state file: what a restart finds again, and what becomes of them while the file is broken."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

from ftpsd.control.gate import lasting_bans
from ftpsd.control.gate.arrivals import Arrivals, own_arrivals
from ftpsd.control.gate.bans import GrowingPenalties
from ftpsd.control.gate.lasting_bans import KIND, LastingBans
from ftpsd.control.gate.penalties import BANNED
from ftpsd.control.gate.record_table import RecordTable, own_table
from ftpsd.durable import facts
from ftpsd.durable.store import AGAIN, Store
from tests.unit.control.gate.test_bans import GUESSER, OFFICE, Gate
from tests.unit.durable.running import Driven, driven


def keeper(gate: Gate, state: Driven) -> LastingBans:
    """Return the keeper of *gate* in the file of *state*."""
    return LastingBans(gate.penalties, state.store, gate.clock)


def after_restart(state: Driven, gate: Gate, places: int = 4096) -> Gate:
    """Return a new server's gate, which has read the file, at the time of the old one."""
    made = Gate(places)
    made.clock.rightNow = gate.clock.seconds()
    state.answer(keeper(made, state).load())
    return made


def test_a_restart_finds_bans_repeaters_and_known_clients(tmp_path: Path) -> None:
    """Each until it would have ended; also an operator's words, and a ban of a network."""
    with driven(tmp_path / "state.db") as state:
        gate = Gate()
        kept = keeper(gate, state)
        gate.fail(GUESSER, times=10)
        gate.log_in(OFFICE)
        gate.penalties.ban("198.51.100.0/24", 7200, "their request")
        gate.fail("192.0.2.99", times=9)
        state.answer(kept.look())
        again = after_restart(state, gate)
        assert [(ban.client, ban.reason, ban.detail, ban.until) for ban in again.penalties.bans()] == [
            (ban.client, ban.reason, ban.detail, ban.until) for ban in gate.penalties.bans()
        ]
        assert again.is_banned(GUESSER)
        assert again.is_banned("198.51.100.77")
        again.fail(OFFICE, times=40)
        assert not again.is_banned(OFFICE)
        again.clock.advance(901)
        again.fail(GUESSER, times=10)
        assert again.banned[-1] == (GUESSER, "wrong-password", 1800.0)
        assert not again.is_banned("192.0.2.99")


def test_a_ban_that_was_lifted_does_not_come_back(tmp_path: Path) -> None:
    """Nor does one that is over; and nothing stays in the file for ever."""
    with driven(tmp_path / "state.db") as state:
        gate = Gate()
        kept = keeper(gate, state)
        gate.fail(GUESSER, times=10)
        gate.penalties.ban("10.0.0.0/8", 60)
        state.answer(kept.look())
        gate.penalties.lift(GUESSER)
        gate.clock.advance(61)
        gate.penalties.end_over()
        state.answer(kept.look())
        assert after_restart(state, gate).penalties.bans() == []
        assert state.answer(state.store.run(lambda file: list(facts.every(file, KIND, 0.0)))) == []


def test_a_clock_that_was_ahead_makes_no_ban_longer(tmp_path: Path) -> None:
    """Nor a repeater, nor the time for which an office is known: each lasts as long as if it began now, at most."""
    days = 20 * 86400.0
    with driven(tmp_path / "state.db") as state:
        gate = Gate()
        gate.clock.advance(days)
        gate.fail(GUESSER, times=10)
        gate.log_in(OFFICE)
        gate.penalties.ban("198.51.100.0/24", 7200)
        state.answer(keeper(gate, state).look())
        gate.clock.rightNow -= days
        again = after_restart(state, gate)
        # Written anew, and read by one more server: it has not begun again.
        again.clock.advance(100)
        state.answer(keeper(again, state).look())
        again = after_restart(state, again)
        assert [ban.until - again.clock.seconds() for ban in again.penalties.bans()] == [800, 7100]
        again.clock.advance(800)
        assert not again.is_banned(GUESSER)
        again.clock.advance(86400)
        again.fail(GUESSER, times=10)
        assert again.banned[-1][2] == 900
        again.clock.advance(7 * 86400)
        assert not again.penalties.is_known(OFFICE)


def test_a_fact_of_before_lengths_were_kept_holds(tmp_path: Path) -> None:
    """Until the moment that it tells."""
    with driven(tmp_path / "state.db") as state:
        gate = Gate()
        until = gate.clock.seconds() + 5000
        told = {"until": until, "known": 0.0, "calm": until, "level": 1, "reason": "operator", "words": ""}
        state.answer(state.store.run(facts.put, KIND, GUESSER, json.dumps(told), until))
        assert [ban.until for ban in after_restart(state, gate).penalties.bans()] == [until]


def test_what_was_lifted_while_no_keeper_lived_does_not_come_back(tmp_path: Path) -> None:
    """The next one removes it from the file; not what the server could not read at its start."""
    with driven(tmp_path / "state.db") as state:
        gate = Gate()
        gate.fail(GUESSER, times=10)
        gate.penalties.ban(OFFICE, 60)
        state.answer(keeper(gate, state).look())
        unread = Gate()
        unread.clock.rightNow = gate.clock.seconds()
        state.answer(keeper(unread, state).look())
        gate.penalties.lift(GUESSER)
        state.answer(keeper(gate, state).look())
        again = after_restart(state, gate, places=32)
        assert [ban.client for ban in again.penalties.bans()] == [OFFICE]
        again.penalties.lift(OFFICE)
        # Its place is another's by now: all of them are.
        for number in range(256):
            again.penalties.ban(f"192.0.2.{number}", 30)
        again.clock.advance(31)
        assert again.penalties.table.get(OFFICE) is None
        state.answer(keeper(again, state).look())
        assert after_restart(state, again).penalties.bans() == []


def test_while_the_file_is_broken_penalties_live_in_memory(tmp_path: Path) -> None:
    """And are written when it has been mended."""
    with driven(tmp_path / "missing" / "state.db") as state:
        gate = Gate()
        kept = keeper(gate, state)
        state.answer(kept.load())
        gate.fail(GUESSER, times=10)
        state.answer(kept.look())
        assert gate.is_banned(GUESSER)
        (tmp_path / "missing").mkdir()
        state.reactor.advance(2)
        state.answer(kept.look())
        assert after_restart(state, gate).is_banned(GUESSER)


def test_a_flood_of_bans_is_written_in_parts(tmp_path: Path) -> None:
    """Others of the server wait for the file no longer than for one part; in the end all are there."""
    with driven(tmp_path / "state.db") as state:
        gate = Gate(4096, penalties={"network": {"failures": None}})
        kept = keeper(gate, state)
        count = lasting_bans.MOST_WRITTEN + 100
        for number in range(count):
            gate.penalties.ban(f"10.0.{number >> 8}.{number & 255}", 3600)
        found = []
        for _ in range(3):
            state.answer(kept.look())
            found.append(len(state.answer(state.store.run(lambda file: list(facts.every(file, KIND, 0.0))))))
        assert found == [lasting_bans.MOST_WRITTEN, count, count]


def test_nonsense_in_the_file_is_no_ban(tmp_path: Path) -> None:
    """A ban that another version has written is left out, and the others hold."""
    with driven(tmp_path / "state.db") as state:
        gate = Gate()
        gate.fail(GUESSER, times=10)
        state.answer(keeper(gate, state).look())
        for key, value in (("nonsense", "{}"), ("10.0.0.1", "]"), ("10.0.0.2", '{"until": "x"}'), ("10.0.0.3", "[]")):
            state.answer(state.store.run(facts.put, KIND, key, value, 2e9))
        again = after_restart(state, gate)
        assert [ban.client for ban in again.penalties.bans()] == [GUESSER]


def test_two_processes_are_one() -> None:
    """A failure in one and a failure in another are two, and both refuse."""
    records, arrivals = own_table(), own_arrivals()
    gate = Gate()
    two = [
        GrowingPenalties(RecordTable(records, nullcontext()), Arrivals(arrivals, nullcontext()), gate.clock)
        for _ in range(2)
    ]
    for number in range(10):
        gate.penalties = two[number % 2]
        gate.fail(GUESSER)
    assert [each.refusal(GUESSER) for each in two] == [BANNED, BANNED]
    assert two[0].generation == two[1].generation > 0
    assert two[1].lift(GUESSER)
    assert two[0].refusal(GUESSER) is None


def test_a_disk_that_does_not_answer_keeps_no_server_from_its_start(tmp_path: Path) -> None:
    """Clients wait for the bans of before, but not for ever."""
    gate = Gate()
    store = Store(tmp_path / "state.db", lambda *_: None)  # its thread was not started
    loaded = LastingBans(gate.penalties, store, gate.clock).load()
    gate.clock.advance(lasting_bans.PATIENCE - 0.1)
    assert not loaded.called
    gate.clock.advance(0.1)
    assert loaded.result is None


def test_another_file_gets_the_bans_of_now(tmp_path: Path) -> None:
    """In the place of one that was removed while the server ran: the next start finds them."""
    with driven(tmp_path / "state.db") as state:
        gate = Gate()
        kept = keeper(gate, state)
        gate.fail(GUESSER, times=10)
        state.answer(kept.look())
        for file in tmp_path.iterdir():
            file.unlink()
        state.store.look()
        state.reactor.run_until(lambda: state.store.trouble is not None)
        state.reactor.advance(AGAIN)
        state.answer(state.store.run(facts.get, KIND, GUESSER, 0.0))
        state.answer(kept.look())
        assert after_restart(state, gate).is_banned(GUESSER)
