"""
Hashes of older kinds, made anew in the users file at a right login (auth/hashing/new_hashes.py).

A hash is made in a worker, then written together with others that wait: to write one takes two readings of the file,
seconds where it has thousands of users, so between two writings there is ten times as long a pause. While another
program changes the file, they wait. A hash that cannot be written, because the file is not ours or has
another hash by now, is left; a login after the next reload tries again.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.auth.hashing.new_hashes import Rehash, is_same_password, renewed
from ftpsd.config.editing.edit import EditBusy, EditRefused, locked
from ftpsd.config.editing.own_file import is_ours
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.values.uncollected import uncollected
from ftpsd.workers import Workers

# Passwords that wait for their hash, each with its user; beyond that a login leaves its hash as it is.
MOST_AT_ONCE: Final = 50
# Seconds, and times the duration of the last writing.
SHORTEST_PAUSE: Final = 1.0
PAUSES: Final = 10.0

log = Logger()


class Rehashing:
    """The hashes that are made anew, by *workers*; *clock* is the reactor's."""

    def __init__(self, workers: Workers, clock: IReactorTime) -> None:
        self._workers = workers
        self._clock = clock
        self._at_work = 0
        self._is_writing = False
        self._waiting: dict[Path, dict[str, tuple[str, str, Deferred[str | None]]]] = {}

    def of(self, path: Path) -> Rehash:
        """Return the way for the users of the file at *path*."""
        return partial(self._ask, path)

    def _ask(self, path: Path, name: str, stored: str, password: str) -> Deferred[str | None]:
        if self._at_work >= MOST_AT_ONCE or name in self._waiting.get(path, {}):
            return succeed(None)
        self._at_work += 1
        answer: Deferred[str | None] = Deferred()

        def made(new: str | None) -> None:
            if new is None:
                self._answer(answer, None)
                return
            self._waiting.setdefault(path, {})[name] = (stored, new, answer)
            self._write()

        # A pool that is full is no news.
        self._workers.run(_made, path, stored, password).addCallbacks(made, lambda _: self._answer(answer, None))
        return answer

    def _answer(self, answer: Deferred[str | None], found: str | None) -> None:
        self._at_work -= 1
        answer.callback(found)

    def _write(self) -> None:
        """Write what waits for one file, unless a writing is under way or was a moment ago."""
        if self._is_writing or not self._waiting:
            return
        self._is_writing = True
        path, wishes = next(iter(self._waiting.items()))
        del self._waiting[path]
        wanted = {name: (stored, new) for name, (stored, new, _) in wishes.items()}

        def over(result: tuple[dict[str, str] | None, float] | Failure) -> None:
            there, seconds = ({}, 0.0) if isinstance(result, Failure) else result
            self._clock.callLater(max(SHORTEST_PAUSE, PAUSES * seconds), self._pause_is_over)
            if there is None:
                self._waiting[path] = {**wishes, **self._waiting.get(path, {})}
                return
            for name, (stored, _, answer) in wishes.items():
                found = there.get(name)
                is_ours = found is not None and found != stored and is_same_password(found, stored)
                self._answer(answer, found if is_ours else None)

        self._workers.run(_written, path, wanted).addBoth(over)

    def _pause_is_over(self) -> None:
        self._is_writing = False
        self._write()


def _made(path: Path, stored: str, password: str) -> str | None:
    """Return the new hash, None where it could not be written."""
    try:
        return renewed(stored, password) if is_ours(path) else None
    except ValueError:
        return None


def _written(path: Path, wanted: Mapping[str, tuple[str, str]]) -> tuple[dict[str, str] | None, float]:
    """Write the hashes; return those that the file has then, None while another program writes, and the seconds."""
    began = monotonic()
    found: dict[str, str] = {}
    try:
        with uncollected(), locked(path, waits=False) as file:
            there = file.replace_hashes(wanted)
            if file.is_changed:
                file.save()
            found = there
    except EditBusy:
        return None, monotonic() - began
    except (EditRefused, ConfigErrors) as problem:
        log.debug("hashes stay of an older kind: {problem}", problem=str(problem))
    return found, monotonic() - began
