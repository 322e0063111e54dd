"""A share of the server: what is done once is done by the process that has the duty."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from ftpsd.audit.events import DAEMON, Event, LeftWithoutLogin, Started
from ftpsd.control.gate.arrivals import Arrivals, own_arrivals
from ftpsd.control.gate.bans import GrowingPenalties
from ftpsd.control.gate.record_table import RecordTable, own_table
from ftpsd.service.daemon import Daemon
from ftpsd.service.load import load
from ftpsd.service.parts import Parts
from ftpsd.service.share import Duty, Share
from tests.unit.service.site import PortReactor, Site


def test_alone_a_process_has_all_of_the_server(tmp_path: Path) -> None:
    """Every duty, every passive port."""
    config = load(Site(tmp_path).path).config
    share = Share.alone(config, PortReactor())
    assert share.duties == set(Duty)
    assert (share.processes, share.ports) == (1, config.passive.ports)


@pytest.mark.parametrize(("duties", "lines"), [(frozenset(Duty), 1), (frozenset({Duty.SWEEP, Duty.RENEW}), 0)])
def test_what_happens_to_the_server_is_told_once(tmp_path: Path, duties: frozenset[Duty], lines: int) -> None:
    """Its start stands in the audit log of the process that tells, and in no other's."""
    site, reactor = Site(tmp_path), PortReactor()
    config = load(site.path).config
    parts = Parts(config, reactor, replace(Share.alone(config, reactor), duties=duties))
    parts.logs.audit.start()
    parts.bus.publish(Started(DAEMON))
    parts.stop()
    assert len((tmp_path / "audit.log").read_text().splitlines()) == lines


def test_penalties_stand_at_the_gate_and_learn_of_logins_and_offences(tmp_path: Path) -> None:
    """Sessions ask the ones of the share, and those subscribe to the bus."""

    class Penalties(GrowingPenalties):
        noted: list[Event] = []

        def note(self, event: Event, seconds: float) -> None:
            self.noted.append(event)

    config, reactor = load(Site(tmp_path).path).config, PortReactor()
    penalties = Penalties(RecordTable(own_table(32), nullcontext()), Arrivals(own_arrivals(32), nullcontext()), reactor)
    parts = Parts(config, reactor, replace(Share.alone(config, reactor), penalties=penalties))
    refused = LeftWithoutLogin(DAEMON)
    parts.bus.publish(Started(DAEMON))
    parts.bus.publish(refused)
    assert parts.shared.penalties is penalties
    assert penalties.noted == [refused]


@pytest.mark.parametrize(("duties", "listening"), [(frozenset(Duty), {2121, 2990, 9121}), (frozenset(), {2121, 2990})])
def test_metrics_are_answered_once(tmp_path: Path, duties: frozenset[Duty], listening: set[int]) -> None:
    """By the process that tells."""
    site, reactor = Site(tmp_path), PortReactor()
    loaded = load(site.path)
    share = replace(Share.alone(loaded.config, reactor), duties=duties)
    daemon = Daemon(loaded, site.path, reactor, share)
    daemon.open()
    assert reactor.listening == listening
    daemon.stopService()
    assert reactor.listening == set()
