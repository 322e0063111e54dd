"""GuardedStorage: what a user may do, by rules."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.storage.base import Kind, Storage, StorageError, Terms
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.rules import Rules, component_matches
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule
from tests.contracts.storages import at, entries, get, interrupt, kind_of, names, put, write
from tests.fakes import MemoryStorage

P = Permission


def rule(pattern: str, allow: str = "") -> Rule:
    """Return a rule as the operator writes it: permissions divided by spaces, or "all"."""
    return Rule(pattern, frozenset(P) if allow == "all" else frozenset(map(P, allow.split())))


def guarded(*rules: Rule) -> tuple[GuardedStorage, MemoryStorage]:
    """Return a guarded storage with a few files, and what is behind it."""
    inner = MemoryStorage()
    for path in ("/outbox/a", "/outbox/d/b", "/inbox/old", "/top"):
        inner.put(path, b"content")
    return GuardedStorage(inner, rules), inner


def _matches(pattern: list[str], parts: list[str]) -> bool:
    return len(pattern) == len(parts) and all(map(component_matches, pattern, parts))


class TestPatterns:
    """Which paths a rule is about."""

    @pytest.mark.parametrize(
        ("pattern", "matching", "others"),
        [
            ("/outbox/**", ["/outbox", "/outbox/a", "/outbox/a/b/c"], ["/", "/outboxes", "/inbox/outbox"]),
            ("/inbox/*", ["/inbox/a", "/inbox/b c"], ["/inbox", "/inbox/a/b", "/"]),
            ("/a/b", ["/a/b"], ["/a", "/a/b/c", "/a/c", "/A/b"]),
            ("/a/b/", ["/a/b"], ["/a/b/c"]),
            ("/", ["/"], ["/a"]),
            ("/**", ["/", "/a", "/a/b"], []),
            ("/*", ["/a"], ["/", "/a/b"]),
            ("/in?/*.csv", ["/in1/x.csv", "/inx/.csv"], ["/in/x.csv", "/in12/x.csv", "/in1/x.csv.gz"]),
            ("/*/reports/**", ["/2026/reports", "/x/reports/a/b"], ["/reports", "/a/b/reports"]),
            ("/[ab]", ["/[ab]"], ["/a", "/b"]),
            ("/a.c", ["/a.c"], ["/abc"]),
            ("/üñ*", ["/üñicode"], ["/un"]),
        ],
    )
    def test_pattern(self, pattern: str, matching: list[str], others: list[str]) -> None:
        """A pattern matches what its row says, and nothing else of it."""
        rules = Rules.of([rule(pattern, "read")])
        allowed = [path for path in matching + others if rules.at(at(path).parts).allowed]
        assert allowed == matching

    @given(
        st.lists(st.lists(st.sampled_from(["a", "b", "*", "a*", "?"]), max_size=3), max_size=4),
        st.lists(st.sampled_from(["a", "b", "ab", "c"]), max_size=3),
    )
    def test_views_say_what_the_patterns_say(self, patterns: list[list[str]], parts: list[str]) -> None:
        """However a view is found, the first rule that matches component by component decides."""
        rules = [rule("/" + "/".join(pattern), "read") for pattern in patterns]
        expected = next((one for one, pattern in zip(rules, patterns, strict=True) if _matches(pattern, parts)), None)
        views = Rules.of(rules)
        # Twice: what was found is remembered.
        assert [views.at(parts).decided_by for _ in range(2)] == [expected] * 2

    @pytest.mark.parametrize("pattern", ["", "a", "a/b", "/a//b", "/a/../b", "/./a", "/**/a", "/a**", "/a/**b"])
    def test_pattern_that_says_nothing(self, pattern: str) -> None:
        """A pattern that could never match, or not what it seems to, is refused when it is written."""
        with pytest.raises(ValueError, match=r"/|\*\*"):
            rule(pattern)

    def test_first_match_wins(self) -> None:
        """An earlier rule decides, whether it gives more or less."""
        rules = Rules.of([rule("/a/secret/**"), rule("/a/**", "read"), rule("/**", "all")])
        found = [rules.at(at(path).parts).allowed for path in ("/a/secret/x", "/a/x", "/x")]
        assert found == [frozenset(), {P.READ}, frozenset(P)]

    def test_nothing_matches(self) -> None:
        """Where no rule matches nothing is allowed."""
        assert Rules.of([]).at(("a",)).allowed == frozenset()

    @given(st.text("ab*?", max_size=8), st.text("abc", max_size=8))
    def test_component_agrees_with_its_definition(self, pattern: str, name: str) -> None:
        """A component matches as * and ? are defined."""
        assert component_matches(pattern, name) == _defined(pattern, name)

    def test_matching_takes_little_time(self) -> None:
        """A name made for a pattern of many stars does not hold a worker."""
        assert not component_matches("*a" * 60 + "*b", "a" * 255)

    def test_many_rules_remember_little(self) -> None:
        """Names that match rules in ever new combinations do not fill the memory."""
        rules = Rules.of([rule(f"/*{chr(97 + number)}*/x", "read") for number in range(20)])
        for number in range(5000):
            rules.below("".join(chr(97 + bit) for bit in range(20) if number >> bit & 1) + "z")
        assert len(rules._below) <= 64


def _defined(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(_defined(pattern[1:], name[start:]) for start in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and _defined(pattern[1:], name[1:])


class TestReading:
    """stat, list and read."""

    def test_list_is_enough_to_look(self) -> None:
        """With list alone a file can be described and not read."""
        storage, _ = guarded(rule("/outbox/**", "list"))
        assert storage.stat(at("/outbox/a")).size == 7
        assert kind_of(storage.open_source, at("/outbox/a")) is Kind.DENIED

    def test_read_is_enough_to_look(self) -> None:
        """With read alone a file can be described and read, and its directory not listed."""
        storage, _ = guarded(rule("/outbox/**", "read"))
        assert (storage.stat(at("/outbox/a")).size, get(storage, "/outbox/a")) == (7, b"content")
        assert kind_of(storage.list, at("/outbox")) is Kind.NOT_FOUND

    def test_unlisted_is_not_found(self) -> None:
        """A file that may be neither listed nor touched looks like one that is not there."""
        storage, _ = guarded(rule("/outbox/**", "list read"))
        path, missing = at("/inbox/old"), at("/inbox/no")
        for call in (storage.stat, storage.list, storage.open_source, storage.remove_file, storage.remove_directory):
            assert kind_of(call, path) is kind_of(call, missing) is Kind.NOT_FOUND
        assert kind_of(storage.rename, path, at("/outbox/x")) is Kind.NOT_FOUND
        assert kind_of(storage.set_modified, path, 0) is kind_of(storage.set_mode, path, 0) is Kind.NOT_FOUND

    def test_listed_is_denied(self) -> None:
        """An operation on a file that may be listed and no more is DENIED."""
        storage, inner = guarded(rule("/**", "list"))
        path = at("/inbox/old")
        for call in (storage.open_source, storage.remove_file, storage.remove_directory):
            assert kind_of(call, path) is Kind.DENIED
        assert kind_of(storage.rename, path, at("/x")) is Kind.DENIED
        assert kind_of(storage.set_modified, path, 0) is kind_of(storage.set_mode, path, 0) is Kind.DENIED
        assert inner.get("/inbox/old") == b"content"

    def test_listing_leaves_out_what_is_not_listed(self) -> None:
        """A listing shows only what the user may list."""
        storage, _ = guarded(rule("/outbox/**", "list"), rule("/top", "read"), rule("/", "list"))
        assert names(storage) == ["outbox"]

    def test_filtered_listing_ends_only_at_its_end(self) -> None:
        """A piece in which nothing may be listed is not the end."""
        inner = MemoryStorage()
        for number in range(30):
            inner.put(f"/hidden{number}", b"")
        inner.put("/shown", b"")
        storage = GuardedStorage(inner, [rule("/shown", "list"), rule("/", "list")])
        assert [entry.name for entry in entries(storage, count=5)] == ["shown"]

    def test_own_unfinished_upload_is_seen_with_list(self) -> None:
        """SIZE answers for a partial where the name may be listed."""
        storage, _ = guarded(rule("/inbox/**", "list upload"))
        interrupt(storage, "/inbox/new", b"123")
        assert storage.stat(at("/inbox/new")).size == 3


class TestUpload:
    """upload, overwrite and append."""

    @pytest.mark.parametrize(
        ("allow", "new", "over", "resume", "append", "append_new"),
        [
            ("upload", True, False, False, False, True),
            ("overwrite", False, True, True, False, False),
            ("append", False, False, False, True, False),
            ("upload overwrite", True, True, True, False, True),
            ("upload append", True, False, False, True, True),
            ("upload overwrite append", True, True, True, True, True),
            ("list read delete rename mkdir rmdir set-time chmod", False, False, False, False, False),
        ],
    )
    def test_what_each_gives(
        self, allow: str, new: bool, over: bool, resume: bool, append: bool, append_new: bool
    ) -> None:
        """upload is for new files, overwrite for existing ones also from an offset on, append for appending to them."""
        found = []
        refusals = []
        for path, options in [
            ("/inbox/new", {}),
            ("/inbox/old", {}),
            ("/inbox/old", {"offset": 3}),
            ("/inbox/old", {"append": True}),
            ("/inbox/new", {"append": True}),
        ]:
            storage, inner = guarded(rule("/inbox/**", allow))
            try:
                put(storage, path, b"xyz", **options)  # type: ignore[arg-type]
                found.append(True)
            except StorageError as error:
                refusals.append(error.kind)
                assert names(inner, "/inbox") == ["old"]
                assert inner.get("/inbox/old") == b"content"
                found.append(False)
        assert found == [new, over, resume, append, append_new]
        assert set(refusals) <= {Kind.DENIED, Kind.EXISTS}

    def test_refusals_have_their_kinds(self) -> None:
        """Without a permission DENIED; a file in the way of who may only upload is EXISTS."""
        storage, _ = guarded(rule("/inbox/**", "upload"), rule("/outbox/**", "list read"))
        kinds = [kind_of(storage.open_sink, at(path)) for path in ("/inbox/old", "/outbox/new", "/outbox/a", "/x")]
        assert kinds == [Kind.EXISTS, Kind.DENIED, Kind.DENIED, Kind.DENIED]

    def test_overwrite_alone_creates_nothing(self) -> None:
        """A user who may only overwrite is denied a new name."""
        storage, _ = guarded(rule("/inbox/**", "list overwrite"))
        assert kind_of(storage.open_sink, at("/inbox/new")) is Kind.DENIED

    def test_file_that_appears_is_not_overwritten(self) -> None:
        """An upload-only user does not replace what came in between open and commit."""
        storage, inner = guarded(rule("/inbox/**", "upload"))
        sink = storage.open_sink(at("/inbox/new"))
        write(sink, b"mine")
        put(inner, "/inbox/new", b"theirs")
        assert kind_of(sink.commit) is Kind.EXISTS
        assert inner.get("/inbox/new") == b"theirs"

    def test_append_only_user_does_not_overwrite_in_a_race(self) -> None:
        """A user who may only append does not bring back the old content of a file that was replaced meanwhile."""
        storage, inner = guarded(rule("/inbox/**", "append"))
        sink = storage.open_sink(at("/inbox/old"), Terms(append=True))
        write(sink, b"mine")
        put(inner, "/inbox/old", b"theirs")
        assert kind_of(sink.commit) is Kind.BUSY
        assert inner.get("/inbox/old") == b"theirs"

    def test_own_partial_is_resumed_with_upload(self) -> None:
        """Going on with one's own new upload replaces nothing."""
        storage, inner = guarded(rule("/inbox/**", "upload"))
        interrupt(storage, "/inbox/new", b"123")
        put(storage, "/inbox/new", b"4", offset=3)
        assert inner.get("/inbox/new") == b"1234"

    def test_unique_needs_upload(self) -> None:
        """STOU needs upload and no more."""
        storage, _ = guarded(rule("/inbox/**", "upload"), rule("/outbox/**", "overwrite append list"))
        storage.open_sink(at("/inbox/old"), Terms(unique=True)).commit()
        assert kind_of(storage.open_sink, at("/outbox/a"), Terms(unique=True)) is Kind.DENIED

    def test_unique_name_does_not_slip_under_another_rule(self) -> None:
        """The name that is chosen must be allowed as well."""
        storage, inner = guarded(rule("/inbox/old-*", "list"), rule("/inbox/**", "upload"))
        assert kind_of(storage.open_sink, at("/inbox/old"), Terms(unique=True)) is Kind.DENIED
        assert names(inner, "/inbox") == ["old"]

    def test_caller_may_ask_for_less(self) -> None:
        """may_replace and may_create of the caller hold where the rules give more."""
        storage, _ = guarded(rule("/**", "all"))
        assert kind_of(storage.open_sink, at("/inbox/old"), Terms(may_replace=False)) is Kind.EXISTS
        assert kind_of(storage.open_sink, at("/inbox/new"), Terms(may_create=False)) is Kind.NOT_FOUND


class TestChanging:
    """mkdir, rmdir, delete, set-time and chmod."""

    @pytest.mark.parametrize("permission", sorted(set(P) - {P.UPLOAD, P.OVERWRITE, P.APPEND, P.RENAME}))
    def test_each_needs_its_own(self, permission: Permission) -> None:
        """One permission gives what it names and nothing else."""
        calls: dict[Permission, Callable[[Storage], object]] = {
            P.LIST: lambda s: s.list(at("/inbox")),
            P.READ: lambda s: s.open_source(at("/inbox/old")),
            P.DELETE: lambda s: s.remove_file(at("/inbox/old")),
            P.MKDIR: lambda s: s.make_directory(at("/inbox/d")),
            P.RMDIR: lambda s: s.remove_directory(at("/inbox/empty")),
            P.SET_TIME: lambda s: s.set_modified(at("/inbox/old"), 0),
            P.CHMOD: lambda s: s.set_mode(at("/inbox/old"), 0o600),
        }
        done = []
        refusals = []
        for needed, call in calls.items():
            storage, inner = guarded(rule("/inbox/**", permission.value))
            inner.make_directory(at("/inbox/empty"))
            try:
                call(storage)
                done.append(needed)
            except StorageError as error:
                refusals.append(error.kind)
        assert done == [permission]
        assert set(refusals) <= {Kind.DENIED, Kind.NOT_FOUND}

    def test_making_is_denied(self) -> None:
        """MKD where it is not allowed is DENIED, whatever is there."""
        storage, _ = guarded(rule("/outbox/**", "list"))
        kinds = {
            kind_of(storage.make_link, at(path), at("/outbox/a")) for path in ("/outbox/new", "/inbox/old", "/x/y")
        }
        assert kinds == {Kind.DENIED}
        kinds = {kind_of(storage.make_directory, at(path)) for path in ("/outbox/new", "/inbox", "/nowhere/x")}
        assert kinds == {Kind.DENIED}


class TestRename:
    """rename, on both sides and with all that is in a directory."""

    def test_both_sides_need_it(self) -> None:
        """A file leaves and arrives only where rename is allowed."""
        storage, inner = guarded(rule("/inbox/**", "list rename"), rule("/outbox/**", "list"))
        assert kind_of(storage.rename, at("/inbox/old"), at("/outbox/x")) is Kind.DENIED
        assert kind_of(storage.rename, at("/outbox/a"), at("/inbox/x")) is Kind.DENIED
        storage.rename(at("/inbox/old"), at("/inbox/new"))
        assert names(inner, "/inbox") == ["new"]

    def test_replacing_needs_overwrite(self) -> None:
        """Without overwrite a rename replaces nothing."""
        storage, inner = guarded(rule("/inbox/**", "list rename"))
        inner.put("/inbox/new", b"new")
        assert kind_of(storage.rename, at("/inbox/new"), at("/inbox/old")) is Kind.EXISTS
        storage, inner = guarded(rule("/inbox/**", "list rename overwrite"))
        inner.put("/inbox/new", b"new")
        storage.rename(at("/inbox/new"), at("/inbox/old"))
        assert inner.get("/inbox/old") == b"new"

    def test_directory_does_not_carry_out_what_is_forbidden(self) -> None:
        """A secret directory is not read by moving the one above it."""
        storage, inner = guarded(rule("/team/private/**"), rule("/**", "all"))
        inner.put("/team/private/secret", b"secret")
        assert kind_of(storage.rename, at("/team"), at("/open")) is Kind.DENIED
        assert inner.get("/team/private/secret") == b"secret"

    def test_directory_does_not_carry_in_what_is_forbidden(self) -> None:
        """A directory is not moved to where something in it would come under a forbidden name."""
        storage, inner = guarded(rule("/team/private/**"), rule("/**", "all"))
        inner.put("/mine/private/forged", b"")
        assert kind_of(storage.rename, at("/mine"), at("/team")) is Kind.DENIED

    def test_contents_that_no_rule_speaks_of_stay_where_they_are_hidden(self) -> None:
        """A right on one level does not take the unknown below it to where all is allowed."""
        storage, inner = guarded(rule("/drop/*", "list rename"), rule("/open/**", "all"))
        inner.put("/drop/d/secret", b"secret")
        inner.put("/open/x", b"")
        assert kind_of(storage.rename, at("/drop/d"), at("/open/d")) is Kind.DENIED
        storage.rename(at("/drop/d"), at("/drop/e"))
        assert inner.get("/drop/e/secret") == b"secret"

    def test_file_beside_a_forbidden_directory_is_renamed(self) -> None:
        """Rules about what could be below a file do not hold the file."""
        storage, inner = guarded(rule("/team/*/private"), rule("/**", "all"))
        inner.put("/team/file", b"1")
        storage.rename(at("/team/file"), at("/team/renamed"))
        assert inner.get("/team/renamed") == b"1"


class TestPerm:
    """The perm fact of MLSx, RFC 3659 section 7.5.5."""

    @pytest.mark.parametrize(
        ("allow", "file", "directory"),
        [
            ("all", "adfrw", "cdeflmp"),
            ("list read", "r", "el"),
            ("list upload", "", "cel"),
            ("list upload overwrite append", "aw", "cel"),
            ("list delete", "d", "elp"),
            ("list rmdir", "", "delp"),
            ("list mkdir rename", "f", "eflm"),
            ("list set-time chmod", "", "el"),
        ],
    )
    def test_letters(self, allow: str, file: str, directory: str) -> None:
        """Each letter is there when the rules allow what it promises, in stat and in listings."""
        storage, _ = guarded(rule("/**", allow))
        listed = {entry.name: entry.perm for entry in entries(storage, "/outbox")}
        assert (storage.stat(at("/outbox/a")).perm, storage.stat(at("/outbox/d")).perm) == (file, directory)
        assert listed == {"a": file, "d": directory}

    def test_letters_about_contents_follow_the_rules_below(self) -> None:
        """A directory says c when its files, not it itself, may be uploaded."""
        storage, _ = guarded(rule("/inbox/*", "upload"), rule("/inbox", "list"), rule("/outbox/**", "list"))
        assert (storage.stat(at("/inbox")).perm, storage.stat(at("/outbox")).perm) == ("cel", "el")

    def test_unfinished_upload(self) -> None:
        """A partial can be gone on with and removed as far as the rules allow, never read."""
        storage, _ = guarded(rule("/**", "all"))
        interrupt(storage, "/inbox/new", b"123")
        assert storage.stat(at("/inbox/new")).perm == "adw"


def test_no_rules_is_full_access() -> None:
    """With None everything is allowed, and the letters say so."""
    inner = MemoryStorage()
    storage: Storage = GuardedStorage(inner, None)
    put(storage, "/a", b"1")
    assert (storage.stat(at("/a")).perm, names(storage)) == ("adfrw", ["a"])


def test_empty_rules_are_no_access() -> None:
    """With no rule at all nothing is allowed."""
    storage, _ = guarded()
    assert kind_of(storage.stat, at("/")) is Kind.NOT_FOUND


def test_close_closes_what_is_behind() -> None:
    """The guarded storage owns its inner one."""
    storage, inner = guarded(rule("/**", "all"))
    storage.close()
    assert kind_of(inner.stat, at("/")) is Kind.IO
