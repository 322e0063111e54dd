"""Renames behind rules: no name gives a user what another name of the same content denies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.rules import Rules
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import ALL, Permission
from ftpsd.values.rule import Rule
from tests.contracts.storages import at, kind_of, put
from tests.fakes import MemoryStorage
from tests.memory import Directory, File

P = Permission
OF_FILES = {P.READ, P.OVERWRITE, P.APPEND, P.DELETE, P.SET_TIME, P.CHMOD}

NAMES = ("a", "b", "ab")
PATHS = [VirtualPath(parts) for first in NAMES for parts in ((first,), *((first, second) for second in NAMES))]
PATHS += [path / name for path in PATHS if len(path.parts) == 2 for name in NAMES]

patterns = st.builds(
    lambda parts, is_tree: "/" + "/".join([*parts, *["**"] * is_tree]),
    st.lists(st.sampled_from([*NAMES, "*", "a*", "?"]), max_size=3),
    st.booleans(),
)
# Mostly with `rename`: without it nothing happens.
allowed = st.builds(
    lambda some, renames: frozenset(some) | ({P.RENAME} if renames else frozenset()),
    st.sets(st.sampled_from(sorted(P)), max_size=6) | st.just(set(P)),
    st.integers(0, 9).map(bool),
)
rule_sets = st.lists(st.builds(Rule, patterns, allowed), min_size=1, max_size=5)


def rule(pattern: str, allow: str = "") -> Rule:
    """Return a rule as the operator writes it: permissions divided by spaces, or "all"."""
    return Rule(pattern, ALL if allow == "all" else frozenset(map(P, allow.split())))


def guarded(*rules: Rule, **files: bytes) -> tuple[GuardedStorage, MemoryStorage]:
    """Return a guarded storage with *files*, "__" for "/" in their names, and what is behind it."""
    inner = MemoryStorage()
    for name, data in files.items():
        inner.put("/" + name.replace("__", "/"), data)
    return GuardedStorage(inner, rules), inner


def contents(storage: MemoryStorage) -> Iterator[tuple[VirtualPath, File | Directory]]:
    """Yield everything below the root with its path."""
    pending: list[tuple[VirtualPath, Directory]] = [(VirtualPath(), storage.tree.root)]
    while pending:
        path, directory = pending.pop()
        for name, node in directory.children.items():
            assert isinstance(node, File | Directory)
            yield path / name, node
            if isinstance(node, Directory):
                pending.append((path / name, node))


def rights(rules: Rules, path: VirtualPath, node: File | Directory) -> frozenset[Permission]:
    """Return what may be done with what is at *path*."""
    given = rules.at(path.parts).allowed
    return given & OF_FILES if isinstance(node, File) else given


steps_among_names = st.lists(st.tuples(st.integers(0, 10), st.sampled_from(PATHS)), min_size=1, max_size=8)


@pytest.mark.slow
@settings(max_examples=500)
@given(rules=rule_sets, steps=steps_among_names)
def test_no_sequence_of_renames_gives_a_right(rules: list[Rule], steps: list[tuple[int, VirtualPath]]) -> None:
    """Content keeps the rights it had, or loses some, whatever the rules, and whatever is renamed to wherever."""
    storage, inner = guarded(*rules, a__a__a=b"1", a__b=b"2", b__a__b=b"3", b__ab=b"4", ab=b"5")
    inner.make_directory(at("/b/b"))
    views = Rules.of(rules)
    had = {node.inode: rights(views, path, node) for path, node in contents(inner)}
    for which, new in steps:
        there = sorted(str(path) for path, _ in contents(inner))
        old = at(there[which % len(there)])
        with suppress(StorageError):
            storage.rename(old, new)
        for path, node in contents(inner):
            assert rights(views, path, node) <= had[node.inode], f"{old} -> {new} gives more at {path}"


@settings(max_examples=500)
@given(rules=rule_sets, old=st.sampled_from(PATHS), new=st.sampled_from(PATHS))
def test_a_directory_that_may_move_gains_nothing_below(rules: list[Rule], old: VirtualPath, new: VirtualPath) -> None:
    """The decision is about all names that could be below, not only those that are there now."""
    here, there = Rules.of(rules).at(old.parts), Rules.of(rules).at(new.parts)
    if here.may_move_to(there):
        for path in (VirtualPath(), *PATHS):
            assert there.at(path.parts).allowed <= here.at(path.parts).allowed


@pytest.mark.parametrize("gain", ["read", "delete", "overwrite", "append", "set-time", "chmod"])
def test_a_file_gains_no_right(gain: str) -> None:
    """RNFR and RNTO do not read, delete or change what the rules deny."""
    storage, inner = guarded(
        rule("/in/**", "list rename"), rule("/out/**", f"list rename {gain}"), in__f=b"", out__x=b""
    )
    assert kind_of(storage.rename, at("/in/f"), at("/out/f")) is Kind.DENIED
    assert inner.get("/in/f") == b""


def test_a_file_may_lose_rights() -> None:
    """It is dropped where less is allowed."""
    storage, inner = guarded(rule("/in/**", "all"), rule("/out/**", "list rename"), in__f=b"1", out__x=b"")
    storage.rename(at("/in/f"), at("/out/f"))
    assert inner.get("/out/f") == b"1"


def test_uploads_under_a_name_for_the_time_being() -> None:
    """Clients that send x.filepart and rename it to x need upload and rename there, no more."""
    storage, inner = guarded(rule("/inbox/**", "list upload rename"), inbox__old=b"")
    put(storage, "/inbox/x.filepart", b"1")
    storage.rename(at("/inbox/x.filepart"), at("/inbox/x"))
    assert inner.get("/inbox/x") == b"1"
    put(storage, "/inbox/y.filepart", b"2")
    assert kind_of(storage.rename, at("/inbox/y.filepart"), at("/inbox/x")) is Kind.EXISTS


def test_a_name_for_the_time_being_under_a_rule_of_its_own() -> None:
    """The rights to the finished file are a part of the rights to the unfinished one."""
    own = rule("/inbox/*.filepart", "list upload overwrite append delete rename")
    storage, inner = guarded(own, rule("/inbox/**", "list upload rename"), inbox__old=b"")
    put(storage, "/inbox/x.filepart", b"1")
    storage.rename(at("/inbox/x.filepart"), at("/inbox/x"))
    assert inner.get("/inbox/x") == b"1"


def test_a_directory_gains_no_right() -> None:
    """Neither the directory itself nor what is, or may be, in it."""
    storage, inner = guarded(
        rule("/in/**", "list rename mkdir"), rule("/out/**", "list rename mkdir rmdir"), in__d__f=b"", out__x=b""
    )
    assert kind_of(storage.rename, at("/in/d"), at("/out/d")) is Kind.DENIED
    storage.rename(at("/in/d"), at("/in/e"))
    assert inner.get("/in/e/f") == b""


def test_a_directory_keeps_what_the_rules_repeat() -> None:
    """Where the same rules stand below both names, the one may become the other."""
    rules = [rule("/*/private/**", "list rename"), rule("/**", "all")]
    storage, inner = guarded(*rules, team__private__secret=b"1")
    storage.rename(at("/team"), at("/group"))
    assert inner.get("/group/private/secret") == b"1"


@pytest.mark.parametrize("swap", [True, False])
def test_a_directory_swapped_in_meanwhile_is_not_moved(swap: bool) -> None:
    """Where only files may go, the storage behind looks at what it renames, not this one before it."""
    storage, inner = guarded(
        rule("/in/*", "all"), rule("/in/**", "list rename"), rule("/out/**", "all"), in__d__secret=b"", out__x=b""
    )
    inner.put("/in/f", b"")
    between(inner, lambda: exchange(inner, "f", "d") if swap else None)
    if swap:
        assert kind_of(storage.rename, at("/in/f"), at("/out/f")) is Kind.DENIED
    else:
        storage.rename(at("/in/f"), at("/out/f"))


def exchange(storage: MemoryStorage, first: str, second: str) -> None:
    """Let two names in /in change places."""
    folder = storage.tree.root.children["in"]
    assert isinstance(folder, Directory)
    children = folder.children
    children[first], children[second] = children[second], children[first]


def between(storage: MemoryStorage, happens: Callable[[], object]) -> None:
    """Let something happen after the last look of the rules at *storage*, and before it renames."""
    rename = storage.rename

    def later(old: VirtualPath, new: VirtualPath, *, may_replace: bool = True, any_kind: bool = True) -> None:
        happens()
        rename(old, new, may_replace=may_replace, any_kind=any_kind)

    storage.rename = later  # type: ignore[method-assign]
