"""
Upkeep: the daemon's work by the clock. It measures how late the reactor is, feeds systemd's watchdog, refreshes DNS
names, looks for renewed certificates, ends the sessions of users whose time is over, sweeps abandoned uploads and
counts the homes with a quota.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd import __version__
from ftpsd.control.gate.eviction import LOOK, evict, keep_time
from ftpsd.control.gate.lasting_bans import LOOK as KEEP
from ftpsd.events.awaited.lookout import INTERVAL as LOOKOUT_INTERVAL
from ftpsd.service.building.vaults import note_begun
from ftpsd.service.changing.addresses import REFRESH
from ftpsd.service.changing.certificate_dates import CertificateDates, troubles_of
from ftpsd.service.changing.renewal import INTERVAL, Renewal
from ftpsd.service.changing.turnstile import Turnstile
from ftpsd.service.clockwork import Clockwork
from ftpsd.service.hiding.hidden_uploads import LOOK as HIDDEN_INTERVAL
from ftpsd.service.hiding.hidden_uploads import HiddenUploads
from ftpsd.service.hiding.quarantine_room import LOOK as ROOM_INTERVAL
from ftpsd.service.hiding.quarantine_room import QuarantineRoom
from ftpsd.service.hiding.quarantine_sweep import sweep_quarantine
from ftpsd.service.inspecting.pgp_keys import days_left
from ftpsd.service.outside import systemd
from ftpsd.service.outside.own_names import MetricsNames
from ftpsd.service.retaining.sweeping import Retaining
from ftpsd.service.serving import Serving
from ftpsd.service.share import Duty
from ftpsd.service.tending.home_room import limits_of
from ftpsd.service.tending.homes_tended import HomesTended
from ftpsd.storage.sealing.key_files import KeyFiles
from ftpsd.storage.sealing.master import key_sets
from ftpsd.tls.served.validity import out_of_date, utc_now

LAG_INTERVAL = 1.0
SWEEP_INTERVAL = 3600.0
# Seconds after its end until the end of a ban is in the audit log.
OVER_INTERVAL = 5.0
# Hours are written in minutes.
HOURS_INTERVAL = 30.0
# Keys expire by the day, and disks fill by the hour.
KEYS_INTERVAL = 600.0
HOMES_INTERVAL = 300.0
# A state file that breaks is told within so many seconds, also when nobody logs in.
STATE_INTERVAL = 10.0
# A line of the status; of several processes the supervisor knows it.
BUSIEST = "passive ports of the busiest client"

log = Logger()


class Upkeep:
    """
    The clockwork of *serving*; *describe* names the listeners.

    While one of the *reloads* runs, no certificate is renewed.
    """

    def __init__(self, serving: Serving, describe: Callable[[], str], reloads: Turnstile[Any]) -> None:
        parts = serving.parts
        self._serving = serving
        self._describe = describe
        self._reloads = reloads
        self._clockwork = Clockwork(parts.reactor)
        self._of_duties = Clockwork(parts.reactor)
        self._expected: float | None = None
        self._bans_seen = parts.penalties.generation
        self._key_days: dict[str, float] = {}
        self._homes = HomesTended(serving)
        self._holds = 0
        self._room = QuarantineRoom(serving)
        self._data_keys: dict[str, float] = {}
        self.retaining = Retaining(serving, self._look_at_holds)
        self.names = MetricsNames(lambda: serving.loaded.config, parts.upkeep)

    def start(self) -> None:
        """Begin with what every process does."""
        parts, every = self._serving.parts, self._clockwork.every
        parts.metrics.watch_certificates(self._certificates)
        parts.metrics.watch_certificates_in_date(self._in_date)
        every(LAG_INTERVAL, self._measure_lag)
        every(LOOK, self._follow_bans)
        every(REFRESH, self._serving.refresh_addresses)
        every(REFRESH, self.names.refresh)
        every(HOURS_INTERVAL, self._keep_time)
        every(SWEEP_INTERVAL, self._homes.count)
        every(STATE_INTERVAL, parts.state.look)
        every(STATE_INTERVAL, self._look_at_clocks)
        every(STATE_INTERVAL, parts.ledger.look)

    def take_duties(self) -> None:
        """Begin with what one process does for the whole server."""
        parts, every = self._serving.parts, self._of_duties.every
        if Duty.TELL in parts.duties:
            every(OVER_INTERVAL, parts.penalties.end_over)
            watchdog = systemd.watchdog_interval()
            if watchdog is not None:
                # Half the time systemd allows, as sd_watchdog_enabled(3) recommends.
                every(watchdog / 2, systemd.notify_watchdog)
        if Duty.DELIVER in parts.duties:
            every(STATE_INTERVAL, self._settle)
            every(LOOKOUT_INTERVAL, self._look_out)
        if Duty.RENEW in parts.duties:
            counted = parts.metrics.renewed
            dates = CertificateDates(parts.bus.publish, parts.reactor.seconds)
            renewal = Renewal(self._serving, self._reloads, parts.files, counted, self._describe, dates)
            every(INTERVAL, renewal.look)
        if Duty.SWEEP in parts.duties:
            every(KEEP, parts.lasting_bans.look)
            every(SWEEP_INTERVAL, self._homes.sweep)
            parts.metrics.watch_pgp_keys(lambda: self._key_days)
            every(KEYS_INTERVAL, self._look_at_keys)
            parts.metrics.watch_limits(lambda: limits_of(self._serving.loaded.config))
            parts.metrics.watch_room(lambda: self._homes.room)
            every(HOMES_INTERVAL, self._homes.look_at_room)
            every(STATE_INTERVAL, self._look_at_holds)
            parts.metrics.watch_holds(lambda: self._holds)
            parts.metrics.watch_data_keys(lambda: self._data_keys)
            every(SWEEP_INTERVAL, self.retaining.sweep)
            every(KEYS_INTERVAL, self._tend_data_keys)
            every(SWEEP_INTERVAL, lambda: sweep_quarantine(self._serving))
            every(SWEEP_INTERVAL, self._homes.age_receipts)
            hidden = HiddenUploads(self._serving)
            every(HIDDEN_INTERVAL, hidden.bring_together)
            every(HIDDEN_INTERVAL, hidden.look)
            every(ROOM_INTERVAL, self._room.look)
            self._room.watch()

    def count_again(self) -> None:
        """Count all homes with a quota: a process from before an upgrade has changed them, and has ended."""
        self._serving.parts.accounts.count_soon()
        self._homes.count()

    def give_up_duties(self) -> None:
        """End what one process does for the whole server."""
        if self._of_duties.is_at_work and Duty.SWEEP in self._serving.parts.duties:
            self._serving.parts.lasting_bans.look()
        self._of_duties.stop()

    def stop(self) -> None:
        """End."""
        self._clockwork.stop()
        self.give_up_duties()

    def _look_at_clocks(self) -> Deferred[None] | None:
        """Warn once when the machine's own clock seems to be wrong, as those of the users' devices tell."""
        factors = self._serving.parts.factors
        if not self._serving.parts.state.is_configured:
            return None
        before = factors.clocks.trouble

        def looked(_: None) -> None:
            trouble = factors.clocks.trouble
            if trouble is not None and before is None:
                log.warn("second factors: {trouble}; codes are refused for it: see `timedatectl`", trouble=trouble)

        return factors.look_at_clocks().addCallback(looked)

    def status(self) -> Mapping[str, object]:
        """Return the contents of the status page."""
        parts, certificate = self._serving.parts, self._serving.runtime.certificate
        events = {}
        if Duty.DELIVER in parts.duties:
            events = {"events": parts.deliveries.status(), "jobs": parts.jobs.status()}
            if self._serving.loaded.config.expectations:
                events["expectations"] = parts.lookout.status()
        return {
            "version": __version__,
            "listeners": self._describe(),
            "running for": self._clockwork.running_for,
            "sessions": len(parts.sessions),
            "logged in": parts.counts.logged_in,
            "transfers": sum(1 for pi in parts.sessions if pi.session.transfer is not None),
            "bans": parts.penalties.count(),
            **events,
            **(self._keeping() if Duty.SWEEP in parts.duties else {}),
            "passive ports reserved": parts.ports.claimed,
            BUSIEST: parts.ports.busiest,
            **self._encryption(),
            **self._state_file(),
            "second factor clocks": parts.factors.clocks.trouble or "fine",
            "certificate valid until": "none" if certificate is None else certificate.not_after.strftime("%Y-%m-%d"),
            **self._out_of_date(),
        }

    def _state_file(self) -> dict[str, str]:
        state = self._serving.parts.state
        if not state.is_configured:
            return {}
        lost = "begun anew: the one before was removed or replaced" if state.generation else "fine"
        return {"state file": state.trouble or lost}

    def _encryption(self) -> dict[str, str]:
        """Return the newest master key of each set, by its id."""
        keys = self._serving.loaded.master_keys.sets
        if not keys:
            return {}
        newest = (f"{name}: {each.newest.number.hex()}" for name, each in key_sets(keys).items())
        return {"newest master keys": ", ".join(newest)}

    def _keeping(self) -> dict[str, object]:
        """Return what the one process knows that looks after keys and lets files go."""
        told: dict[str, object] = {"legal holds": self._holds, "quarantine": self._room.told}
        if self._data_keys:
            told["data keys"] = ", ".join(f"{number:.0f} {state}" for state, number in self._data_keys.items())
        if self._key_days:
            days = min(self._key_days.values())
            told["OpenPGP keys"] = "none expires" if days == float("inf") else f"the first expires in {days:.0f} days"
        if self._serving.loaded.config.retention:
            told["retention"] = self.retaining.last
        return told

    def _certificates(self) -> dict[str, float]:
        found = {name: pair.not_after.timestamp() for name, pair in self._serving.runtime.hosts.certificates.items()}
        signing = self._serving.loaded.signing_files
        return found if signing is None else {**found, "receipts": signing.not_after.timestamp()}

    def _in_date(self) -> dict[str, float]:
        now, found = utc_now(), self._serving.runtime.hosts.certificates.items()
        return {name: float(not out_of_date(pair, now)) for name, pair in found}

    def _out_of_date(self) -> dict[str, str]:
        loaded = self._serving.loaded
        told = troubles_of(loaded.certificates.pairs.values(), loaded.config)
        return {"certificates out of date": told} if told else {}

    def _look_out(self) -> Deferred[None] | None:
        """Tell of files that have come or not, once the sinks are there that are to get it."""
        parts = self._serving.parts
        return parts.lookout.look() if parts.deliveries.has_turn else None

    def _settle(self) -> Deferred[None] | None:
        """Find out what became of what processes that have died were about to do."""
        ledger = self._serving.parts.ledger
        return ledger.settle_left() if ledger.is_keeping else None

    def _measure_lag(self) -> None:
        parts = self._serving.parts
        now = parts.reactor.seconds()
        if self._expected is not None:
            parts.metrics.observe_lag(max(0.0, now - self._expected))
        self._expected = now + LAG_INTERVAL

    def _follow_bans(self) -> None:
        """End what bans of other processes end."""
        parts = self._serving.parts
        if parts.penalties.generation != self._bans_seen:
            self._bans_seen = parts.penalties.generation
            evict(parts.sessions, parts.penalties)

    def _keep_time(self) -> None:
        """End the sessions of users whose hours are over, or who have expired."""
        keep_time(self._serving.parts.sessions)

    def _look_at_keys(self) -> Deferred[None]:
        """Find out for how long the OpenPGP keys can be used."""

        def looked(days: dict[str, float]) -> None:
            self._key_days = days

        def failed(failure: Failure) -> None:
            log.warn("the OpenPGP keys cannot be looked at: {why}", why=failure.getErrorMessage())

        looking = self._serving.parts.upkeep.run(days_left, self._serving.runtime.config)
        return looking.addCallbacks(looked, failed)

    def _look_at_holds(self) -> Deferred[None]:
        """Count the legal holds, which the state file tells of its own troubles."""

        def counted(holds: Sequence[object]) -> None:
            self._holds = len(holds)

        looking = self._serving.parts.upkeep.run(self._serving.parts.holdings.in_force.now)
        return looking.addCallbacks(counted, lambda _: None)

    def _tend_data_keys(self) -> Deferred[None] | None:
        """Keep both directories of data keys alike."""
        section = self._serving.loaded.config.encryption
        if section is None:
            return None
        files, state = KeyFiles(section.data_keys, section.copy_of_data_keys), self._serving.parts.state

        def tended(told: tuple[list[str], int, int]) -> None:
            names, present, lost = told
            self._data_keys = {"present": present, "lost": lost}
            if lost:
                text = "encryption: {lost} data keys are lost from {place}, and their files; bring them from a backup"
                log.error(text, lost=lost, place=str(section.data_keys))
            elif state.is_configured and present:
                state.run(note_begun, str(section.data_keys)).addErrback(lambda _: None)
            for name in names:
                log.warn("encryption: {name} was missing in one directory of data keys, and is back", name=name)

        def failed(failure: Failure) -> None:
            text = "encryption: the data keys cannot be looked after: {why}"
            log.error(text, why=failure.getErrorMessage())

        return self._serving.parts.upkeep.run(_tend, files).addCallbacks(tended, failed)


def _tend(files: KeyFiles) -> tuple[list[str], int, int]:
    """
    Bring back data keys that one directory has lost, and end what a crash of `ftpsd shred` has left.

    Return the files that are back, and how many keys are there and are lost.
    """
    files.finish_destroying()
    repaired, tombs, names = files.repair(), files.tombs(), set(files.names())
    return repaired, len(names - tombs), len(files.registered() - tombs - names)
