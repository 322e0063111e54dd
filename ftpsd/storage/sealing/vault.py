"""
The vault: the data keys of all trees, each opened by a master key.

* A data key is that of one directory, its holder: the home of a user, or the directory of a mount. Users who share a
  directory share its key. A file in it is sealed with that key, or with that of a directory above or below which other
  users see as theirs; any other key is FOREIGN there.
* New files take the newest master key of the set that the tree names: a data key of an older one opens files, and
  another data key is made for the next file.
* The file of a data key says which master key wraps it; the one that a header names is that of its day.
* A destroyed key is refused from the next opening of a file on: each use looks whether its file is still there.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Literal

from ftpsd.storage.sealing.ciphers import InvalidTag, cipher, derived, new_key, seal, unseal
from ftpsd.storage.sealing.damage import DamagedError, Reason
from ftpsd.storage.sealing.header import DataKey
from ftpsd.storage.sealing.key_files import KeyFileError, KeyFiles, KeyRecord
from ftpsd.storage.sealing.layout import DATA_KEY_ID
from ftpsd.storage.sealing.master import KeySet, MasterKey
from ftpsd.storage.sealing.walks.survey import Survey, holds_sealed, survey

_WRAPPING = b"ftpsd file key wrapping 1"
# Files of a tree that are looked at before its first data key is made: a fifth of a second, once for each tree.
_MOST_LOOKED_AT = 10_000

_BRING_BACK = "bring it back from its backup, or mount its disk; until then nothing encrypted can be read or stored"

State = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Trouble:
    """A trouble with data keys; an error is about all files of a master key."""

    text: str
    severity: Literal["error", "warning"]


class Vault:
    """The data keys in *files*, and the master keys of *sets* that open them. Everything blocks, from any thread."""

    def __init__(self, files: KeyFiles, sets: Mapping[str, KeySet]) -> None:
        self.files = files
        self.sets = sets
        self._masters = {key.number: key for each in sets.values() for key in each.keys}
        self._lock = Lock()
        self._opened: dict[bytes, tuple[State, DataKey]] = {}
        self._current: dict[tuple[str, bytes], bytes] = {}
        self._was_begun = files.is_begun

    def find(self, number: bytes) -> DataKey:
        """Return the data key *number*. Raises: DamagedError, OSError."""
        state = self.files.state(number.hex())
        with self._lock:
            known = self._opened.get(number)
        if known is not None and state is not None and known[0] == state:
            return known[1]
        record = None if self.files.tomb(number.hex()) is not None else self.files.read(number.hex())
        if record is None:
            tomb = self.files.tomb(number.hex())
            if tomb is not None:
                raise DamagedError(Reason.DESTROYED_KEY, f"data key {number.hex()}, of {tomb.holder}")
            raise DamagedError(Reason.MISSING_KEY, f"data key {number.hex()} is in none of the directories")
        return self._open(record, state)

    def current(self, holder: str, keys: str) -> DataKey:
        """Return the data key for new files of *holder*, made where there is none of the newest master key."""
        newest = self.sets[keys].newest
        with self._lock:
            number = self._current.get((holder, newest.number))
        if number is not None:
            try:
                return self.find(number)
            except DamagedError as error:
                if error.damage is not Reason.DESTROYED_KEY:
                    raise
        with self.files.locked():
            found = self._look_for(holder, keys, newest)
        with self._lock:
            self._current[holder, newest.number] = found.number
        return found

    def holding(self, holders: Iterable[str]) -> list[KeyRecord]:
        """Return the data keys of *holders* that are not destroyed."""
        wanted, tombs = set(holders), self.files.tombs()
        found = [self.files.read(name) for name in self.files.names() if name not in tombs]
        return [record for record in found if record is not None and record.holder in wanted]

    def move(self, old: str, new: str) -> int:
        """Let the data keys of the directory *old* be those of *new*, where its files are now; return how many."""
        moved = 0
        with self.files.locked():
            for record in self.holding([old]):
                master = self._master(bytes.fromhex(record.master), record)
                key = self._unwrapped(record, master)
                self.files.add(_record(bytes.fromhex(record.id), new, record.keys, master, key, record.created))
                moved += 1
            if moved:
                # New files are found a key by the name of the directory, which is in the id.
                self._add(new, record.keys)
        return moved

    def renew(self, trees: Mapping[str, str]) -> int:
        """Wrap the data keys of *trees*, the set of each directory, by the newest master key; return how many."""
        renewed = 0
        with self.files.locked():
            for record in self.holding(trees):
                master = self._master(bytes.fromhex(record.master), record)
                newest = self.sets[trees[record.holder]].newest if record.holder in trees else master
                if newest.number != master.number:
                    key = self._unwrapped(record, master)
                    keys = trees[record.holder]
                    self.files.add(_record(bytes.fromhex(record.id), record.holder, keys, newest, key, record.created))
                    renewed += 1
        return renewed

    def troubles(self) -> list[Trouble]:
        """Say what is wrong with the data keys, each with a sentence for the operator."""
        found: list[Trouble] = []
        tombs, names = self.files.tombs(), set(self.files.names())
        lost = sorted(self.files.registered() - names - tombs)
        if lost and not names:
            return [Trouble(f"every one of the {len(lost)} data keys that there were is lost; {_BRING_BACK}", "error")]
        for number in lost:
            text = f"the data key {number} is lost, and its files with it; bring it back from a backup"
            found.append(Trouble(text, "warning"))
        unknown: dict[tuple[str, str], list[str]] = {}
        for number in sorted(names - tombs):
            try:
                record = self.files.read(number)
                if record is not None:
                    master = self._masters.get(bytes.fromhex(record.master))
                    if master is None:
                        unknown.setdefault((record.keys, record.master), []).append(record.holder)
                    else:
                        self._unwrapped(record, master)
            except (KeyFileError, DamagedError) as error:
                found.append(Trouble(str(error), "warning"))
        for (keys, number), holders in unknown.items():
            more = f" and {len(holders) - 1} more" if len(holders) > 1 else ""
            text = f"the data key of {holders[0]}{more} needs the master key {number}, which no set has; add it to"
            found.append(Trouble(f"{text} encryption.keys.{keys}, behind the newest", "error"))
        return found

    def missed(self, trees: Mapping[str, str], seen: Survey) -> Iterator[Trouble]:
        """Say which data keys the files that were *seen* in *trees* need and are not there, in no register either."""
        unknown = {number: path for number, path in seen.lost.items() if number not in self.files.registered()}
        if not unknown:
            return
        path = next(iter(unknown.values()))
        if self.files.names():
            count = f"{len(unknown)} data keys that are" if len(unknown) > 1 else "a data key that is"
            text = f"{path} needs {count} not here, and clients get 451; bring what is missing back from a backup"
            yield Trouble(text, "warning")
        else:
            yield Trouble(f"it has no data keys, and {path} is encrypted; {_BRING_BACK}", "error")

    def survey(self, trees: Mapping[str, str], *, most: int, of_each: int) -> Survey:
        """Look at files of *trees*, the set of each directory; see there. Raises: KeyFileError, OSError."""
        tombs, names = self.files.tombs(), self.files.names()
        ids: dict[str, list[str]] = {tree: [] for tree in trees}
        newest = set()
        for name in names:
            record = self.files.read(name)
            if record is not None and name not in tombs and record.holder in ids:
                ids[record.holder].append(name)
                keys = self.sets.get(trees[record.holder])
                if keys is not None and record.master == keys.newest.number.hex():
                    newest.add(name)
        return survey(ids, frozenset(names) | tombs, frozenset(newest), most=most, of_each=of_each)

    def _look_for(self, holder: str, keys: str, newest: MasterKey) -> DataKey:
        """Return the data key of *holder* under *newest*; the lock is held."""
        tombs, prefix = self.files.tombs(), _prefix(holder)
        numbers = [number for number in self.files.names() if number.startswith(prefix) and number not in tombs]
        found = [self.files.read(number) for number in numbers]
        there = [record for record in found if record is not None and record.holder == holder]
        ready = [record for record in there if record.master == newest.number.hex()]
        if ready:
            record = max(ready, key=lambda each: (each.created, each.id))
            return self._open(record, self.files.state(record.id))
        if self._was_begun and not self.files.is_begun:
            # Its disk is not there: a key that is made now would be hidden below it, or lost, when it is back.
            raise DamagedError(Reason.MISSING_KEY, "the directory of data keys is empty, and was not before")
        if not there and not self._has_destroyed(holder) and holds_sealed(holder, _MOST_LOOKED_AT):
            raise DamagedError(Reason.MISSING_KEY, f"{holder} has encrypted files, and no data key of it is here")
        return self.find(self._add(holder, keys))

    def _add(self, holder: str, keys: str) -> bytes:
        """Make a data key under the newest master key; the lock is held."""
        self._was_begun = True
        number = bytes.fromhex(_prefix(holder)) + os.urandom(DATA_KEY_ID // 2)
        self.files.add(_record(number, holder, keys, self.sets[keys].newest, new_key(), time.time_ns()))
        return number

    def _has_destroyed(self, holder: str) -> bool:
        return any(number.startswith(_prefix(holder)) for number in self.files.tombs())

    def _open(self, record: KeyRecord, state: State) -> DataKey:
        master = bytes.fromhex(record.master)
        key = self._unwrapped(record, self._master(master, record))
        found = DataKey(bytes.fromhex(record.id), record.holder, master, cipher(derived(key, _WRAPPING)))
        with self._lock:
            self._opened[found.number] = (state, found)
        return found

    def _master(self, number: bytes, record: KeyRecord) -> MasterKey:
        master = self._masters.get(number)
        if master is None:
            raise DamagedError(Reason.UNKNOWN_KEY, f"master key {number.hex()} of set {record.keys}")
        return master

    @staticmethod
    def _unwrapped(record: KeyRecord, master: MasterKey) -> bytes:
        try:
            return unseal(master.wraps, bytes.fromhex(record.wrapped), record.bound)
        except InvalidTag:
            raise DamagedError(Reason.ALTERED, f"the file of the data key {record.id}") from None


def is_related(holder: str, tree: str) -> bool:
    """Return whether one of the directories is the other, or is below it."""
    if holder == tree:
        return True
    return holder.startswith(tree.rstrip("/") + "/") or tree.startswith(holder.rstrip("/") + "/")


def _record(number: bytes, holder: str, keys: str, master: MasterKey, key: bytes, created: int) -> KeyRecord:
    record = KeyRecord(number.hex(), holder, keys, master.number.hex(), created, "")
    return KeyRecord(
        record.id, holder, keys, record.master, record.created, seal(master.wraps, key, record.bound).hex()
    )


def _prefix(holder: str) -> str:
    return hashlib.blake2b(holder.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
