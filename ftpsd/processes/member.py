"""
One of the processes that serve: an ordinary daemon on inherited sockets, with its part of the passive ports and its
column of the counts. It follows the supervisor's orders (service/orders.py), and ends when the supervisor is gone.
"""

from __future__ import annotations

import os
import signal
import socket
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from ftpsd import __version__
from ftpsd.auth.hashing.passwords import VerifiedCache
from ftpsd.config.model import Listener
from ftpsd.control.gate.penalty_tables import shared_penalties
from ftpsd.durable.byte_lock import LOCK_AUDIT, LOCK_CONFIGURATION, ByteLock
from ftpsd.durable.store import Store
from ftpsd.processes.fair import FairPort
from ftpsd.processes.seat import Place, part_of
from ftpsd.processes.shared.count_table import CountTable
from ftpsd.processes.shared.counts import SharedCounts, SharedRates
from ftpsd.processes.shared.deadline_table import DeadlineTable
from ftpsd.processes.shared.homes import HomeTable, SharedAccounts
from ftpsd.processes.snapshot import Snapshot
from ftpsd.processes.sums import taken, to_text
from ftpsd.service.daemon import EXIT_BAD_CONFIGURATION, Daemon
from ftpsd.service.listeners import ListenProblem
from ftpsd.service.load import Loaded
from ftpsd.service.operating.job_questions import answers_about_jobs
from ftpsd.service.operating.own_process import busiest_of, kicked_of, progress_of, sessions_of, sightings_of
from ftpsd.service.orders import OneConnection, Orders
from ftpsd.service.outside import logs
from ftpsd.service.share import Duty, Share, share_turns

log = Logger()


class Member:
    """The daemon at *place*; *version* is that of the configuration *loaded*."""

    def __init__(self, loaded: Loaded, version: int, place: Place, snapshot: Snapshot, reactor: Any) -> None:
        self.version = version
        self._place = place
        self._reactor = reactor
        self._table = CountTable(place.table, place.index)
        self._snapshot = snapshot
        self._is_ending = False
        share_turns(place.turns)
        deadlines = DeadlineTable(place.deadlines, reactor)
        homes = HomeTable(place.homes, place.table, place.count, place.index)
        share = Share(
            processes=place.count,
            ports=part_of(loaded.config.passive.ports, place.index, place.count),
            counts=SharedCounts(self._table),
            rates=SharedRates(reactor, self._table),
            accounts=SharedAccounts(homes),
            verified=VerifiedCache(reactor, deadlines, deadlines.secret),
            audit_turn=ByteLock(place.turns, LOCK_AUDIT),
            duties=frozenset({Duty.SWEEP, Duty.DELIVER, Duty.SHIP} if place.index == 0 else ()),
            penalties=shared_penalties(place.records, place.arrivals, reactor),
            state=Store(loaded.config.state, reactor.callFromThread),
            turns=place.turns,
        )
        self._daemon = Daemon(loaded, Path(place.path), reactor, share, self._read, waits=place.is_beside)
        if place.is_beside:
            self._daemon.serve_beside()
        self._daemon.drain = self.end
        answers = {"report": self.report, "reload": self.reload, "reopen-log": self.reopen_log, "cut": self._daemon.cut}
        answers |= {
            "accept": self._daemon.ports.go_on,
            "take-duties": self._daemon.take_duties,
            "make-room": self.make_room,
            "take-room-back": self._daemon.take_room_back,
            "retire": self.retire,
            "hurry": self._daemon.close_behind_commands,
            "alone": self._daemon.serve_alone,
        }
        parts = self._daemon.parts
        about_sessions = {
            "sessions": partial(sessions_of, parts),
            "preflight": partial(sightings_of, parts),
            "busiest": partial(busiest_of, parts),
            "progress": partial(progress_of, parts),
            "kick": partial(kicked_of, parts),
        }
        of_desks = {**self._daemon.quarantine.answers, **self._daemon.upkeep.retaining.answers}
        of_desks |= {**self._daemon.rescans.answers, **answers_about_jobs(parts.jobs)}
        self.orders = Orders({**answers, **about_sessions, **of_desks}, self.supervisor_has_gone)

    def open(self) -> None:
        """
        Adopt the sockets of the supervisor, and open the audit log.

        Raises: ListenProblem.
        """
        self._daemon.open(self._inherited)

    def _inherited(self, number: int, listener: Listener) -> list[IListeningPort]:
        """Take the sockets of a listener; closed when we stop, they must not stay open in our hands."""
        opened: list[IListeningPort] = []
        for descriptor in self._place.listeners[number]:
            port = self._daemon.adopted(listener, descriptor)
            opened.append(FairPort(port, lambda: self._table.surplus, self._reactor))
            os.close(descriptor)
        return opened

    def start(self) -> None:
        """Serve, and report that to the supervisor."""
        self._daemon.startService()
        self._table.serves(True)
        self._reactor.adoptStreamConnection(self._place.link, socket.AF_UNIX, OneConnection(self.orders))
        os.close(self._place.link)
        self.orders.ask("ready", version=self.version).addErrback(
            lambda failure: log.failure("the supervisor does not answer", failure)
        )

    def end(self) -> None:
        """Drain, then end the process; harmless when asked again."""
        if not self._is_ending:
            self._is_ending = True
            self._table.serves(False)
            self._daemon.stopService().addBoth(lambda _: self._reactor.stop())

    # --- answers to the supervisor

    def make_room(self) -> None:
        """Leave passive ports to a successor."""
        self._daemon.make_room()

    def retire(self) -> Deferred[None]:
        """Accept nobody, give the duties up, and end behind the last session."""
        self._table.serves(False)
        return self._daemon.retire()

    def report(self) -> dict[str, object]:
        """Return metrics, status, and who has the most passive ports."""
        # The metrics are text inside the text: the supervisor reads them only when it adds up.
        metrics = to_text(taken(self._daemon.parts.registry))
        ports = self._daemon.parts.ports.by_client()
        return {"metrics": metrics, "status": dict(self._daemon.upkeep.status()), "ports": ports}

    def reload(self) -> Deferred[dict[str, object]]:
        """Take the configuration that lies ready; return the problem, "" for none, and its version."""
        return self._daemon.reloader.reload().addCallback(lambda problem: {"problem": problem, "version": self.version})

    def reopen_log(self) -> None:
        """Open the audit log and the transfer log anew."""
        self._daemon.parts.logs.reopen()

    def supervisor_has_gone(self) -> None:
        """Come to an end."""
        if not self._is_ending:
            log.error("the supervisor is gone; this process accepts no more clients and ends")
            # The next server delivers, while the last transfers of this one come to their end.
            self._daemon.parts.deliveries.stop()
            self.end()

    def _read(self, path: Path, standing: frozenset[str]) -> Loaded:
        """Read the configuration that lies ready, instead of the file."""
        version, loaded = self._snapshot.read()
        self.version = version
        return loaded


def serve_at(place: Place, reactor: Any) -> int:
    """Serve at *place* until the supervisor ends it; return the exit code."""
    if place.version != __version__:
        logs.tell_error(
            f"{place.name}: this is ftpsd {__version__}, the server that runs is {place.version}: restart it"
        )
        return EXIT_BAD_CONFIGURATION
    for descriptor in (
        place.table,
        place.homes,
        place.deadlines,
        place.records,
        place.arrivals,
        place.configuration,
        place.link,
        place.turns,
        *sum(place.listeners, ()),
    ):
        os.set_inheritable(descriptor, False)
        os.set_blocking(descriptor, False)
    snapshot = Snapshot(place.configuration, ByteLock(place.table, LOCK_CONFIGURATION))
    version, loaded = snapshot.read()
    logs.begin(loaded.config.log.level, process=place.name)
    member = Member(loaded, version, place, snapshot, reactor)
    try:
        member.open()
    except ListenProblem as problem:
        logs.tell_error(f"{place.path}: {problem}")
        return EXIT_BAD_CONFIGURATION

    def begin() -> None:
        signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(member.end))
        member.start()

    reactor.callWhenRunning(begin)
    reactor.run()
    return 0
