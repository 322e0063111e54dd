"""Setting one key of a user: exactly that changes, whatever the style of the file, and comments stay."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from ftpsd.config.editing.edit import EditRefused, locked
from ftpsd.config.editing.settings import REMOVED
from ftpsd.config.editing.switching import set_enabled
from ftpsd.config.parsing.document import parse

TEXT = """\
# all of them
groups: {g: {home: "/srv/{user}"}}
users:
  alice:   # the first
    # where she works
    home: /srv/alice   # on the big disk
    networks:          # the offices
      - 192.0.2.0/24   # Berlin
      # and another
      - 198.51.100.7

    enabled: true
  bob: {home: /srv/bob, sessions: 2}   # short
  carol:
    home: "/srv/carol"
# the end
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "users.yaml"
    file.write_text(TEXT)
    return file


def changed(path: Path, name: str, text: str = TEXT, **changes: Any) -> str:
    path.write_bytes(text.encode())
    with locked(path) as file:
        file.set(name, changes)
        file.save()
    return path.read_bytes().decode()


def test_exactly_the_key_changes(path: Path) -> None:
    """A scalar, a block, a key that was not there, one that goes; in block and in flow style."""
    cases: list[tuple[str, dict[str, Any], str, str]] = [
        ("alice", {"home": "/srv/other"}, "home: /srv/alice   #", "home: /srv/other   #"),
        ("alice", {"enabled": False}, "enabled: true", "enabled: false"),
        (
            "alice",
            {"networks": ["192.0.2.0/24"]},
            "networks:          # the offices\n      - 192.0.2.0/24   # Berlin\n      # and another\n"
            "      - 198.51.100.7\n",
            'networks: ["192.0.2.0/24"]          # the offices\n',
        ),
        ("alice", {"sessions": 3}, "enabled: true\n", "enabled: true\n    sessions: 3\n"),
        ("alice", {"home": REMOVED, "group": "g"}, "    home: /srv/alice   # on the big disk\n", ""),
        ("bob", {"sessions": 5}, "sessions: 2", "sessions: 5"),
        ("bob", {"sessions": REMOVED}, ", sessions: 2", ""),
        ("bob", {"home": REMOVED, "group": "g"}, "{home: /srv/bob, ", "{group: g, "),
        ("bob", {"expires": "2030-01-01"}, "bob: {", 'bob: {expires: "2030-01-01", '),
        (
            "carol",
            {"hours": {"days": ["mon-fri"], "from": "06:00", "zone": "Europe/Berlin"}},
            'home: "/srv/carol"\n',
            'home: "/srv/carol"\n    hours: {days: [mon-fri], from: "06:00", zone: Europe/Berlin}\n',
        ),
        (
            "carol",
            {"networks": None, "rules": []},
            '"/srv/carol"\n',
            '"/srv/carol"\n    networks: null\n    rules: []\n',
        ),
    ]
    for newline in ("\n", "\r\n"):
        for name, changes, before, after in cases:
            text = TEXT.replace("\n", newline)
            expected = TEXT.replace(before, after, 1)
            if changes.get("group") and name == "alice":
                expected = expected.replace("enabled: true\n", "enabled: true\n    group: g\n")
            assert changed(path, name, text, **changes) == expected.replace("\n", newline), (name, changes)


def test_a_bad_value_is_told_by_its_key_and_nothing_is_written(path: Path) -> None:
    """One sentence for each, with the fix; none of the changes is made."""
    cases: list[tuple[dict[str, Any], str]] = [
        (
            {"networks": ["10.0.0.1/8"], "sessions": 5},
            "networks[0]: 10.0.0.1/8 has bits beyond its prefix; did you mean",
        ),
        ({"hours": {"from": "25:00"}}, "hours.from: 25:00 is no time of day"),
        ({"group": "h"}, "group: there is no group h; the groups are g"),
        ({"home": REMOVED}, "home: missing; add home: to users.alice"),
        ({"sessions": 0, "enabled": "no"}, "enabled: must be true or false, not no\nsessions: 0 is too small"),
    ]
    for changes, sentence in cases:
        with pytest.raises(EditRefused) as caught, locked(path) as file:
            file.set("alice", changes)
        assert str(caught.value).startswith(sentence), changes
        assert str(caught.value).endswith("Nothing was written.")
        assert path.read_text() == TEXT
    with pytest.raises(EditRefused, match="no user zoe"), locked(path) as file:
        file.set("zoe", {"enabled": True})


def test_the_switch(path: Path) -> None:
    """Disabled is disabled once, and enabled again it is the file of before."""
    assert not set_enabled(path, "alice", True)
    assert set_enabled(path, "alice", False)
    assert not set_enabled(path, "alice", False)
    assert set_enabled(path, "alice", True)
    assert path.read_text() == TEXT
    assert set_enabled(path, "bob", False)
    assert "bob: {enabled: false, home: /srv/bob, sessions: 2}   # short" in path.read_text()


def test_any_order_of_changes_leaves_the_rest(path: Path) -> None:
    """Random changes, one behind the other: the values are those that were set, and the comments of others stay."""
    random_ = random.Random(8)
    values: dict[str, list[Any]] = {
        "home": ["/a b", "/ü", 'q"uo#te'],
        "sessions": [1, 7, REMOVED],
        "networks": [[], ["10.0.0.0/8", "2001:db8::/32"], None, REMOVED],
        "rules": [[{"path": "/**", "allow": ["list", "read"]}], [], REMOVED],
        "quota": [{"bytes": "1GiB", "files": None}, REMOVED],
        "expires": ["2031-01-01T10:00:00Z", REMOVED],
        "enabled": [True, False, REMOVED],
    }
    expected = {name: dict(user) for name, user in parse(TEXT, "f").root.value["users"].items()}
    for _ in range(150):
        name, key = random_.choice(list(expected)), random_.choice(list(values))
        value = random_.choice(values[key])
        with locked(path) as file:
            file.set(name, {key: value})
            file.save()
        expected[name].pop(key, None)
        if value is not REMOVED:
            expected[name][key] = value
        assert parse(path.read_text(), "f").root.value["users"] == expected
    for comment in ("# all of them", "# the first", "# where she works", "# on the big disk", "# short", "# the end"):
        assert comment in path.read_text()
