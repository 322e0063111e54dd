"""
The accept gate of one tree: which rules hold for an upload, and for a rename.

* A rule holds for a file when a pattern of it matches the path by which the user knows the file, or the path at which
  it lies when a link is on the way, or another path of the same user's for that place: a mount of a directory that
  the home or another mount has too. All rules that match hold.
* A rename brings no new bytes. A file may have a name for which rules hold that did not hold for its old one only by
  being uploaded there; a directory or link likewise, with regard to all that is or could be in it.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ftpsd.config.accept.accept_rules import AcceptRule, Scanning
from ftpsd.config.accept.engines import EngineAddress
from ftpsd.scanning.content_types import HEAD, TypeCheck, begins_anyhow, extension_of, types_of
from ftpsd.scanning.custodian import Custodian
from ftpsd.scanning.engines.clamd import Clamd
from ftpsd.scanning.engines.icap import Icap
from ftpsd.scanning.engines.program_check import Program
from ftpsd.scanning.judgements import judged, to_note
from ftpsd.scanning.quarantine import Full, Origin, Quarantine, Record, replaced_by
from ftpsd.scanning.rule_paths import matches, matches_parts, may_match_below, pattern_parts
from ftpsd.scanning.scan import FOUND, Scan, Tell
from ftpsd.scanning.verdict import Engine, Verdict, said
from ftpsd.scanning.waiting.hidden_place import HiddenPlace, OwnShareFull
from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.disk.source import READ_FILE
from ftpsd.storage.disk.walk import Place
from ftpsd.storage.uploads.gating import Arrival, Refusal
from ftpsd.storage.uploads.growing import Watcher
from ftpsd.values.path import VirtualPath
from ftpsd.values.rule import TREE

# The function that turns a tree's own path into the path its user sees.
Shown = Callable[[VirtualPath], VirtualPath]
# The paths that a place in a tree has for the same user by way of other trees.
Names = Callable[[VirtualPath], Sequence[VirtualPath]]

NOT_NOW = "The file could not be checked now, try again later."
NOT_TAKEN = "The server does not take this file."
HELD = "The file is held for inspection."
# The verdict of a file that has none yet.
WAITING = "waiting"


def engine_at(address: EngineAddress, timeout: float, path: str = "/", processes: int = 1) -> Engine:
    """Return the engine at *address*, to which the file is *path*, and which so many *processes* share."""
    if address.kind == "icap":
        return Icap(address, timeout, path, processes)
    return Clamd(address, timeout)


@dataclass(frozen=True, slots=True)
class GateParts:
    """
    The parts all gates of a server share.

    *scanning* is the patience with engines, *tell* takes every verdict, *processes* is how many have such gates.
    """

    scanning: Scanning
    quarantine: Quarantine
    hidden: HiddenPlace
    tell: Tell
    processes: int = 1


class AcceptGate:
    """The gate of the tree of *origin*, as *shown* to its user, who has *names* for its places; *rules* may hold."""

    def __init__(
        self, rules: Sequence[AcceptRule], parts: GateParts, origin: Origin, shown: Shown, names: Names
    ) -> None:
        self._rules = rules
        self._parts = parts
        self._origin = origin
        self._shown = shown
        self._names = names

    def watch(self, asked: VirtualPath, real: VirtualPath, /) -> list[Watcher]:
        """See `Gate.watch`."""
        return [*self._watchers(self._holding(asked, real), self._shown(asked), real)]

    def watch_hidden(self, path: VirtualPath, real: VirtualPath) -> list[Watcher]:
        """Return the watchers of a hidden upload to *path*, as its user calls it, which is to lie at *real*."""
        return [*self._watchers(self._holding_shown(path, real), path, real)]

    def hide(self, asked: VirtualPath, real: VirtualPath, /) -> HiddenUpload | None:
        """See `Gate.hide`: where a rule says so, its engines and its program are asked later."""
        rules = self._holding(asked, real)
        if not any(rule.accept == "hidden" for rule in rules):
            return None
        path = self._shown(asked)
        watchers = [*self._watchers(rules, path, real, are_asked=lambda rule: rule.accept != "hidden")]
        return HiddenUpload(self, watchers, path, real)

    def _watchers(
        self,
        rules: Sequence[AcceptRule],
        path: VirtualPath,
        real: VirtualPath,
        are_asked: Callable[[AcceptRule], bool] = lambda _: True,
    ) -> Iterator[Watcher]:
        """Yield what *rules* ask of an upload to *path*; engines and programs where *are_asked* says so."""
        for rule in rules:
            require_name(rule, path.name)
            refuse = _Refusing(self, rule, path, real)
            if rule.max_size is not None:
                yield Measure(rule.max_size, refuse)
            if rule.types:
                yield TypeCheck(path.name, rule.types, refuse.for_type)
            if not are_asked(rule):
                continue
            scanning, tell, processes = self._parts.scanning, self._parts.tell, self._parts.processes
            engines = [engine_at(address, scanning.timeout, str(path), processes) for address in rule.scan]
            yield from (Scan(engine, scanning.limit, rule.when_unavailable, refuse, tell) for engine in engines)
            if rule.program:
                program = Program(rule.program, scanning.timeout, self._environ(path))
                yield Scan(program, None, rule.when_unavailable, refuse, tell)

    def note(self, watchers: Sequence[Watcher], sha256: str, /) -> bytes:
        """See `Gate.note`: the verdicts of the engines, which new signatures may make out of date."""
        now = time.time()
        verdicts = [each.verdict for each in watchers if isinstance(each, Scan) and each.verdict is not None]
        return to_note(sha256, (judged(verdict, now) for verdict in verdicts if verdict.signatures))

    def verdict(self, watchers: Sequence[Watcher], /) -> str | None:
        """See `Gate.verdict`: the words of all engines, each once, which on a file that is taken are mostly `clean`."""
        verdicts = [each.verdict for each in watchers if isinstance(each, Scan)]
        words = dict.fromkeys(verdict.word.value for verdict in verdicts if verdict is not None)
        return ", ".join(words) or None

    def engines_for(self, real: VirtualPath) -> list[EngineAddress]:
        """Return the engines that have to take the file which lies at *real*, each once."""
        found = (address for rule in self._holding(real, real) for address in rule.scan)
        return list(dict.fromkeys(found))

    @property
    def engines(self) -> list[EngineAddress]:
        """The engines of all rules, each once."""
        return list(dict.fromkeys(address for rule in self._rules for address in rule.scan))

    def shown(self, path: VirtualPath) -> VirtualPath:
        """Return what *path*, of this tree, is to its user."""
        return self._shown(path)

    @property
    def origin(self) -> Origin:
        """The tree."""
        return self._origin

    @property
    def parts(self) -> GateParts:
        """The parts that it shares with others."""
        return self._parts

    def require_move(self, old: Place, new: Place, /, *, is_file: bool) -> None:
        """See `Gate.require_move`."""
        if is_file:
            before, after = self._holding(old.path, old.real), self._holding(new.path, new.real)
            for rule in after:
                require_name(rule, self._shown(new.path).name)
                self._require_type(rule, old, new)
        else:
            before = [rule for rule in self._rules if self._holds_for_all(rule, old)]
            after = [rule for rule in self._rules if self._may_hold_in(rule, new)]
        if any(rule not in before for rule in after):
            raise StorageError(Kind.DENIED, new.path, why="only an upload passes the accept rules of the new name")

    def before_retime(self, place: Place, before_ns: int, after_ns: int, /) -> None:
        """See `Gate.before_retime`: clients set the time behind an upload, and reach the file that it is to replace."""
        if any(rule.accept == "hidden" for rule in self._holding(place.path, place.real)):
            with _looking():
                self._parts.hidden.retime(Path(self._origin.tree), str(place.real), before_ns, after_ns)

    def carry(self, place: Place, /, *, modified_ns: int | None = None, mode: int | None = None) -> bool:
        """See `Gate.carry`: clients set time and mode behind an upload, which they were told is there."""
        if not any(rule.accept == "hidden" for rule in self._holding(place.path, place.real)):
            return False
        origin = self._origin
        with _looking():
            return self._parts.hidden.carry(origin.owner, Path(origin.tree), str(place.real), modified_ns, mode)

    def require_settled(self, place: Place, /) -> None:
        """See `Gate.require_settled`, also where the rule that hid the upload is another one now."""
        with _looking():
            is_waiting = bool(self._parts.hidden.waiting_at(Path(self._origin.tree), str(place.real)))
        if is_waiting:
            raise StorageError(Kind.BUSY, why="an upload to it waits for its verdict, and would be lost under this one")

    def _require_type(self, rule: AcceptRule, old: Place, new: Place) -> None:
        """Raises: Refusal for a file that would get an extension which is none for its content."""
        after = extension_of(self._shown(new.path).name)
        before = extension_of(self._shown(old.path).name)
        if not rule.types or after == before:
            return
        if after in rule.types and begins_anyhow(before) and begins_anyhow(after):
            return  # it does not begin as a known type does
        # The content was judged by the extension that it has; another one is that of another content.
        if after not in rule.types or self._types_at(old).isdisjoint({after}):
            raise _Refusing(self, rule, self._shown(new.path), new.real).for_type(f"extension {after or 'missing'}")

    def _types_at(self, place: Place) -> frozenset[str]:
        """Return the types that the file at *place* begins as."""
        fd = os.open(place.name, READ_FILE, dir_fd=place.fd)
        try:
            return types_of(os.pread(fd, HEAD, 0))
        finally:
            os.close(fd)

    def custodian(self, path: VirtualPath, real: VirtualPath) -> Custodian:
        """Return what takes the refused file *path*, which was to lie at *real*."""
        return Custodian(self._parts.quarantine, self._origin, path, real)

    def _environ(self, path: VirtualPath) -> dict[str, str]:
        """Return the environment of the operator's program for an upload to *path*."""
        told = {"FTPSD_USER": self._origin.owner, "FTPSD_PATH": str(path)}
        return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **told}

    def _holding(self, asked: VirtualPath, real: VirtualPath) -> list[AcceptRule]:
        return self._holding_shown(self._shown(asked), real)

    def _holding_shown(self, path: VirtualPath, real: VirtualPath) -> list[AcceptRule]:
        paths = {path, *self._names_of(real)}
        return [rule for rule in self._rules if any(matches(rule, each.parts) for each in paths)]

    def _holds_for_all(self, rule: AcceptRule, place: Place) -> bool:
        """Return whether *rule* holds for everything at and below *place*."""
        trees = [pattern for pattern in map(pattern_parts, rule.paths) if pattern[-1:] == (TREE,)]
        return any(
            len(tree) <= len(path.parts) + 1 and matches_parts(tree[:-1], path.parts[: len(tree) - 1])
            for tree in trees
            for path in self._names_of(place.real)
        )

    def _may_hold_in(self, rule: AcceptRule, place: Place) -> bool:
        """Return whether *rule* holds for anything that could be at or below *place*."""
        return any(
            may_match_below(pattern_parts(pattern), path.parts)
            for pattern in rule.paths
            for path in (self._shown(place.path), *self._names_of(place.real))
        )

    def _names_of(self, real: VirtualPath) -> Sequence[VirtualPath]:
        """Return all paths of the user for what lies at *real*."""
        return (self._shown(real), *self._names(real))


@contextmanager
def _looking() -> Iterator[None]:
    """Look at the hidden uploads. Raises: StorageError where that fails."""
    try:
        yield
    except OSError as error:
        raise StorageError(Kind.IO, why="the hidden uploads cannot be looked at") from error


def require_name(rule: AcceptRule, name: str) -> None:
    """Raises: Refusal, 553, for a *name* that *rule* does not take. Small and capital letters are alike."""
    if rule.names and not any(fnmatchcase(name.casefold(), pattern.casefold()) for pattern in rule.names):
        text = "Files of this name are not taken here."
        raise Refusal(Kind.REFUSED, incident=incident_number(), verdict="name", text=text, code=553, engine="rules")


def incident_number() -> str:
    """Return the number of a new incident, which nobody can guess."""
    return secrets.token_hex(5)


class HiddenUpload:
    """The custody of an upload to *path*, which is to lie at *real* when *gate* has judged it; see `Hiding`."""

    def __init__(self, gate: AcceptGate, watchers: Sequence[Watcher], path: VirtualPath, real: VirtualPath) -> None:
        self.watchers = watchers
        self._gate = gate
        self._path = path
        self._real = real

    def take(self, arrival: Arrival, place: Place, fd: int, /) -> os.stat_result:
        """See `Hiding.take`."""
        origin, replaced = self._gate.origin, arrival.replaced
        record = Record(
            incident_number(),
            time.time(),
            origin.owner,
            origin.host,
            origin.tree,
            str(self._path),
            str(self._real),
            arrival.size,
            arrival.sha256,
            WAITING,
            "",
            "",
            "",
            "" if replaced is None else replaced_by(replaced.st_mtime_ns),
            arrival.may_replace,
        )
        try:
            return self._gate.parts.hidden.take(record, place, fd)
        except OwnShareFull:
            raise StorageError(Kind.UNJUDGED, why="too many of this user's uploads wait for their verdicts") from None
        except Full:
            raise StorageError(Kind.UNJUDGED, why="too many uploads wait for their verdicts") from None


class Measure:
    """The watcher that refuses a file of more than *most* bytes, as soon as there are more."""

    def __init__(self, most: int, refuse: _Refusing) -> None:
        self._left = most
        self._refuse = refuse

    def update(self, data: memoryview | bytes, /) -> None:
        """Count *data*."""
        self._left -= len(data)
        if self._left < 0:
            raise self._refuse.for_size()

    def finish(self) -> bool:
        """True: it fits."""
        return True

    def close(self) -> None:
        """Nothing is open."""


class _Refusing:
    """Makes the refusals of one upload, for *rule*."""

    def __init__(self, gate: AcceptGate, rule: AcceptRule, path: VirtualPath, real: VirtualPath) -> None:
        self._gate = gate
        self._rule = rule
        self._path = path
        self._real = real

    def __call__(self, verdict: Verdict, is_final: bool) -> StorageError:
        """Return the refusal for *verdict*: with *is_final* the file is kept, and is not to come again."""
        is_infected = verdict.word in FOUND
        return Refusal(
            Kind.REFUSED if is_final else Kind.UNJUDGED,
            incident=incident_number(),
            verdict=verdict.word,
            text=(NOT_TAKEN if is_infected else HELD) if is_final else NOT_NOW,
            code=550 if is_final else 451,
            engine=verdict.engine,
            signatures=verdict.signatures,
            found=verdict.found,
            custody=self._custodian(is_held=not is_infected) if is_final else None,
        )

    def for_size(self) -> Refusal:
        """Return the refusal of a file that is too large, of which nothing is kept: it is not whole."""
        text = "The file is larger than files may be here."
        return Refusal(Kind.REFUSED, incident=incident_number(), verdict="size", text=text, code=552, engine="rules")

    def for_type(self, found: str) -> Refusal:
        """Return the refusal of a file that is not what its name says, for what was *found*."""
        incident, custody = incident_number(), self._custodian(is_held=False)
        return Refusal(
            Kind.REFUSED,
            incident=incident,
            verdict="type",
            text="The file is not of a type that is taken here.",
            code=550,
            engine="rules",
            found=said(found),
            custody=custody,
        )

    def _custodian(self, *, is_held: bool) -> Custodian | None:
        # A file that waits for an inspection is kept, whatever happens to refused files.
        if self._rule.on_refusal == "discard" and not is_held:
            return None
        return self._gate.custodian(self._path, self._real)
