"""The perm fact (RFC 3659, 7.5.5): a letter is there if, and only if, what it promises is done when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ftpsd.storage.base import Storage, StorageError
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.mounts import MountedStorage
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.permission import ALL, Permission
from ftpsd.values.rule import Rule
from tests.contracts.storages import at, entries, interrupt, put

P = Permission
Rules = Sequence[Rule] | None
Attempt = Callable[[Storage], object]


def rule(path: str, *allow: Permission) -> Rule:
    """Return a rule."""
    return Rule(path, frozenset(allow))


SINGLE: dict[str, Rules] = {permission.value: [rule("/**", P.LIST, permission)] for permission in P}
RULES: dict[str, Rules] = SINGLE | {
    "none": None,
    "all": [Rule("/**", ALL)],
    "read-not-list": [rule("/**", P.READ)],
    "drop-box": [rule("/folder/*", P.UPLOAD), rule("/**", P.LIST)],
    "upload-and-resume": [rule("/**", P.LIST, P.UPLOAD, P.DELETE)],
    "folders-only-inside": [rule("/folder/*", P.MKDIR, P.RMDIR), rule("/**", P.LIST)],
    "one-level": [rule("/*", *ALL), rule("/**", P.LIST)],
    "something-stays": [rule("/folder/kept"), Rule("/**", ALL)],
    "something-empty-stays": [rule("/empty/kept/**", P.LIST), Rule("/**", ALL)],
    "nothing-inside": [rule("/folder/**", P.LIST), rule("/empty/**", P.LIST), Rule("/**", ALL)],
}

# The operations that a letter promises of /file, /partial (an unfinished upload of the user), and of a directory.
OF_A_FILE: dict[str, Attempt] = {
    "a": lambda storage: put(storage, "/file", b"1", append=True),
    "d": lambda storage: storage.remove_file(at("/file")),
    "f": lambda storage: storage.rename(at("/file"), at("/another")),
    "r": lambda storage: storage.open_source(at("/file")).close(),
    "w": lambda storage: put(storage, "/file", b"1"),
}
OF_A_PARTIAL: dict[str, Attempt] = {
    "a": lambda storage: put(storage, "/partial", b"1", append=True),
    "d": lambda storage: storage.remove_file(at("/partial")),
    "f": lambda storage: storage.rename(at("/partial"), at("/another")),
    "r": lambda storage: storage.open_source(at("/partial")).close(),
    "w": lambda storage: put(storage, "/partial", b"1"),
}
OF_A_DIRECTORY: dict[str, Attempt] = {
    "c": lambda storage: put(storage, "/folder/new", b"1"),
    "e": lambda storage: storage.stat(at("/folder")),
    "f": lambda storage: storage.rename(at("/folder"), at("/elsewhere")),
    "l": lambda storage: storage.list(at("/folder")).close(),
    "m": lambda storage: storage.make_directory(at("/folder/new")),
    "p": lambda storage: one_of(
        lambda: storage.remove_file(at("/folder/file")), lambda: storage.remove_directory(at("/folder/empty"))
    ),
}
OF_AN_EMPTY_DIRECTORY: dict[str, Attempt] = {
    "d": lambda storage: storage.remove_directory(at("/empty")),
    "f": lambda storage: storage.rename(at("/empty"), at("/elsewhere")),
}
OF_THE_ROOT: dict[str, Attempt] = {
    "d": lambda storage: storage.remove_directory(at("/")),
    "f": lambda storage: storage.rename(at("/"), at("/elsewhere")),
    "l": lambda storage: storage.list(at("/")).close(),
}
ENTRIES: dict[str, dict[str, Attempt]] = {
    "/file": OF_A_FILE,
    "/partial": OF_A_PARTIAL,
    "/folder": OF_A_DIRECTORY,
    "/empty": OF_AN_EMPTY_DIRECTORY,
    "/": OF_THE_ROOT,
}
CASES = [(path, letter) for path, letters in ENTRIES.items() for letter in letters]


def one_of(*attempts: Callable[[], object]) -> None:
    """Try one after the other until one succeeds. Raises: what the last one raised."""
    for attempt in attempts[:-1]:
        try:
            attempt()
        except StorageError:
            continue
        return
    attempts[-1]()


def is_done(attempt: Attempt, storage: Storage) -> bool:
    """Tell whether the storage does it."""
    try:
        attempt(storage)
    except StorageError:
        return False
    return True


def populate(home: Path) -> LocalJail:
    """Put something of each kind into *home* and open it for the user."""
    for folder in ("folder/empty", "empty"):
        (home / folder).mkdir(parents=True)
    for file in ("file", "folder/file"):
        (home / file).write_bytes(b"data")
    jail = LocalJail.open(home, uploads=UploadPolicy(durable=False), owner="user")
    interrupt(jail, "/partial", b"be")
    return jail


@pytest.mark.parametrize("rules", RULES)
def test_a_letter_is_a_promise(home: Path, rules: str) -> None:
    """A user who sees a letter can do what it says, and a user who does not see it cannot."""
    broken = []
    for number, (path, letter) in enumerate(CASES):
        tree = home / str(number)
        tree.mkdir()
        storage = GuardedStorage(populate(tree), RULES[rules])
        shown = letter in storage.stat(at(path)).perm
        if shown != is_done(ENTRIES[path][letter], storage):
            broken.append((path, letter, f"shown: {shown}"))
    assert broken == []


@pytest.mark.parametrize("rules", RULES)
def test_listings_promise_the_same(home: Path, rules: str) -> None:
    """MLSD says what MLST says."""
    storage = GuardedStorage(populate(home), RULES[rules])
    if not is_done(lambda storage: storage.list(at("/")).close(), storage):
        return
    listed = {f"/{entry.name}": entry.perm for entry in entries(storage)}
    assert listed == {path: storage.stat(at(path)).perm for path in listed}


@pytest.mark.parametrize(("path", "letter"), [("/m", "d"), ("/m", "f"), ("/made", "d"), ("/made", "c"), ("/made", "m")])
def test_mounts_promise_nothing_more(home: Path, outside: Path, path: str, letter: str) -> None:
    """A mount point, and a directory that is only there for one, neither go nor, the latter, take anything in."""
    tree = LocalJail.open(outside, uploads=UploadPolicy(durable=False), owner="user")
    storage = MountedStorage(populate(home), {at("/m"): tree, at("/made/up"): tree})
    attempts: dict[str, Attempt] = {
        "c": lambda storage: put(storage, f"{path}/new", b""),
        "d": lambda storage: storage.remove_directory(at(path)),
        "f": lambda storage: storage.rename(at(path), at("/elsewhere")),
        "m": lambda storage: storage.make_directory(at(f"{path}/new")),
    }
    assert letter not in storage.stat(at(path)).perm
    assert not is_done(attempts[letter], storage)


def test_hidden_directories_are_not_counted(home: Path) -> None:
    """The links of a directory would tell how many directories are in it that the user may not list."""
    hiding = GuardedStorage(populate(home), [rule("/folder/*"), rule("/**", P.LIST)])
    showing = GuardedStorage(LocalJail.open(home, uploads=UploadPolicy(), owner="user"), [rule("/**", P.LIST)])
    listed = {entry.name: entry.links for entry in entries(hiding)}
    assert (hiding.stat(at("/folder")).links, listed["folder"]) == (1, 1)
    assert showing.stat(at("/folder")).links == (home / "folder").stat().st_nlink
