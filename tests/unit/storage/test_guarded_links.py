"""GuardedStorage: where users make links, by which other rules would apply to a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.storage.base import Kind
from ftpsd.storage.rules import Rules
from ftpsd.values.rule import Rule
from tests.contracts.storages import at, kind_of, names
from tests.unit.storage.test_guarded import guarded, rule


@pytest.mark.parametrize(
    "rules",
    [
        [rule("/**", "all")],
        [rule("/**", "upload list")],
        [rule("/**", "upload read")],
        [rule("/", "list"), rule("/**", "upload read")],
        [rule("/top", "all"), rule("/outbox/*", "all"), rule("/**", "all")],
        [rule("/**", "upload list"), rule("/outbox/**")],
    ],
)
def test_where_all_names_are_the_same(rules: list[Rule]) -> None:
    """A user who may upload makes links; rules that never decide, or decide the same, change nothing."""
    storage, inner = guarded(*rules)
    storage.make_link(at("/inbox/link"), at("/outbox/d"))
    assert inner.get("/inbox/link/b") == b"content"


@pytest.mark.parametrize(("link", "target"), [("/work/link", "/outbox/a"), ("/work/link", "/work/a")])
@pytest.mark.parametrize(
    "rules",
    [
        [rule("/outbox/**", "list read"), rule("/**", "all")],
        [rule("/outbox/**"), rule("/**", "all")],
        [rule("/other/name", "list read"), rule("/**", "all")],
        [rule("/*/deep/*.txt", "list"), rule("/**", "all")],
        [rule("/work/**", "all"), rule("/outbox/**", "list read rename")],
        [rule("/work/**", "all"), rule("/outbox/**", "all")],
        [rule("/*", "all"), rule("/*/*", "all")],
        [rule("/**", "list read overwrite append rename delete mkdir rmdir set-time chmod")],
        [],
    ],
)
def test_where_names_differ(rules: list[Rule], link: str, target: str) -> None:
    """
    No links, whatever they lead to: moved later, they or what they lead to could be anything.

    Nor where the user may not upload.
    """
    storage, inner = guarded(*rules)
    inner.put("/work/a", b"mine")
    for wanted in (target, "/outbox/none", "/none"):
        assert kind_of(storage.make_link, at(link), at(wanted)) is Kind.DENIED
    assert names(inner, "/work") == ["a"]


def test_what_cannot_be_seen_is_no_target() -> None:
    """A user who may only upload cannot find out what is there."""
    storage, _ = guarded(rule("/**", "upload"))
    for target in ("/outbox/a", "/outbox/none"):
        assert kind_of(storage.make_link, at("/link"), at(target)) is Kind.NOT_FOUND


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(["a", "b", "*", "a*"]), max_size=3),
            st.booleans(),
            st.sampled_from(["all", "list read", "upload list"]),
        ),
        max_size=4,
    ),
    st.lists(st.lists(st.sampled_from(["a", "b", "ab", "c"]), min_size=1, max_size=4), min_size=2, max_size=8),
)
def test_same_for_all_means_all(patterns: list[tuple[list[str], bool, str]], paths: list[list[str]]) -> None:
    """Where rules are said to be the same for all names, no two names have different permissions."""
    views = Rules.of(
        rule("/" + "/".join([*pattern, *(["**"] if is_tree else [])]), allow) for pattern, is_tree, allow in patterns
    )
    allowed = {views.at(parts).allowed for parts in paths}
    assert len(allowed) == 1 or not views.are_the_same_for_all
