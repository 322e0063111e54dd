"""The homes of a server as its upkeep looks after them: counted, swept, and their room known."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ftpsd.events.receipts.receipt_giving import age_receipts
from ftpsd.service.serving import Serving
from ftpsd.service.tending.home_room import free_bytes
from ftpsd.service.tending.home_work import HomeWork
from ftpsd.storage.uploads.sweep import sweep_trees

log = Logger()


class HomesTended:
    """The homes of *serving*. Each of these returns a Deferred for the clockwork that never fails."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._work = HomeWork(serving.parts.upkeep, serving.parts.lanes)
        self._room: dict[frozenset[str], dict[str, float]] = {}

    @property
    def room(self) -> dict[str, float]:
        """The bytes that are free on each file system which answers, by its device number."""
        return {device: free for found in self._room.values() for device, free in found.items()}

    def count(self) -> Deferred[None]:
        """Count the homes with a quota, and from time to time again, for changes by other programs."""
        accounts = self._serving.parts.accounts
        homes = [user.home for user in self._serving.runtime.hosts.known() if user.quota is not None]

        def counted(group: list[Path]) -> list[str]:
            accounts.count_due(group)
            return accounts.uncounted(group)

        return self._work.on("the count for quotas", homes, counted, _warn)

    def look_at_room(self) -> Deferred[None]:
        """Find out how much room the file systems of homes have."""

        def looked(waited_for: frozenset[str], room: dict[str, float] | None) -> None:
            # A figure of some time ago would pass for one of now.
            self._room[waited_for] = room or {}

        homes = {user.home for user in self._serving.runtime.hosts.known()}
        return self._work.on("the look for free bytes of homes", homes, free_bytes, looked)

    def sweep(self) -> Deferred[None]:
        """Remove partial uploads older than `uploads.keep_partial`, one home or mount after the other."""
        runtime, accounts = self._serving.runtime, self._serving.parts.accounts
        everybody = runtime.hosts.known()
        directories = {user.home for user in everybody}
        directories.update(mount.directory for user in everybody for mount in user.mounts)
        keep = runtime.config.uploads.keep_partial

        def swept(group: list[Path]) -> tuple[int, list[str]]:
            return sweep_trees(group, keep, is_stopped=lambda: accounts.is_stopped, ledger_of=accounts.ledger)

        # Backwards, so that a home inside of another is swept by itself, and its account learns of it.
        order = sorted(directories, reverse=True)
        return self._work.on("the sweep for abandoned uploads", order, swept, _swept)

    def age_receipts(self) -> Deferred[None]:
        """Remove the receipts that are over."""
        parts = self._serving.parts
        trees, now = parts.trees, parts.reactor.seconds()
        people = [] if trees is None else trees.getting_receipts()

        def aged(group: list[Path]) -> int:
            theirs = set(group)
            return 0 if trees is None else age_receipts(trees, [each for each in people if each[1].home in theirs], now)

        return self._work.on("the sweep of receipts", {user.home for _, user in people}, aged, _aged)


def _aged(_: frozenset[str], count: int | None) -> None:
    if count:
        log.info("removed {count} old receipts", count=count)


def _warn(_: frozenset[str], complaints: list[str] | None) -> None:
    for complaint in complaints or ():
        log.warn("{complaint}", complaint=complaint)


def _swept(_: frozenset[str], found: tuple[int, list[str]] | None) -> None:
    count, troubles = found or (0, [])
    if count:
        log.info("removed {count} abandoned partial uploads", count=count)
    for trouble in troubles:
        log.warn("abandoned partial uploads stay in {trouble}", trouble=trouble)
