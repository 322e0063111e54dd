"""A directory of data keys that is empty or old, and what a bounded look at files tells of it; files with two names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind
from ftpsd.storage.sealing.walks.sealing_plain import Links, seal_plain_files
from tests.contracts.storages import at, get, kind_of, put
from tests.unit.storage.sealing.test_vault import DATA, NEW, OLD, POLICY, Ground


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """Return it."""
    return Ground(tmp_path)


def emptied(ground: Ground) -> None:
    """Take all keys away, with the register, as where a disk is not mounted."""
    for path in ground.keys.iterdir():
        path.unlink()


def missed(ground: Ground, *names: str) -> list[tuple[str, str]]:
    """Return severity and text of what a look at these trees tells."""
    vault, trees = ground.vault(), {str(ground.tree(name)): "main" for name in names}
    seen = vault.survey(trees, most=100, of_each=10)
    return [(trouble.severity, trouble.text) for trouble in vault.missed(trees, seen)]


def test_an_emptied_directory_is_an_error(ground: Ground) -> None:
    """Whichever tree has a sealed file, and however deep; trees without one, and new servers, are fine."""
    assert missed(ground, "empty") == []
    jail = ground.jail("alice", ground.vault())
    jail.make_directory(at("/deep"))
    jail.make_directory(at("/deep/er"))
    put(jail, "/deep/er/a", DATA)
    assert missed(ground, "alice", "empty") == []
    emptied(ground)
    ((severity, text),) = missed(ground, "empty", "alice")
    assert severity == "error"
    assert str(ground.folder / "alice/deep/er/a") in text
    assert missed(ground, "empty") == []


def test_an_old_backup_of_the_directory_is_told(ground: Ground) -> None:
    """Keys that were made since are in no register."""
    put(ground.jail("bob", ground.vault()), "/b", DATA)
    backup = {path: path.read_bytes() for path in ground.keys.iterdir()}
    put(ground.jail("alice", ground.vault()), "/a", DATA)
    emptied(ground)
    for path, data in backup.items():
        path.write_bytes(data)
    ((severity, text),) = missed(ground, "alice", "bob")
    assert severity == "warning"
    assert str(ground.folder / "alice/a") in text


def test_no_key_is_made_where_the_directory_has_gone(ground: Ground) -> None:
    """Not even for a tree without a file: that key would be hidden when the disk is mounted again."""
    vault = ground.vault()
    put(ground.jail("alice", vault), "/a", DATA)
    emptied(ground)
    for name in ("alice", "empty"):
        assert kind_of(put, ground.jail(name, vault), "/new", DATA) is Kind.DAMAGED
    assert set(ground.reasons()) == {"missing-key"}
    assert [path.name for path in ground.keys.iterdir() if not path.name.startswith(".")] == []


def test_a_survey_counts(ground: Ground) -> None:
    """Sealed files, those under older keys, plain ones; and stops at its bounds."""
    for number in range(3):
        put(ground.jail("alice", ground.vault(OLD)), f"/old{number}", DATA)
    vault = ground.vault(NEW, OLD)
    put(ground.jail("alice", vault), "/new", DATA)
    (ground.tree("alice") / "plain").write_bytes(DATA)
    trees = {str(ground.tree("alice")): "main"}
    seen = vault.survey(trees, most=100, of_each=100)
    assert (seen.looked, seen.sealed, seen.older, seen.plain, seen.lost, seen.is_whole) == (5, 4, 3, 1, {}, True)
    seen = vault.survey(trees, most=2, of_each=100)
    assert (seen.looked, seen.is_whole) == (2, False)


def test_a_plain_file_with_a_name_elsewhere(ground: Ground) -> None:
    """Both names in encrypted trees become sealed; one that stays plain elsewhere is told of."""
    vault = ground.vault()
    alice, bob, outside = ground.tree("alice"), ground.tree("bob"), ground.tree("outside")
    (alice / "both").write_bytes(DATA)
    os.link(alice / "both", bob / "both")
    (alice / "left").write_bytes(DATA)
    os.link(alice / "left", outside / "left")
    inode = (outside / "left").stat().st_ino
    links = Links()
    for tree in (alice, bob):
        assert set(seal_plain_files(str(tree), "main", vault, POLICY, links)) == {None}
    (told,) = links.left()
    assert told.startswith(f"{alice / 'left'}: another name")
    assert told.endswith(f"-inum {inode}")
    for name in ("alice", "bob"):
        assert get(ground.jail(name, vault), "/both") == DATA
        assert DATA[:100] not in (ground.folder / name / "both").read_bytes()
    assert (outside / "left").read_bytes() == DATA


def test_a_name_that_no_client_has_is_told(ground: Ground) -> None:
    """With the name: the file stays plain, and somebody has to find it."""
    tree = ground.tree("alice")
    (tree / "a\nb").write_bytes(DATA)
    (told,) = seal_plain_files(str(tree), "main", ground.vault(), POLICY, Links())
    assert told is not None
    assert told.startswith(f"{tree}/a\nb: ")


def test_a_sealed_file_with_two_names_is_rekeyed_once(ground: Ground) -> None:
    """In one tree, or in two; and is unreadable under both when its key is destroyed."""
    put(ground.jail("alice", ground.vault(OLD)), "/a", DATA)
    for name in ("alice/b", "bob/c"):
        ground.tree("bob")
        os.link(ground.folder / "alice/a", ground.folder / name)
    vault = ground.vault(NEW, OLD)
    progress = ground.rewrap(vault, "alice", "bob")
    assert (progress.looked, progress.done, progress.current, progress.failed) == (3, 1, 2, 0)
    jail = ground.jail("alice", ground.vault(NEW))
    assert get(jail, "/a") == get(jail, "/b") == DATA
    with vault.files.locked():
        for record in vault.holding([str(ground.folder / "alice")]):
            vault.files.destroy(record, "me")
    for name in "ab":
        assert kind_of(jail.open_source, at(f"/{name}")) is Kind.DAMAGED
