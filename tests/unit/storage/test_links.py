"""Links that the jail makes: what they say on the disk, and that they never lead out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind
from ftpsd.storage.disk.walk import relative_text
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.recoded import RecodedStorage
from ftpsd.storage.uploads.policy import UploadPolicy
from tests.contracts.storages import at, get, kind_of, names
from tests.unit.storage.conftest import OpenJail


@pytest.fixture
def tree(jail: LocalJail, home: Path) -> LocalJail:
    """Return a jail with /a, /d/b, /d/e/ and /f/."""
    (home / "d/e").mkdir(parents=True)
    (home / "f").mkdir()
    (home / "a").write_bytes(b"first")
    (home / "d/b").write_bytes(b"second")
    return jail


@pytest.mark.parametrize(
    ("link", "target", "text"),
    [
        ("/link", "/a", "a"),
        ("/link", "/d/b", "d/b"),
        ("/d/link", "/d/b", "b"),
        ("/d/link", "/a", "../a"),
        ("/d/e/link", "/a", "../../a"),
        ("/d/e/link", "/d/b", "../b"),
        ("/f/link", "/d/b", "../d/b"),
        ("/f/link", "/d", "../d"),
        ("/two words", "/a", "a"),
    ],
)
def test_what_a_link_says(tree: LocalJail, home: Path, link: str, target: str, text: str) -> None:
    """The way from the link's directory, so that every program finds the same file."""
    tree.make_link(at(link), at(target))
    assert os.readlink(home / link[1:]) == text
    assert os.path.samefile(home / link[1:], home / target[1:])
    assert tree.stat(at(link)).unique == tree.stat(at(target)).unique


def test_a_link_made_through_links(tree: LocalJail, home: Path) -> None:
    """It counts from where it really is, and leads through the names that the user has said."""
    (home / "deep").symlink_to("d/e")
    (home / "current").symlink_to("d")
    tree.make_link(at("/deep/link"), at("/current/b"))
    assert os.readlink(home / "d/e/link") == "../../current/b"
    (home / "f/b").write_bytes(b"other")
    (home / "current").unlink()
    (home / "current").symlink_to("f")
    assert get(tree, "/d/e/link") == (home / "d/e/link").read_bytes() == b"other"


def test_a_home_that_moves_takes_its_links_along(tree: LocalJail, home: Path, open_jail: OpenJail) -> None:
    """Restored elsewhere, or seen by another program under another path, they lead to the same."""
    tree.make_link(at("/d/link"), at("/a"))
    home.rename(home.with_name("moved"))
    assert (home.with_name("moved") / "d/link").read_bytes() == b"first"


def test_a_link_that_is_moved_stays_inside(tree: LocalJail, home: Path, outside: Path) -> None:
    """The target of a link counts from its new place, as everywhere; above the root there is nothing."""
    tree.make_link(at("/d/e/link"), at("/a"))
    tree.rename(at("/d/e/link"), at("/link"))
    assert os.readlink(home / "link") == "../../a"
    (home.parent / "a").write_bytes(b"secret")
    (home.parent.parent / "a").write_bytes(b"secret")
    assert kind_of(tree.open_source, at("/link")) is Kind.NOT_FOUND
    assert "link" not in names(tree)


OUT: dict[str, Callable[[Path], str]] = {
    "absolute": str,
    "relative": lambda outside: f"../{outside.name}",
    "file": lambda outside: f"{outside}/secret",
    "nothing": lambda outside: f"{outside}/none",
}


@pytest.mark.parametrize("below", ["", "/secret", "/none"])
@pytest.mark.parametrize("way", OUT)
def test_no_link_to_what_leads_out(tree: LocalJail, home: Path, outside: Path, way: str, below: str) -> None:
    """Nobody learns whether there is something outside."""
    (home / "out").symlink_to(OUT[way](outside))
    assert kind_of(tree.make_link, at("/link"), at(f"/out{below}")) is Kind.NOT_FOUND
    assert kind_of(tree.make_link, at("/out/link"), at("/a")) is Kind.NOT_FOUND
    assert (os.listdir(outside), (home / "link").is_symlink()) == (["secret"], False)


def test_where_no_link_is_followed_none_is_made(open_jail: OpenJail, home: Path) -> None:
    """symlinks: none. Whether the target is there makes no difference."""
    (home / "a").write_bytes(b"first")
    jail = open_jail(symlinks="none")
    assert [kind_of(jail.make_link, at("/link"), at(target)) for target in ("/a", "/none")] == [Kind.NO_LINKS] * 2
    assert os.listdir(home) == ["a"]


def test_names_on_disk_are_those_of_the_tree(tmp_path: Path) -> None:
    """In a tree of another charset the text of a link is in that charset, as the names are that it is made of."""
    jail = LocalJail.open(tmp_path, uploads=UploadPolicy(durable=False), owner="u")
    storage = RecodedStorage(jail, "gbk")
    storage.make_directory(at("/目录"))
    storage.make_directory(at("/目录/里"))
    storage.make_link(at("/链接"), at("/目录/里"))
    assert os.readlink(os.path.join(os.fsencode(tmp_path), "链接".encode("gbk"))) == "目录/里".encode("gbk")
    assert names(storage, "/目录") == ["里"]
    assert names(storage) == ["目录", "链接"]
    assert kind_of(storage.make_link, at("/\N{SNOWMAN}\N{GRINNING FACE}"), at("/目录")) is Kind.BAD_NAME


@pytest.mark.parametrize(
    ("directory", "target", "text"),
    [
        ([], [b"a"], b"a"),
        ([b"a"], [b"b"], b"../b"),
        ([b"a", b"b"], [b"a", b"c"], b"../c"),
        ([b"a", b"b"], [b"a", b"b", b"c", b"d"], b"c/d"),
        ([b"a", b"x", b"c"], [b"a", b"b", b"c"], b"../../b/c"),
    ],
)
def test_relative_text(directory: list[bytes], target: list[bytes], text: bytes) -> None:
    """Up as far as the names differ, and down again."""
    assert relative_text(directory, target) == text
