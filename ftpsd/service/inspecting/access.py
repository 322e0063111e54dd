"""
Access as it really is: the homes and mounts of users are tried by the daemon's own user, not read off their modes.

    try_trees(users)              ->  complaints, as the user of this process
    run_as(account, look)         ->  the same as another user, in a child process; for root

A trial leaves nothing behind and changes nothing: a directory is opened for reading, and where the rules allow
writing in it a file without a name (O_TMPFILE) is made, which is gone when it is closed.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from ftpsd.config.checks.owner import Account, account_of
from ftpsd.config.parsing.document import ConfigError, Key
from ftpsd.config.users import Users
from ftpsd.storage.rules import Rules
from ftpsd.values.permission import CHANGES, Permission
from ftpsd.values.rule import Rule

# No rule that is not a pattern has it: clients cannot send NUL.
_ANY_NAME: Final = "\0"
REFUSALS: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_DIRECTORY: Final = os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Need:
    """The rights that rules give a user in the directory *parts* of a tree."""

    parts: tuple[str, ...]
    lists: bool
    changes: bool


class CannotTry(Exception):
    """The failure of a trial as another user, in a sentence."""


def try_trees(users: Users) -> Iterator[ConfigError]:
    """Yield a complaint for each home and mount in which this process cannot do what the rules allow. Blocks."""
    tried: dict[tuple[Path, tuple[Need, ...]], tuple[str, bool] | None] = {}
    for user in users.users.values():
        if not user.enabled:
            continue
        trees: list[tuple[Path, Key, tuple[Rule, ...] | None]] = [(user.home, ("home",), user.rules)]
        for number, mount in enumerate(user.mounts):
            trees.append((mount.directory, ("mounts", number, "directory"), mount.rules))
        for directory, key, rules in trees:
            needs = needs_of(rules)
            if (directory, needs) not in tried:
                tried[directory, needs] = _problem(directory, needs)
            found = tried[directory, needs]
            if found is not None:
                message, is_error = found
                yield users.complaint(("users", user.name, *key), message, "error" if is_error else "warning")


@lru_cache(maxsize=1024)
def needs_of(rules: tuple[Rule, ...] | None) -> tuple[Need, ...]:
    """
    Return the rights that *rules* give in the root and in each directory that they name.

    A path without a pattern that other rules go on from is taken for a directory that is there; behind a pattern in the
    middle of a path nothing is known.
    """
    found = Rules.of(rules)
    paths = [rule.parts for rule in rules or ()]
    # For each directory the names that stand for those in it.
    names: dict[tuple[str, ...], set[str]] = {(): {_ANY_NAME}}
    for parts in paths:
        above = parts[:-1]
        if any(_is_pattern(part) for part in above):
            continue
        inside = names.setdefault(above, {_ANY_NAME})
        if parts and (_is_pattern(parts[-1]) or not any(other[: len(parts)] == parts != other for other in paths)):
            inside.add(parts[-1].replace("*", "x").replace("?", "x"))
    return tuple(
        Need(
            parts,
            lists=found.at(parts).allows(Permission.LIST),
            changes=any(not CHANGES.isdisjoint(found.at(parts).below(name).allowed) for name in inside),
        )
        for parts, inside in names.items()
    )


def _is_pattern(part: str) -> bool:
    return "*" in part or "?" in part


def run_as(account: Account, look: Callable[[], Iterable[ConfigError]]) -> list[ConfigError]:
    """
    Call *look* in a child process that is *account* alone; return its result.

    Only root can. No thread may run, and nothing of the child's may be needed afterwards.

    Raises:
        CannotTry: the child could not become that user, or came to no end.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        # Code here must not go on in the caller's place.
        try:
            os.close(reading)
            with open(writing, "wb") as answer:
                answer.write(_as(account, look))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as stream:
        data = stream.read()
    os.waitpid(child, 0)
    # JSON, and not pickle: data of a process with fewer rights can only be text.
    said = json.loads(data) if data else "the attempt came to no end"
    if isinstance(said, str):
        raise CannotTry(f"nothing could be tried as the user {account.name}: {said}")
    return [ConfigError(*fields) for fields in said]


def _as(account: Account, look: Callable[[], Iterable[ConfigError]]) -> bytes:
    """Return the result of *look* as *account*, or why there is none."""
    found: list[object] | str
    try:
        os.setgroups(os.getgrouplist(account.name, account.gid))
        os.setgid(account.gid)
        os.setuid(account.uid)
        found = [astuple(complaint) for complaint in look()]
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    return json.dumps(found).encode()


def _problem(directory: Path, needs: Iterable[Need]) -> tuple[str, bool] | None:
    """Report the obstacles to *needs*, and whether there are any; a missing directory is reported elsewhere."""
    mode = None
    for need in needs:
        path = directory.joinpath(*need.parts)
        trial = _try(path, need)
        if trial.errno in REFUSALS:
            return _refused(path, trial), True
        if not need.parts:
            mode = trial.mode
    return None if mode is None else _closed(directory, mode)


def unwritable(directory: Path) -> str | None:
    """Return why this process cannot list and write in *directory*, None where it can. Blocks."""
    trial = _try(directory, Need((), lists=True, changes=True))
    if trial.errno in REFUSALS:
        return _refused(directory, trial)
    return f"{directory} cannot be {trial.failed}: {os.strerror(trial.errno)}" if trial.failed else None


@dataclass(frozen=True, slots=True)
class Trial:
    """
    The outcome of a trial: the first operation that *failed* with its *errno*, or the *mode* of the directory.

    Not the error: its traceback would hold the frames above it, a cycle for each of 10,000 users.
    """

    failed: str = ""
    errno: int = 0
    mode: int | None = None


def _try(path: Path, need: Need) -> Trial:
    """
    Do in *path* the operations of *need*.

    With few calls: there are 10,000 homes, and behind each call this thread waits until the reactor's lets it go on.
    """
    try:
        fd = os.open(path, (os.O_RDONLY if need.lists else os.O_PATH) | _DIRECTORY)
    except OSError as error:
        number = error.errno or 0
        if need.lists and number in REFUSALS:
            closed = _try(path, Need(need.parts, lists=False, changes=False))
            return closed if closed.failed else Trial("listed", number)
        return Trial("entered", number)
    what = "entered"
    try:
        mode = stat.S_IMODE(os.stat(".", dir_fd=fd).st_mode)
        if need.changes:
            what = "written to"
            _make_nothing(fd)
    except OSError as error:
        return Trial(what, error.errno or 0)
    finally:
        os.close(fd)
    return Trial(mode=mode)


def _make_nothing(fd: int) -> None:
    """Make a file without a name in the directory *fd*, or ask the kernel where there are no such files (NFS)."""
    try:
        os.close(os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=fd))
    except OSError as error:
        if error.errno in REFUSALS:
            raise
        # A full disk or quota refuses too, and is no matter of rights.
        is_allowed = os.access(".", os.W_OK | os.X_OK, dir_fd=fd, effective_ids=os.access in os.supports_effective_ids)
        if not is_allowed:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES)) from error


def _refused(path: Path, trial: Trial) -> str:
    """Describe the missing right of this process in *path*, and the remedy."""
    who = account_of(os.geteuid()).name
    said = f"{path} cannot be {trial.failed} by the user {who} ({errno.errorcode[trial.errno]})"
    if trial.errno == errno.EROFS:
        return f"{said}: it is read-only for the daemon; under systemd, name it in ReadWritePaths= of a drop-in"
    closed = next((folder for folder in reversed(path.parents) if not _may(folder, os.X_OK)), None)
    if closed is not None:
        return f"{said}: {closed} on the way to it is closed; run: chmod o+x {shlex.quote(str(closed))}"
    with suppress(OSError):
        if os.stat(path).st_uid == os.geteuid():
            return f"{said}; run: chmod u+rwx {shlex.quote(str(path))}"
    return f"{said}; run: chown {who}: {shlex.quote(str(path))}"


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _closed(directory: Path, mode: int) -> tuple[str, bool] | None:
    """Warn of a directory that only root, as this process is, can use; its owner was perhaps meant to."""
    if mode & (stat.S_IRUSR | stat.S_IXUSR) == stat.S_IRUSR | stat.S_IXUSR:
        return None
    run = f"chmod u+rwx {shlex.quote(str(directory))}"
    return f"{directory} has mode {mode:03o}, so that not even its owner can use it; run: {run}", False
