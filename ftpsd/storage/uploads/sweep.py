"""The sweep of abandoned partials."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from ftpsd.storage.disk.descent import Descent
from ftpsd.storage.disk.walk import Place
from ftpsd.storage.quota.ledger import NO_LEDGER, Ledger
from ftpsd.storage.uploads.partial import discard_partial
from ftpsd.storage.uploads.unfinished import PARTIAL_NAME, RANDOM_NAME, owner_prefix
from ftpsd.values.path import VirtualPath

# Seconds. A partial of a dead process that is not resumed keeps no room for longer; an upload that has just made one
# holds its lock by then.
UNFINDABLE_FOR = 60.0

# A partial in a directory that the server itself may not read counts for no quota, and is neither swept nor listed.
OWNER_OF_DIRECTORY = 0o700


def sweep_partials(
    root: Path,
    older_than_seconds: float,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
    ledger: Ledger = NO_LEDGER,
) -> int:
    """
    Remove the partials below *root* that no upload is at work in and that did not change for *older_than_seconds*;
    return how many.

    Those that only their upload knows go as soon as it is over. Links are not followed; *is_stopped* is called before
    each name. Runs for as long as a walk of the whole tree takes, so give it a thread of its own. Raises: OSError when
    *root* cannot be opened.
    """
    removed = 0
    for found in Descent(os.fsencode(root)):
        if is_stopped():
            break
        name = found.entry.name
        if PARTIAL_NAME.fullmatch(name):
            directory = Place(found.directory, b".", VirtualPath())  # the descent's to close
            age = min(older_than_seconds, UNFINDABLE_FOR) if RANDOM_NAME.fullmatch(name) else older_than_seconds
            removed += discard_partial(directory, name.encode(), age, ledger=ledger)
    return removed


def sweep_trees(
    directories: Iterable[Path],
    older_than_seconds: float,
    *,
    is_stopped: Callable[[], bool],
    ledger_of: Callable[[Path], Ledger],
) -> tuple[int, list[str]]:
    """
    Sweep one of *directories* after the other, see `sweep_partials`.

    Return how many partials were removed, and which directories could not be opened, with the reason. One that is gone,
    perhaps since a moment ago, holds up no other and is not among them.
    """
    removed, troubles = 0, []
    for path in directories:
        try:
            removed += sweep_partials(path, older_than_seconds, is_stopped=is_stopped, ledger=ledger_of(path))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            troubles.append(f"{path}: {error.strerror}")
    return removed, troubles


def discard_partials_alone(place: Place, owner: str, ledger: Ledger) -> bool:
    """Empty the directory *place* if all that is in it are idle partials of *owner*, which no listing shows."""
    fd = os.open(place.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.fd)
    with Place(fd, b".", place.path) as directory, os.scandir(fd) as found:
        names = []
        for entry in found:
            if not (PARTIAL_NAME.fullmatch(entry.name) and entry.name.startswith(owner_prefix(owner))):
                return False
            names.append(entry.name.encode())
        return all(discard_partial(directory, name, ledger=ledger) for name in names)
