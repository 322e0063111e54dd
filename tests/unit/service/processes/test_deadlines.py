"""Deadlines in shared memory: one process sets them, all see them."""

from __future__ import annotations

from twisted.internet.task import Clock

from ftpsd.processes.shared.deadline_table import DeadlineTable


def test_all_processes_see_a_deadline() -> None:
    """Whichever has set it, and also when that one is gone; they have one secret."""
    clock = Clock()
    table = DeadlineTable.create(100, clock)
    one, other = (DeadlineTable(table.fd, clock) for _ in range(2))
    one.set("192.0.2.1", 60.0)
    del one
    assert other.until("192.0.2.1") == 60.0
    other.set("192.0.2.1", 30.0)
    assert table.until("192.0.2.1") == 30.0
    assert table.secret == other.secret


def test_servers_have_different_secrets() -> None:
    """Each its own."""
    assert DeadlineTable.create(1, Clock()).secret != DeadlineTable.create(1, Clock()).secret


def test_a_table_has_no_more_room_than_was_asked_for() -> None:
    """At most so many are remembered, but for one bucket."""
    table = DeadlineTable.create(100, Clock())
    for number in range(1000):
        table.set(str(number), 60.0)
    assert sum(table.until(str(number)) > 0 for number in range(1000)) <= 100
