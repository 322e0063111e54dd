"""
Retention: the sweep that lets files go whose time is over, and the orders about it and about holds.

* One process of the server does it, in the upkeep workers, in pieces; one sweep at a time.
* Without the holds, which are in the state file, nothing goes.
* A rule under which more than its `at_once` percent of the files (and more than `FEW`) would go at once is stopped, and
  told: a clock that has jumped, or a rule that is mistaken, looks like that. `confirm` lets it go on, once.
* Each file that goes is an event, published when it has gone; what could not be done is one, too.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ftpsd.audit.events import DAEMON, Who
from ftpsd.audit.topics.retention_events import FileArchived, HoldAdded, HoldRemoved, RetentionFailed, RetentionStopped
from ftpsd.audit.topics.tree_events import FileDeleted
from ftpsd.config.model import Config
from ftpsd.durable.state_trouble import StateTrouble
from ftpsd.service.orders import Answers, Trouble
from ftpsd.service.retaining.holds import put_hold, take_hold
from ftpsd.service.retaining.shown_trees import trees_of, users_of
from ftpsd.service.serving import Serving
from ftpsd.storage.quota.register import QuotaAccounts
from ftpsd.storage.retention.departure import depart
from ftpsd.storage.retention.overdue import Findings, Overdue, look_through
from ftpsd.storage.retention.terms_of_keeping import Hold, Keeping, RetentionRule, View
from ftpsd.values.rule import fault_of
from ftpsd.values.text import moment

# Files that may always go at once: in a small tree each is many percent.
FEW = 20
# Files of one piece of work: others have their turn, and events are published.
PIECE = 50
# Files in an answer; the answer has the number of all.
MOST_TOLD = 5000
# Faults that are told one by one.
MOST_FAULTS = 20
_DAY = 86400.0

Trees = Mapping[Path, list[View]]
Gone = list[tuple[Overdue, str]]

log = Logger()


class Retaining:
    """The retention of *serving*, and its holds, which *count* counts anew when an order has changed them."""

    def __init__(self, serving: Serving, count: Callable[[], Deferred[None]]) -> None:
        self._serving = serving
        self._count = count
        self._is_at_work = False
        self.last = "no sweep yet"
        """The results of the last sweep, for the status page."""

    @property
    def answers(self) -> Answers:
        """The answers to orders, by the names that processes ask each other."""
        return {"holds": self.holds, "hold": self.hold, "release": self.release, "retention": self.retention}

    # --- by the clock

    def sweep(self) -> Deferred[None]:
        """Let go what is over; for the clockwork. Never fails."""

        def failed(failure: Any) -> None:
            if not failure.check(Trouble):
                log.failure("the sweep for retention failed", failure)
            self._tell(failure.getErrorMessage() or "internal error")

        if not self._serving.loaded.config.retention or self._is_at_work:
            return _done()
        return self.retention().addCallbacks(lambda _: None, failed)

    # --- orders

    def retention(self, dry: str | None = None, confirm: str | None = None) -> Deferred[dict[str, Any]]:
        """Let go what is over, or with *dry* tell what would; with *confirm* also where that is too much at once."""
        return Deferred.fromCoroutine(self._retention(is_dry=bool(dry), is_confirmed=bool(confirm)))

    def holds(self) -> Deferred[dict[str, Any]]:
        """Return all `holds`."""
        parts = self._serving.parts
        asked = parts.state.run(parts.holdings.in_force.carry)
        return asked.addCallbacks(lambda found: {"holds": [_told_hold(hold) for hold in found]}, _as_trouble)

    def hold(
        self, reason: str, by: str, paths: str | None = None, users: str | None = None
    ) -> Deferred[dict[str, Any]]:
        """Begin a hold on *paths* of *users*, lines of text."""
        _require_reason(reason)
        wanted = tuple(paths.split("\n")) if paths else ()
        for path in wanted:
            if fault := fault_of(path):
                raise Trouble(f"{path!r} {fault}")
        names = tuple(users.split("\n")) if users else ()
        if not wanted and not names:
            raise Trouble("name paths, users or both; --path '/**' is all")
        self._require_known(names)
        hold = Hold(secrets.token_hex(4), reason, time.time(), by, wanted, names)

        def kept(_: None) -> Deferred[dict[str, Any]]:
            told = HoldAdded(DAEMON, hold.name, reason, by, " ".join(wanted), " ".join(names))
            self._serving.parts.bus.publish(told)
            return self._count().addCallback(lambda _: _told_hold(hold))

        return self._serving.parts.state.run(put_hold, hold).addCallbacks(kept, _as_trouble)

    def release(self, name: str, reason: str, by: str) -> Deferred[dict[str, Any]]:
        """End the hold *name*."""
        _require_reason(reason)

        def taken(hold: Hold | None) -> Deferred[dict[str, Any]]:
            if hold is None:
                raise Trouble(f"there is no hold {name}; see `ftpsd hold list`")
            self._serving.parts.bus.publish(HoldRemoved(DAEMON, name, reason, by))
            return self._count().addCallback(lambda _: _told_hold(hold))

        return self._serving.parts.state.run(take_hold, name).addCallbacks(taken, _as_trouble)

    def _require_known(self, names: Sequence[str]) -> None:
        """Raises: Trouble for a user whom nobody knows: a hold on a name that is misspelt would hold nothing."""
        loaded = self._serving.loaded
        further = (source for host in loaded.config.virtual_hosts for source in host.accounts)
        accounts = {*loaded.config.accounts, *further}
        known = {user.name for user in loaded.known()}
        for name in names:
            if name not in known and accounts == {"file"}:
                raise Trouble(f"there is no user {name}, so it would hold nothing; `ftpsd user list` has all")

    # --- the sweep

    async def _retention(self, *, is_dry: bool, is_confirmed: bool) -> dict[str, Any]:
        if self._is_at_work:
            raise Trouble("a sweep is under way; try again when it has ended")
        self._is_at_work = True
        try:
            parts, config = self._serving.parts, self._serving.loaded.config
            rules = rules_of(config)
            try:
                holds = await parts.state.run(parts.holdings.in_force.carry)
            except StateTrouble as trouble:
                raise Trouble(f"nothing goes without knowing the holds: {trouble}") from None
            trees = trees_of(users_of(self._serving.runtime.hosts))
            found = await parts.upkeep.run(_look, trees, rules, holds, time.time(), parts.accounts)
            stopped = [] if is_confirmed else list(_too_many(rules, found))
            answer = _told(rules, found, stopped)
            if is_dry:
                return answer
            for text in found.unseen[:MOST_FAULTS]:
                self._tell(text)
            for rule, files, overdue in stopped:
                self._stop(rule, files, overdue)
            barred = {rule.number for rule, _, _ in stopped}
            going = [each for each in found.overdue if each.rule.number not in barred]
            answer["gone"] = await self._let_go(going)
            more = "".join(f"; retention[{number}] is stopped" for number in sorted(barred))
            self.last = f"{answer['gone']} files gone, {len(found.held)} held, at {moment(time.time())}{more}"
            return answer
        finally:
            self._is_at_work = False

    async def _let_go(self, going: Sequence[Overdue]) -> int:
        parts = self._serving.parts
        count = faults = 0
        for start in range(0, len(going), PIECE):
            if parts.accounts.is_stopped:
                break
            gone, failed = await parts.upkeep.run(_depart, going[start : start + PIECE], parts.accounts)
            for over, target in gone:
                self._publish(over, target)
            count += len(gone)
            for text in failed[: max(0, MOST_FAULTS - faults)]:
                self._tell(text)
            faults += len(failed)
        if faults > MOST_FAULTS:
            self._tell(f"{faults - MOST_FAULTS} more files could not go, for reasons like these")
        if count:
            log.info("retention: {count} files have gone", count=count)
        return count

    def _publish(self, over: Overdue, target: str) -> None:
        who = Who(session="", user=over.view.user, peer="", listener="", host=over.view.host)
        path = "/" + "/".join((*over.view.point, *over.parts))
        rule = f"retention[{over.rule.number}]"
        if target:
            event = FileArchived(who, path, target, over.size, "retention", rule)
            self._serving.parts.bus.publish(event)
        else:
            self._serving.parts.bus.publish(FileDeleted(who, path, "retention", rule, over.size))

    def _stop(self, rule: RetentionRule, files: int, overdue: int) -> None:
        name = f"retention[{rule.number}]"
        log.error(
            "{name}: {overdue} of {files} files would go at once, so none does; look at them with `ftpsd retention "
            "--dry-run`, and at the clock, then run: ftpsd retention --confirm",
            name=name,
            overdue=overdue,
            files=files,
        )
        self._serving.parts.bus.publish(RetentionStopped(DAEMON, name, files, overdue))

    def _tell(self, reason: str) -> None:
        log.error("retention: {reason}", reason=reason)
        self._serving.parts.bus.publish(RetentionFailed(DAEMON, reason))


def rules_of(config: Config) -> list[RetentionRule]:
    """Return the rules of *config* as the storage has them."""
    return [
        RetentionRule(number, rule.paths, rule.after, rule.users, rule.archive, rule.at_once)
        for number, rule in enumerate(config.retention)
    ]


def _look(
    trees: Trees, rules: Sequence[RetentionRule], holds: Sequence[Hold], now: float, accounts: QuotaAccounts
) -> Findings:
    found = Findings()
    for root, views in trees.items():
        keepings = [Keeping(view, rules, holds) for view in views]
        try:
            look_through(root, keepings, now, found, lambda: accounts.is_stopped)
        except OSError as error:
            found.unseen.append(f"{root}: {os.strerror(error.errno or 0)}")
    _once(found)
    return found


def _once(found: Findings) -> None:
    """Forget files that are seen twice, in a home inside of another one; held by one view they are held."""
    held = {over.identity for over, _ in found.held}
    unique = {over.identity: over for over in found.overdue if over.identity not in held}
    found.overdue = list(unique.values())


def _depart(going: Sequence[Overdue], accounts: QuotaAccounts) -> tuple[Gone, list[str]]:
    gone: Gone = []
    failed: list[str] = []
    for over in going:
        try:
            target = depart(over, accounts.ledger(over.root))
        except OSError as error:
            failed.append(f"{over.root}: {'/'.join(over.parts)!r}: {os.strerror(error.errno or 0)}")
        else:
            if target is not None:
                gone.append((over, target))
    return gone, failed


def _too_many(rules: Sequence[RetentionRule], found: Findings) -> Iterator[tuple[RetentionRule, int, int]]:
    for rule in rules:
        files = found.files[rule.number]
        overdue = sum(each.rule.number == rule.number for each in found.overdue)
        if overdue > FEW and overdue * 100 > files * rule.at_once:
            yield rule, files, overdue


def _told(
    rules: Sequence[RetentionRule], found: Findings, stopped: Sequence[tuple[RetentionRule, int, int]]
) -> dict[str, Any]:
    barred = {rule.number for rule, _, _ in stopped}
    return {
        "files": [
            *(_told_file(each) for each in found.overdue[:MOST_TOLD]),
            *({**_told_file(each), "action": "held", "hold": hold.name} for each, hold in found.held[:MOST_TOLD]),
        ],
        "rules": [
            {
                "rule": f"retention[{rule.number}]",
                "files": found.files[rule.number],
                "overdue": sum(each.rule.number == rule.number for each in found.overdue),
                "held": sum(each.rule.number == rule.number for each, _ in found.held),
                "stopped": rule.number in barred,
            }
            for rule in rules
        ],
        "overdue": len(found.overdue),
        "unseen": found.unseen[:MOST_FAULTS],
        "gone": 0,
    }


def _told_file(over: Overdue) -> dict[str, Any]:
    return {
        "user": over.view.user,
        "host": over.view.host,
        "path": "/" + "/".join((*over.view.point, *over.parts)),
        "days": round(over.age / _DAY, 1),
        "bytes": over.size,
        "rule": f"retention[{over.rule.number}]",
        "action": "delete" if over.rule.archive is None else "archive",
    }


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise Trouble("say why, with --reason")


def _told_hold(hold: Hold) -> dict[str, Any]:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(hold.since))
    return {
        "hold": hold.name,
        "paths": list(hold.paths),
        "users": list(hold.users),
        "reason": hold.reason,
        "by": hold.by,
        "since": since,
    }


def _as_trouble(failure: Any) -> Any:
    if failure.check(StateTrouble):
        raise Trouble(failure.getErrorMessage())
    return failure


def _done() -> Deferred[None]:
    done: Deferred[None] = Deferred()
    done.callback(None)
    return done
