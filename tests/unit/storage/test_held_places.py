"""Files under a legal hold: nothing that a client can do destroys, replaces, changes or moves one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, Sink, Source, StorageError, Terms
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.retention.held_places import HeldPlaces
from ftpsd.storage.retention.terms_of_keeping import Hold, View
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import VirtualPath

p = VirtualPath.parse
DATA = b"evidence"


class Ground:
    """A home of alice, of which bob has a part in a mount, and the holds."""

    def __init__(self, folder: Path, *, atomic: bool = True) -> None:
        self.home = folder / "alice"
        self.inbox = self.home / "inbox"
        (self.inbox / "case/deep").mkdir(parents=True)
        (self.home / "other").mkdir()
        self.holds: tuple[Hold, ...] = ()
        self.places = HeldPlaces(lambda: self.holds)
        bob = View("bob", "", ("shared",))
        self.places.use(lambda: {self.home: [View("alice", "", ())], self.inbox: [bob]})
        self.atomic = atomic

    def open(self, directory: Path, view: View) -> LocalJail:
        holding = self.places.of(directory, view)
        policy = UploadPolicy(durable=False, atomic=self.atomic, holding=holding)
        return LocalJail.open(directory, uploads=policy, owner=view.user)

    @property
    def alice(self) -> LocalJail:
        return self.open(self.home, View("alice", "", ()))

    @property
    def bob(self) -> LocalJail:
        return self.open(self.inbox, View("bob", "", ("shared",)))

    def hold(self, *paths: str, users: tuple[str, ...] = ()) -> None:
        self.holds = (*self.holds, Hold(f"h{len(self.holds)}", "case", 0.0, "me", paths, users))

    def evidence(self, name: str = "inbox/case/a") -> Path:
        path = self.home / name
        path.write_bytes(DATA)
        return path


def stored(tree: LocalJail, path: str, terms: Terms = Terms(), data: bytes = b"new") -> None:
    sink: Sink = tree.open_sink(p(path), terms)
    try:
        sink.write(memoryview(data))
        sink.commit()
    finally:
        sink.abort()


DESTROYING: dict[str, Callable[[LocalJail], object]] = {
    "DELE": lambda tree: tree.remove_file(p("/inbox/case/a")),
    "STOR": lambda tree: stored(tree, "/inbox/case/a"),
    "APPE": lambda tree: stored(tree, "/inbox/case/a", Terms(append=True)),
    "REST and STOR": lambda tree: stored(tree, "/inbox/case/a", Terms(offset=3)),
    "RNFR": lambda tree: tree.rename(p("/inbox/case/a"), p("/other/a")),
    "RNFR inside of the hold": lambda tree: tree.rename(p("/inbox/case/a"), p("/inbox/case/b")),
    "RNTO": lambda tree: tree.rename(p("/other/x"), p("/inbox/case/a")),
    "RNFR of its directory": lambda tree: tree.rename(p("/inbox/case"), p("/other/case")),
    "RNFR of one above": lambda tree: tree.rename(p("/inbox"), p("/other/inbox")),
    "RMD in it": lambda tree: tree.remove_directory(p("/inbox/case/deep")),
    "DELE by a link": lambda tree: tree.remove_file(p("/other/link/a")),
    "STOR by a link": lambda tree: stored(tree, "/other/link/a"),
    "STOR over a link to it": lambda tree: stored(tree, "/other/direct"),
}


@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "direct"])
def test_nothing_destroys_a_held_file(tmp_path: Path, atomic: bool) -> None:
    """By every operation that could: HELD, with the hold's name for the log, and the file as it was."""
    ground = Ground(tmp_path, atomic=atomic)
    held = ground.evidence()
    (ground.home / "other/x").write_bytes(b"x")
    (ground.home / "other/link").symlink_to("../inbox/case")
    (ground.home / "other/direct").symlink_to("../inbox/case/a")
    ground.hold("/inbox/case/**")
    before = held.stat()
    for name, operation in DESTROYING.items():
        with pytest.raises(StorageError) as caught:
            operation(ground.alice)
        assert (caught.value.kind, caught.value.reason) == (Kind.HELD, "legal hold h0"), name
        assert held.read_bytes() == DATA, name
        assert (held.stat().st_ino, held.stat().st_ctime_ns) == (before.st_ino, before.st_ctime_ns), name
    assert sorted(path.name for path in held.parent.iterdir()) == ["a", "deep"]


def test_everything_else_goes_on(tmp_path: Path) -> None:
    """New files, those beside the hold, reading; and all of it when the hold has ended."""
    ground = Ground(tmp_path)
    held, free = ground.evidence(), ground.evidence("other/a")
    ground.hold("/inbox/case/**")
    tree = ground.alice
    stored(tree, "/inbox/case/new")
    with pytest.raises(StorageError):  # from then on it is kept as well
        tree.remove_file(p("/inbox/case/new"))
    tree.rename(p("/other/a"), p("/inbox/case/moved-in"))
    assert not free.exists()
    source: Source = tree.open_source(p("/inbox/case/a"))
    buffer = bytearray(100)
    assert buffer[: source.read_into(memoryview(buffer))] == DATA
    source.close()
    stored(tree, "/other/b")
    tree.remove_file(p("/other/b"))
    ground.holds = ()
    for name in ("a", "new", "moved-in"):
        tree.remove_file(p(f"/inbox/case/{name}"))
    tree.rename(p("/inbox/case"), p("/other/case"))
    assert not held.exists()


def test_a_hold_is_about_the_file_and_not_about_who_comes(tmp_path: Path) -> None:
    """It holds for users who see the file elsewhere, in either direction."""
    ground = Ground(tmp_path)
    ground.evidence()
    ground.hold("/inbox/case/a", users=("alice",))
    with pytest.raises(StorageError) as caught:
        ground.bob.remove_file(p("/case/a"))
    assert caught.value.kind is Kind.HELD
    ground.holds = ()
    ground.hold("/shared/case/**", users=("bob",))
    for operation in (DESTROYING["DELE"], DESTROYING["RNFR of one above"]):
        with pytest.raises(StorageError) as caught:
            operation(ground.alice)
        assert caught.value.kind is Kind.HELD
    ground.holds = ()
    ground.hold(users=("carol",))  # who sees none of it
    ground.alice.remove_file(p("/inbox/case/a"))
    # One whom only a remote source knows has a hold of her own all the same.
    ground.evidence()
    with pytest.raises(StorageError) as caught:
        ground.open(ground.home, View("carol", "", ())).remove_file(p("/inbox/case/a"))
    assert caught.value.kind is Kind.HELD


def test_a_hold_that_comes_during_an_upload(tmp_path: Path) -> None:
    """The file that was there then stays, and the upload is given up."""
    ground = Ground(tmp_path)
    held = ground.evidence()
    sink = ground.alice.open_sink(p("/inbox/case/a"))
    sink.write(memoryview(b"new"))
    ground.hold("/inbox/case/**")
    with pytest.raises(StorageError) as caught:
        sink.commit()
    assert (caught.value.kind, held.read_bytes()) == (Kind.HELD, DATA)
    assert sorted(path.name for path in held.parent.iterdir()) == ["a", "deep"]
    # One that came to a free name is published, and replaces nothing that has come there since.
    sink = ground.alice.open_sink(p("/inbox/case/fresh"))
    sink.write(memoryview(b"fresh"))
    sink.commit()
    assert (held.parent / "fresh").read_bytes() == b"fresh"


def test_without_an_answer_nothing_goes(tmp_path: Path) -> None:
    """Where the holds cannot be read, what is there stays."""

    def broken() -> tuple[Hold, ...]:
        raise StorageError(Kind.IO, why="no holds")

    ground = Ground(tmp_path)
    held = ground.evidence()
    ground.places = HeldPlaces(broken)
    with pytest.raises(StorageError) as caught:
        DESTROYING["DELE"](ground.alice)
    assert (caught.value.kind, held.exists()) == (Kind.IO, True)


def test_names_in_an_old_charset(tmp_path: Path) -> None:
    """A hold is written as the user sees the name."""
    ground = Ground(tmp_path)
    name = "B\xfcro".encode("latin-1")
    Path(str(ground.home), name.decode("utf-8", "surrogateescape")).write_bytes(DATA)
    view = View("dora", "", (), "latin-1")
    ground.hold("/B\xfcro", users=("dora",))
    with pytest.raises(StorageError) as caught:
        ground.open(ground.home, view).remove_file(VirtualPath((name.decode("utf-8", "surrogateescape"),)))
    assert caught.value.kind is Kind.HELD
