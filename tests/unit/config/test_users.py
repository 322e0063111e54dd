"""users.yaml: roles resolved, users as records, and what is refused."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from ftpsd.config.units import UNLIMITED
from ftpsd.config.users import MAX_NAME, Mount, check_pattern
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import ALL, Permission
from ftpsd.values.quota import Quota
from ftpsd.values.rule import Rule
from tests.unit.config.samples import FOLDER, HASH, users, users_complaints


def test_a_user_needs_a_home_only() -> None:
    """Without role and rules a user has full access to the home."""
    alice = users("users: {alice: {home: alice}}").users["alice"]
    assert (alice.home, alice.rules, alice.password, alice.enabled) == (FOLDER / "alice", None, None, True)


def test_a_role_is_resolved() -> None:
    """A user of a role has the rules of the role."""
    found = users("roles: {r: {rules: [{path: /in/**, allow: [list, upload]}]}}\nusers: {a: {home: /h, role: r}}")
    assert found.users["a"].rules == (Rule("/in/**", frozenset({Permission.LIST, Permission.UPLOAD})),)


@pytest.mark.parametrize("written", ["all", "[all]", "[all, read]"])
def test_all_is_every_permission(written: str) -> None:
    """all may stand alone or in a list."""
    rules = users(f"users: {{a: {{home: /h, rules: [{{path: /, allow: {written}}}]}}}}").users["a"].rules
    assert rules == (Rule("/", ALL),)


def test_no_rules_allow_nothing() -> None:
    """An empty list of rules is not the same as none: it allows nothing."""
    assert users("users: {a: {home: /h, rules: []}}").users["a"].rules == ()


def test_every_key_arrives() -> None:
    """All that a user is given arrives in the record, in base units."""
    text = (
        f"users:\n  a:\n    password: {HASH}\n    home: /h\n    networks: [10.0.0.0/8, 192.0.2.7]\n    sessions: 2\n"
        "    download_rate: 1MiB/s\n    upload_rate: unlimited\n    expires: 2030-12-31T18:00:00+01:00\n"
        "    enabled: false\n    data_session_reuse: offered\n    upload_end: fin\n"
    )
    user = users(text).users["a"]
    assert (user.password, user.networks) == (HASH, (ip_network("10.0.0.0/8"), ip_network("192.0.2.7")))
    assert (user.sessions, user.download_rate, user.upload_rate) == (2, 2**20, UNLIMITED)
    assert user.expires == datetime(2030, 12, 31, 17, tzinfo=UTC)
    assert (user.enabled, user.data_session_reuse, user.upload_end) == (False, "offered", "fin")


def test_mounts_arrive() -> None:
    """A mount has a path, a directory, and the rules of its role, its own, or none."""
    mounts = users(
        "roles: {r: {rules: [{path: /in/**, allow: [list]}]}}\n"
        "users: {a: {home: /h, mounts: [{path: /b, directory: d, role: r}, {path: /b/c/, directory: /d, rules: []},\n"
        "  {path: /e, directory: /e}]}}\n"
    )
    rules = (Rule("/in/**", frozenset({Permission.LIST})),)
    assert mounts.users["a"].mounts == (
        Mount(VirtualPath(("b",)), FOLDER / "d", rules, "r"),
        Mount(VirtualPath(("b", "c")), Path("/d"), ()),
        Mount(VirtualPath(("e",)), Path("/e")),
    )


@pytest.mark.parametrize(
    ("written", "quota"),
    [
        ("{bytes: 10GiB, files: 10000}", Quota(10 << 30, 10_000)),
        ("{bytes: 1000}", Quota(1000)),
        ("{files: 1}", Quota(None, 1)),
        ("{bytes: null, files: null}", None),
        ("{}", None),
        ("null", None),
    ],
)
def test_quotas_arrive(written: str, quota: Quota | None) -> None:
    """Bytes as a size, files as a number, and nothing for what is not bounded."""
    assert users(f"users: {{a: {{home: /h, quota: {written}}}}}").users["a"].quota == quota


def test_a_date_lasts_to_its_end() -> None:
    """A user who expires on a date may still work on that day."""
    assert users("users: {a: {home: /h, expires: 2030-12-31}}").users["a"].expires == datetime(2031, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "users:\n", "roles:\nusers:\n", "{}", "# nothing\n"])
def test_nobody_is_fine(text: str) -> None:
    """A file without users is a good file."""
    assert dict(users(text).users) == {}


@pytest.mark.parametrize("name", ["no", "123", "null", "~", "anna maria", "Jürgen", "a" * MAX_NAME])
def test_a_name_is_text(name: str) -> None:
    """A name that looks like something else in YAML is a name."""
    assert list(users(f"users: {{{name}: {{home: /h}}}}").users) == [name]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('users: {"": {home: /h}}', "users.yaml:1:9: users.: a user name must not be empty"),
        ('users: {"a\\nb": {home: /h}}', "users.yaml:1:9: users.a\\nb: a user name cannot hold control characters"),
        (f"users: {{? {'a' * 256} : {{home: /h}}}}", "users.yaml:1:11: users.aaa"),
        ("users: {a: {}}", "users.yaml:1:12: users.a.home: missing; add home: to users.a"),
        ("users: {a: null}", "users.yaml:1:12: users.a: must be a section with keys of its own, not nothing"),
        (
            "users: {home: {home: /h, hom: 1}}",
            "users.yaml:1:26: users.home.hom: not a key of users.home; did you mean home?",
        ),
        (
            "users: {a: {home: /h, role: partnr}}\nroles: {partner: {rules: []}}",
            "users.yaml:1:29: users.a.role: there is no",
        ),
        (
            "users: {a: {home: /h, role: x, rules: []}}\nroles: {x: {rules: []}}",
            "users.yaml:1:39: users.a.rules: a user has",
        ),
        ("users: {a: {home: /h, networks: [10.0.0.1/8]}}", "users.yaml:1:34: users.a.networks[0]: 10.0.0.1/8 has bits"),
        ("users: {a: {home: /h, networks: [5]}}", "users.yaml:1:34: users.a.networks[0]: 5 is not a network"),
        ("users: {a: {home: /h, expires: 2030-13-01}}", "users.yaml:1:32: users.a.expires: 2030-13-01 is not a date"),
        (
            "users: {a: {home: /h, expires: 2030-01-01T10:00}}",
            "users.yaml:1:32: users.a.expires: 2030-01-01T10:00 has no",
        ),
        ("users: {a: {home: /h, expires: 9999-12-31}}", "users.yaml:1:32: users.a.expires: 9999-12-31 is not a date"),
        ("users: {a: {home: /h, enabled: no}}", "users.yaml:1:32: users.a.enabled: must be true or false, not no"),
        (
            "users: {a: {home: /h, colour: x}}",
            "users.yaml:1:23: users.a.colour: not a key of users.a; its keys are home",
        ),
        (
            "users: {a: {home: /h, mounts: [{path: /, directory: /d}]}}",
            "users.yaml:1:39: users.a.mounts[0].path: / is the home; a mount needs a name",
        ),
        (
            "users: {a: {home: /h, mounts: [{path: b, directory: /d}]}}",
            "users.yaml:1:39: users.a.mounts[0].path: b is not a path of the user's home",
        ),
        (
            "users: {a: {home: /h, mounts: [{path: /b/../c, directory: /d}]}}",
            "users.yaml:1:39: users.a.mounts[0].path: /b/../c has //, . or .. in it; write /c",
        ),
        (
            'users: {a: {home: /h, mounts: [{path: "/b\tc", directory: /d}]}}',
            "users.yaml:1:39: users.a.mounts[0].path: /b?c cannot be a path: Names cannot hold control characters.",
        ),
        (
            "users: {a: {home: /h, mounts: [{path: /b/.FTPSD-x, directory: /d}]}}",
            "users.yaml:1:39: users.a.mounts[0].path: names that begin with .ftpsd- belong to the server",
        ),
        (
            "users: {a: {home: /h, mounts: [{path: /b}]}}",
            "users.yaml:1:32: users.a.mounts[0].directory: missing; add directory: to users.a.mounts[0]",
        ),
        (
            "users: {a: {home: /h, mounts: [{path: /b, directory: /d}, {path: /b/, directory: /e}]}}",
            "users.yaml:1:66: users.a.mounts[1].path: /b/ is mounted twice; remove one",
        ),
        (
            "users: {a: {home: /h, mounts: [{path: /b, directory: /d, role: readr}]}}\nroles: {reader: {rules: []}}",
            "users.yaml:1:64: users.a.mounts[0].role: there is no role readr; did you mean reader?",
        ),
        (
            "users: {a: {home: /h, mounts: [{path: /b, directory: /d, role: r, rules: []}]}}\nroles: {r: {rules: []}}",
            "users.yaml:1:74: users.a.mounts[0].rules: a mount has a role or rules, not both; remove one",
        ),
        (
            "users: {a: {home: /h, quota: {bytes: 0}}}",
            "users.yaml:1:38: users.a.quota.bytes: 0 would leave room for nothing; write null for no limit",
        ),
        (
            "users: {a: {home: /h, quota: {files: 0}}}",
            "users.yaml:1:38: users.a.quota.files: 0 would leave room for nothing; write null for no limit",
        ),
        (
            "users: {a: {home: /h, quota: {files: 10GiB}}}",
            "users.yaml:1:38: users.a.quota.files: 10GiB is not a number of files",
        ),
        (
            "users: {a: {home: /h, quota: 10GiB}}",
            "users.yaml:1:30: users.a.quota: must be a section with keys of its own, not 10GiB",
        ),
        (
            "users: {a: {home: /h, rules: [{path: in, allow: all}]}}",
            "users.yaml:1:38: users.a.rules[0].path: in is not a path",
        ),
        (
            "roles: {r: {rules: [{path: /, allow: [raed]}]}}",
            "users.yaml:1:38: roles.r.rules[0].allow: raed is not a permission; did",
        ),
        (
            "roles: {r: {rules: [{path: /, allow: read}]}}",
            "users.yaml:1:38: roles.r.rules[0].allow: must be all or a list",
        ),
        ("users: [a]", "users.yaml:1:8: users: must be a section with keys of its own, not a list"),
    ],
)
def test_one_mistake_is_one_sentence(text: str, complaint: str) -> None:
    """Each mistake is told once, at its place, with what to do."""
    (line,) = users_complaints(text)
    assert line.startswith(complaint)


@pytest.mark.parametrize("password", ["hunter2secret", "$1$old$hash", "$argon2i$v=19$x", "12345678"])
def test_a_password_is_a_hash_and_never_repeated(password: str) -> None:
    """A password in clear is refused without printing it."""
    (line,) = users_complaints(f"users: {{a: {{home: /h, password: '{password}'}}}}")
    assert "not a password hash" in line
    assert password not in line


@pytest.mark.parametrize(
    "stored", [HASH, "$6$salt$hash", "$2b$12$abcdefghijklmnopqrstuv", "$2y$05$x", "$5$s$h", "$y$j9T$x$y"]
)
def test_hashes_of_older_systems_are_accepted(stored: str) -> None:
    """SHA-512 and bcrypt hashes come along from older servers."""
    assert users(f"users: {{a: {{home: /h, password: '{stored}'}}}}").users["a"].password == stored


def test_a_hash_does_not_show() -> None:
    """A record that is logged shows no hash."""
    assert "argon2id" not in repr(users(f"users: {{a: {{home: /h, password: '{HASH}'}}}}"))


@pytest.mark.parametrize(
    "pattern",
    ["/", "/**", "/in", "/in/", "/in/*", "/in/**", "/a/*.csv", "/**/x", "/a**", "//", "/a//b", "/../b", "/a/./b", "x"],
)
def test_patterns_are_those_the_storage_takes(pattern: str) -> None:
    """The storage raises for no pattern that the file may hold, and the file refuses none that the storage takes."""

    def is_accepted_by_storage() -> bool:
        try:
            Rule(pattern, ALL)
        except ValueError:
            return False
        return True

    def is_accepted_by_file() -> bool:
        try:
            check_pattern(pattern)
        except ValueError:
            return False
        return True

    assert is_accepted_by_file() == is_accepted_by_storage()


def test_all_mistakes_of_all_users_come_at_once() -> None:
    """One reading tells what is wrong with every user."""
    lines = users_complaints("users:\n  a: {home: /h, x: 1}\n  a: {home: /h}\n  b: {}\n  c: {home: /h, role: r}\n")
    assert [line.split(":")[1] for line in lines] == ["2", "3", "4", "5"]


@pytest.mark.slow
def test_ten_thousand_users_load_quickly(tmp_path: Path) -> None:
    """A large site starts and reloads without a pause anybody notices (0.8 s where this was measured)."""
    text = "roles: {p: {rules: [{path: /, allow: all}]}}\nusers:\n" + "".join(
        f"  user{n}:\n    password: {HASH}\n    home: /srv/ftpsd/user{n}\n    role: p\n    sessions: 2\n"
        for n in range(10_000)
    )
    started = time.process_time()
    assert len(users(text).users) == 10_000
    assert time.process_time() - started < 4


def test_encodings() -> None:
    """By any name Python knows; UTF-8 unless told."""
    (user,) = users(
        "users: {a: {home: h, encoding: GBK, stored_encoding: windows-1251, "
        "mounts: [{path: /m, directory: d, stored_encoding: latin1}, {path: /n, directory: d}]}}"
    ).users.values()
    assert (user.encoding, user.stored_encoding) == ("gbk", "cp1251")
    assert [mount.stored_encoding for mount in user.mounts] == ["iso8859-1", "utf-8"]


def test_encodings_that_are_none() -> None:
    """Told at their place, with what is wrong."""
    text = "users: {a: {home: h, encoding: klingon, stored_encoding: utf-16}, b: {home: h, encoding: 7}}"
    assert users_complaints(text) == [
        "users.yaml:1:32: users.a.encoding: klingon is no character encoding; write one such as utf-8, gbk or cp1251",
        "users.yaml:1:58: users.a.stored_encoding: in utf-16 ASCII is not written as ASCII; FTP needs that",
        "users.yaml:1:90: users.b.encoding: 7 is no character encoding; write one such as utf-8 or gbk",
    ]
