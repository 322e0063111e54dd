"""Homes and mounts, tried by the daemon's user: what is in the way, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ftpsd.config.users import Users, read_users
from ftpsd.service.inspecting.access import Need, needs_of, try_trees
from ftpsd.values.permission import ALL, Permission
from ftpsd.values.rule import Rule
from tests.tools import reachable_folder

NOBODY = 65534

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may be somebody else for a while")


@pytest.fixture
def home() -> Iterator[Path]:
    """A home of root's, and a way to it."""
    with reachable_folder() as folder:
        made = folder / "home"
        made.mkdir()
        made.chmod(0o755)
        yield made


@contextmanager
def nobody() -> Iterator[None]:
    """Be nobody for a while."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def users_of(home: Path, more: str = "") -> Users:
    return read_users(f"users:\n  alice:\n    home: {home}\n{more}", "users.yaml", home.parent)


def tried(home: Path, more: str = "") -> list[str]:
    """Return what is found as nobody, without the path."""
    with nobody():
        return [str(error).replace(str(home), "HOME") for error in try_trees(users_of(home, more))]


@only_root
def test_a_home_of_the_daemons_user_is_fine(home: Path) -> None:
    """Nothing is said, and nothing is left in it."""
    os.chown(home, NOBODY, NOBODY)
    before = home.stat().st_mtime_ns
    assert tried(home) == []
    assert os.listdir(home) == []
    assert home.stat().st_mtime_ns == before


@only_root
def test_a_home_of_somebody_else_cannot_be_written_to(home: Path) -> None:
    """The home that root made, with the command that gives it away."""
    assert tried(home) == [
        "users.yaml:3:11: users.alice.home: HOME cannot be written to by the user nobody (EACCES); "
        "run: chown nobody: HOME"
    ]


@only_root
def test_a_home_that_is_closed_cannot_be_entered(home: Path) -> None:
    """As `--create-home` of root made them: mode 0700."""
    home.chmod(0o700)
    (line,) = tried(home)
    assert "HOME cannot be entered by the user nobody (EACCES)" in line


@only_root
def test_a_home_that_can_be_entered_only(home: Path) -> None:
    """A login would work, and a listing fail."""
    home.chmod(0o711)
    (line,) = tried(home)
    assert "HOME cannot be listed by the user nobody (EACCES)" in line


@only_root
def test_a_folder_on_the_way(home: Path) -> None:
    """The folder that is closed is named, with the command that opens it."""
    inner = home / "in" / "alice"
    inner.mkdir(parents=True)
    os.chown(inner, NOBODY, NOBODY)
    (home / "in").chmod(0o700)
    (line,) = tried(inner)
    assert f"{home}/in on the way to it is closed; run: chmod o+x {home}/in" in line


@only_root
def test_mode_000_of_its_own_user(home: Path) -> None:
    """The remedy is a mode, not an owner."""
    os.chown(home, NOBODY, NOBODY)
    home.chmod(0)
    (line,) = tried(home)
    assert line.endswith("; run: chmod u+rwx HOME")


@only_root
def test_mode_000_is_told_to_root_too(home: Path) -> None:
    """Root can use it all the same, so nothing is refused, and it is a warning."""
    home.chmod(0)
    (warning,) = try_trees(users_of(home))
    assert warning.severity == "warning"
    assert "has mode 000, so that not even its owner can use it; run: chmod u+rwx" in warning.message


@only_root
@pytest.mark.parametrize(
    ("allow", "is_fine"), [("[list, read]", True), ("[list]", True), ("[list, upload]", False), ("[mkdir]", False)]
)
def test_only_what_the_rules_allow_is_tried(home: Path, allow: str, is_fine: bool) -> None:
    """A home that its user may only read need not be the daemon's."""
    lines = tried(home, f"    rules: [{{path: /**, allow: {allow}}}]\n")
    assert (lines == []) is is_fine


@only_root
def test_a_directory_that_a_rule_names(home: Path) -> None:
    """The inbox has to be writable, and not the home around it."""
    inbox = home / "inbox"
    inbox.mkdir()
    rules = "    rules: [{path: /inbox/**, allow: [list, upload]}, {path: /, allow: [list]}]\n"
    (line,) = tried(home, rules)
    assert "HOME/inbox cannot be written to" in line
    os.chown(inbox, NOBODY, NOBODY)
    assert tried(home, rules) == []


@only_root
def test_mounts_are_tried(home: Path) -> None:
    """At their own place, by their own rules."""
    os.chown(home, NOBODY, NOBODY)
    shared = home.parent / "shared"
    shared.mkdir(mode=0o700)
    (line,) = tried(home, f"    mounts: [{{path: /shared, directory: {shared}}}]\n")
    assert line.startswith("users.yaml:4:41: users.alice.mounts[0].directory: ")


@only_root
def test_disabled_users_are_left_out(home: Path) -> None:
    """They cannot log in anyway."""
    home.chmod(0)
    assert tried(home, "    enabled: false\n") == []


def test_what_is_missing_is_told_elsewhere(tmp_path: Path) -> None:
    """Once is enough."""
    assert list(try_trees(users_of(tmp_path / "absent"))) == []


def test_a_home_of_many_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of users may share a home."""
    opened: list[object] = []
    real: Callable[..., int] = os.open

    def counted(*arguments: object, **more: object) -> int:
        opened.append(arguments[0])
        return real(*arguments, **more)

    text = "users:\n" + "".join(f"  u{number}: {{home: {tmp_path}}}\n" for number in range(100))
    users = read_users(text, "users.yaml", tmp_path)
    monkeypatch.setattr(os, "open", counted)
    assert list(try_trees(users)) == []
    assert opened.count(tmp_path) == 1


def test_needs_are_of_the_rules() -> None:
    """The root, and what stands in front of each pattern; behind a pattern nothing is known."""
    reads = frozenset({Permission.LIST, Permission.READ})
    assert needs_of(None) == (Need((), lists=True, changes=True),)
    assert needs_of((Rule("/in/*.csv", ALL), Rule("/a/*/b", ALL), Rule("/**", reads))) == (
        Need((), lists=True, changes=False),
        Need(("in",), lists=True, changes=True),
    )
    assert needs_of((Rule("/in/**", ALL), Rule("/in", reads), Rule("/", reads))) == (
        Need((), lists=True, changes=False),
        Need(("in",), lists=True, changes=True),
    )
    assert needs_of((Rule("/report.csv", ALL), Rule("/", reads)))[0].changes
