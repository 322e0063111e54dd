"""
Rescans as a server runs them: one at a time, in one of its processes, by the upkeep's workers, in short steps.

Nothing of a run is kept but the verdicts that lie with the files: after a restart of the server, or an end that was
asked for, the next run does what is left.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ftpsd.audit.events import DAEMON, Who
from ftpsd.audit.topics.accept_events import FileQuarantined, Rescanned
from ftpsd.config.accept.engines import EngineAddress
from ftpsd.config.users import Mount, UserRecord
from ftpsd.scanning.accept_gate import AcceptGate
from ftpsd.scanning.engines.engine_probe import verdict_on_nothing
from ftpsd.scanning.rescanning import EngineDown, Find, GuardedTree, Rescan
from ftpsd.scanning.stepping import step
from ftpsd.scanning.verdict import EngineFailed
from ftpsd.service.build import gates_of
from ftpsd.service.building.vaults import make_vault
from ftpsd.service.orders import Answers, Trouble
from ftpsd.service.serving import Serving
from ftpsd.storage.base import StorageError
from ftpsd.storage.sealing.trees import Contents

# Seconds for an engine to tell its signatures.
PATIENCE = 10.0
STOPPED = "stopped by an operator"

log = Logger()


class Rescans:
    """The rescans of *serving*."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._rescan: Rescan | None = None
        self._is_running = False
        self._is_asked_to_stop = False
        self._reason = ""  # why the last one has ended before its end

    @property
    def answers(self) -> Answers:
        """The answers to orders, by the names that processes ask each other."""
        return {"rescan": self.rescan, "rescan-progress": self.progress, "rescan-stop": self.stop}

    def rescan(self, account: str, dry: str | None = None, everything: str | None = None) -> Deferred[dict[str, Any]]:
        """Begin one for the user *account* of this machine; return its progress."""
        if self._is_running:
            raise Trouble("a rescan is under way; see `ftpsd rescan --progress`")
        self._is_running, self._is_asked_to_stop, self._reason = True, False, ""
        self._rescan = None
        started = Deferred.fromCoroutine(self._begin(account, is_dry=bool(dry), is_all=bool(everything)))
        return started.addErrback(self._not_begun)

    def progress(self) -> dict[str, Any]:
        """Return how far the present one is, or the last one has come."""
        rescan = self._rescan
        if rescan is None:
            return {"running": self._is_running, "known": self._is_running}
        told = asdict(rescan.progress)
        told["finds"] = [_told(find) for find in rescan.progress.finds]
        return {
            "running": self._is_running,
            "known": True,
            "reason": self._reason,
            "complete": rescan.progress.is_complete and not self._reason,
            **told,
        }

    def stop(self) -> dict[str, Any]:
        """End the present one behind its next step."""
        if not self._is_running:
            raise Trouble("no rescan is under way")
        self._is_asked_to_stop = True
        return self.progress()

    def _not_begun(self, failure: Any) -> Any:
        self._is_running = False
        return failure

    async def _begin(self, account: str, *, is_dry: bool, is_all: bool) -> dict[str, Any]:
        upkeep = self._serving.parts.upkeep
        trees = await upkeep.run(self._trees)
        if not trees:
            raise Trouble("no accept rule has an engine, so there is nothing to ask")
        engines = dict.fromkeys(engine for tree in trees for gate in tree.gates for engine in gate.engines)
        signatures = await upkeep.run(_signatures, list(engines))
        self._rescan = rescan = Rescan(trees, signatures, is_dry=is_dry, is_all=is_all)
        running = Deferred.fromCoroutine(self._run(rescan, account, is_dry=is_dry))
        running.addErrback(self._failed)
        return self.progress()

    async def _run(self, rescan: Rescan, account: str, *, is_dry: bool) -> None:
        parts = self._serving.parts
        steps = rescan.run()
        wait: float | None = 0.0
        while wait is not None:
            if self._is_asked_to_stop or parts.accounts.is_stopped:
                self._reason = STOPPED if self._is_asked_to_stop else "the server stops"
                break
            if wait:
                await deferLater(parts.reactor, wait, lambda: None)
            try:
                wait = await parts.upkeep.run(step, steps)
            except EngineDown as down:
                self._reason = str(down)
                break
            finally:
                finds, rescan.new_finds = rescan.new_finds, []
                for find in () if is_dry else finds:
                    parts.bus.publish(_event(find))
        await parts.upkeep.run(steps.close)
        self._is_running = False
        done = rescan.progress
        complete = done.is_complete and not self._reason
        counts = done.files, done.current, done.clean, done.found, done.unjudged
        log.info(
            "rescan: {files} files, {current} judged before, {clean} clean, {found} found, {unjudged} unjudged",
            files=done.files,
            current=done.current,
            clean=done.clean,
            found=done.found,
            unjudged=done.unjudged,
        )
        if not is_dry:
            parts.bus.publish(Rescanned(DAEMON, *counts, complete, account, self._reason))

    def _failed(self, failure: Any) -> None:
        self._is_running, self._reason = False, "internal error; see the log"
        log.failure("a rescan failed", failure)

    def _trees(self) -> list[GuardedTree]:
        """Return every directory for which some rule has engines, with all who see it. Blocks."""
        loaded, parts = self._serving.loaded, self._serving.parts
        gates = gates_of(loaded.config, parts)
        contents = Contents(make_vault(loaded.config, loaded.master_keys), parts.damaged)
        seen: defaultdict[Path, list[AcceptGate]] = defaultdict(list)
        keys: dict[Path, str | None] = {}
        for host in self._serving.runtime.hosts.all:
            for user in host.accounts.known():
                trees: tuple[UserRecord | Mount, ...] = (user, *user.mounts)
                for tree in trees:
                    gate = gates.of_tree(host.name, user, tree)
                    directory = tree.directory if isinstance(tree, Mount) else tree.home
                    if gate.engines and directory.is_dir():
                        seen[directory].append(gate)
                        keys[directory] = keys.get(directory) or tree.encryption
        try:
            return [
                GuardedTree(place, tuple(found), contents.of(keys[place], place), parts.accounts.ledger(place))
                for place, found in sorted(seen.items(), reverse=True)
            ]
        except StorageError as error:
            raise Trouble(str(error)) from error


def _signatures(engines: list[EngineAddress]) -> dict[EngineAddress, str]:
    """Ask each engine for its signatures. Blocks. Raises: Trouble."""
    found = {}
    for engine in engines:
        try:
            found[engine] = verdict_on_nothing(engine, PATIENCE).signatures
        except EngineFailed as error:
            raise Trouble(f"{engine} does not answer: {error}") from None
    return found


def _event(find: Find) -> FileQuarantined:
    verdict = find.verdict
    return FileQuarantined(
        Who(session="", user=find.owner, peer="", listener="", host=find.host),
        find.owner,
        find.path,
        find.incident,
        verdict.word.value,
        verdict.engine,
        verdict.signatures,
        verdict.found,
        find.bytes,
        find.sha256,
        find.is_kept,
    )


def _told(find: Find) -> dict[str, Any]:
    return {
        "incident": find.incident if find.is_kept else "",
        "user": find.owner,
        "host": find.host,
        "path": find.path,
        "found": find.verdict.found,
        "kept": find.is_kept,
        "why": find.not_kept,
    }
