"""The behaviour of every storage with links that it makes itself (SITE SYMLINK)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, Storage
from ftpsd.values.entry import EntryType
from tests.contracts.each import OfEachHouse
from tests.contracts.storages import House, at, entries, get, interrupt, kind_of, names, put


def planted(house: House) -> Storage:
    """Return a storage with /a, /d/b and /d/e."""
    storage = house.open("user")
    put(storage, "/a", b"first")
    storage.make_directory(at("/d"))
    put(storage, "/d/b", b"second")
    storage.make_directory(at("/d/e"))
    return storage


@pytest.fixture
def tree(tmp_path: Path) -> OfEachHouse[Storage]:
    """Return a storage with /a, /d/b and /d/e."""
    return OfEachHouse(tmp_path, planted)


@pytest.mark.parametrize("link", ["/link", "/d/link", "/d/e/link", "/two words", "/中"])
@pytest.mark.parametrize(("target", "data"), [("/a", b"first"), ("/d/b", b"second")])
def test_a_link_to_a_file(tree: Storage, link: str, target: str, data: bytes) -> None:
    """It is read and described as the file."""
    tree.make_link(at(link), at(target))
    assert get(tree, link) == data
    assert tree.stat(at(link)) == tree.stat(at(target))._replace(name=at(link).name)


def test_a_link_to_a_directory(tree: Storage) -> None:
    """It is listed, entered and written through."""
    tree.make_link(at("/link"), at("/d"))
    assert tree.stat(at("/link")).type is EntryType.DIRECTORY
    assert names(tree, "/link") == names(tree, "/d") == ["b", "e"]
    put(tree, "/link/new", b"third")
    tree.make_directory(at("/link/e/f"))
    assert (get(tree, "/d/new"), names(tree, "/d/e")) == (b"third", ["f"])


def test_a_link_is_listed_as_its_target(tree: Storage) -> None:
    """A listing tells of the file, under the name of the link."""
    tree.make_link(at("/link"), at("/d/b"))
    assert tree.stat(at("/link")) in entries(tree)


def test_a_link_through_a_link(tree: Storage) -> None:
    """Targets and places that are reached through links are where they seem to be."""
    tree.make_link(at("/deep"), at("/d/e"))
    tree.make_link(at("/deep/link"), at("/a"))
    tree.make_link(at("/short"), at("/deep/link"))
    assert get(tree, "/d/e/link") == get(tree, "/short") == b"first"


def test_a_link_leads_to_a_name(tree: Storage) -> None:
    """It leads to whatever has the name of its target, and nowhere while nothing has."""
    tree.make_link(at("/link"), at("/d/b"))
    put(tree, "/d/b", b"newer")
    assert get(tree, "/link") == b"newer"
    tree.rename(at("/d/b"), at("/d/c"))
    assert kind_of(tree.stat, at("/link")) is Kind.NOT_FOUND
    assert "link" not in names(tree)
    tree.rename(at("/d/c"), at("/d/b"))
    assert get(tree, "/link") == b"newer"


def test_a_removed_link_leaves_its_target(tree: Storage) -> None:
    """DELE removes the link, be it to a file or to a directory."""
    tree.make_link(at("/file"), at("/d/b"))
    tree.make_link(at("/folder"), at("/d"))
    tree.remove_file(at("/file"))
    tree.remove_file(at("/folder"))
    assert (names(tree), names(tree, "/d"), get(tree, "/d/b")) == (["a", "d"], ["b", "e"], b"second")


def test_a_link_that_leads_nowhere_is_removed(tree: Storage) -> None:
    """Also when it is in no listing any more."""
    tree.make_link(at("/link"), at("/a"))
    tree.remove_file(at("/a"))
    tree.remove_file(at("/link"))
    tree.make_directory(at("/link"))
    assert names(tree) == ["d", "link"]


def test_a_link_is_no_directory_to_remove(tree: Storage) -> None:
    """RMD of a link to an empty directory removes neither."""
    tree.make_link(at("/link"), at("/d/e"))
    assert kind_of(tree.remove_directory, at("/link")) is Kind.NOT_A_DIRECTORY
    assert names(tree, "/d") == ["b", "e"]


def test_a_renamed_link(tree: Storage) -> None:
    """A rename is about the link, not about its target."""
    tree.make_link(at("/link"), at("/d/b"))
    tree.rename(at("/link"), at("/other"))
    assert (names(tree), get(tree, "/other"), get(tree, "/d/b")) == (["a", "d", "other"], b"second", b"second")


def test_an_upload_goes_through_a_link(tree: Storage) -> None:
    """The link stays a link, and the file it leads to is the new one."""
    tree.make_link(at("/link"), at("/d/b"))
    assert put(tree, "/link", b"newer").path == at("/link")
    assert get(tree, "/d/b") == b"newer"
    tree.remove_file(at("/link"))
    assert get(tree, "/d/b") == b"newer"


@pytest.mark.parametrize("link", ["/a", "/d", "/d/e", "/d/b", "/old", "/nowhere", "/"])
def test_nothing_is_replaced(tree: Storage, link: str) -> None:
    """Every entry that is there stays: files, directories, links, also those that lead nowhere."""
    put(tree, "/f", b"f")
    tree.make_link(at("/old"), at("/a"))
    tree.make_link(at("/nowhere"), at("/f"))
    tree.rename(at("/f"), at("/g"))
    before = entries(tree)
    assert kind_of(tree.make_link, at(link), at("/g")) is Kind.EXISTS
    assert entries(tree) == before


@pytest.mark.parametrize("target", ["/none", "/none/b", "/d/none", "/link", "/.ftpsd-x"])
def test_a_target_that_is_not_there(tree: Storage, target: str) -> None:
    """No link leads nowhere when it is made, and none to the server's own names."""
    assert kind_of(tree.make_link, at("/link"), at(target)) is Kind.NOT_FOUND
    assert names(tree) == ["a", "d"]


def test_a_target_below_a_file(tree: Storage) -> None:
    """Is none."""
    assert kind_of(tree.make_link, at("/link"), at("/a/b")) is Kind.NOT_A_DIRECTORY


def test_an_unfinished_upload_is_no_target(atomic: House) -> None:
    """Its owner sees it, and yet there is no file."""
    storage = atomic.open("user")
    interrupt(storage, "/half", b"ha")
    assert storage.stat(at("/half")).size == 2
    assert kind_of(storage.make_link, at("/link"), at("/half")) is Kind.NOT_FOUND


@pytest.mark.parametrize(("link", "kind"), [("/none/link", Kind.NOT_FOUND), ("/a/link", Kind.NOT_A_DIRECTORY)])
def test_a_link_in_no_directory(tree: Storage, link: str, kind: Kind) -> None:
    """A link is made in a directory."""
    assert kind_of(tree.make_link, at(link), at("/a")) is kind


def test_a_reserved_name(tree: Storage) -> None:
    """The server's own names are for nobody."""
    assert kind_of(tree.make_link, at("/d/.ftpsd-x"), at("/a")) is Kind.BAD_NAME


@pytest.mark.parametrize(("link", "target"), [("/d/link", "/d"), ("/d/e/link", "/d"), ("/alias/link", "/d/e")])
def test_a_link_has_an_end(tree: Storage, link: str, target: str) -> None:
    """A directory that the link would be in would be found in itself without end."""
    tree.make_link(at("/alias"), at("/d/e"))
    assert kind_of(tree.make_link, at(link), at(target)) is Kind.CIRCULAR
    assert names(tree, "/d") == ["b", "e"]
