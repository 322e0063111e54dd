"""A job that dies at each of its steps, one after the other, and is run again: each file once, whole, and told of."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from ftpsd.audit.bus import AuditBus
from ftpsd.audit.events import Event, Who
from ftpsd.config.automation.job_sections import Job
from ftpsd.config.automation.partner_sections import Partner
from ftpsd.jobs.local_tree import LocalTree
from ftpsd.jobs.moving import Attempt, Progress
from ftpsd.jobs.pulling import pull
from ftpsd.jobs.pushes import push_all
from ftpsd.partners.contact import Fault, PartnerError, RemoteFile
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.uploads.policy import UploadPolicy
from tests.state import InlineStore
from tests.workers import InlineWorkers

DATA = os.urandom(100_000)


class Died(BaseException):
    """The daemon is no more."""


class Life:
    """The steps of one life; at number *end* it ends, before or behind what the step does."""

    def __init__(self, end: float) -> None:
        self.end = end
        self.steps = 0

    def step(self, do: Callable[[], Any]) -> Any:
        """Do something, unless life ends before it; it may end behind it."""
        self.steps += 1
        if self.steps == self.end:
            raise Died
        done = do()
        if self.steps + 0.5 == self.end:
            raise Died
        return done


class Far:
    """A server in memory, as a `PartnerSession`; *made* counts how often a name came into being."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, str]] = {}
        self.made: list[str] = []
        self.listed: list[str] = []
        self.closed: set[str] = set()
        # Names in directories `y` of links to what is called like that, without the zeros behind it.
        self.links: list[str] = []
        self.life = Life(0)

    def _put(self, path: str, data: bytes, moment: str = "20260101000000") -> None:
        self.files[path] = data, moment
        self.made.append(path)

    async def list(self, directory: str, *, with_directories: bool = False) -> list[RemoteFile]:
        self.listed.append(directory)
        if directory in self.closed:
            raise PartnerError(Fault.REFUSED, "550 Permission denied")
        found = [path for path in self.files if path.rpartition("/")[0] == directory]
        files = [RemoteFile(path.rpartition("/")[2], len(self.files[path][0]), self.files[path][1]) for path in found]
        below = {path[len(directory) + 1 :].partition("/") for path in self.files if path.startswith(directory + "/")}
        folders = sorted({name for name, separator, _ in below if separator})
        if directory.endswith("/y"):
            folders += self.links
        unique = {name: name.rstrip("0") if self.links else "" for name in folders}
        made = [RemoteFile(name, 0, "", is_directory=True, unique=unique[name]) for name in folders]
        return files + made if with_directories else files

    async def facts(self, path: str) -> RemoteFile | None:
        found = self.files.get(path)
        return None if found is None else RemoteFile(path.rpartition("/")[2], len(found[0]), found[1])

    async def get(self, path: str, offset: int, size: int | None, take: Callable[[bytes], Awaitable[object]]) -> int:
        data = self.files[path][0][offset:]
        for start in range(0, len(data), 30_000):
            self.life.step(lambda: None)
            await take(data[start : start + 30_000])
        return len(data)

    async def put(self, path: str, offset: int, give: Callable[[], Awaitable[bytes]]) -> int:
        data = self.files[path][0][:offset] if offset else b""
        while piece := await give():
            data += piece
            self.life.step(lambda: self._put(path, data))  # noqa: B023
        return len(data) - offset

    async def rename(self, old: str, new: str) -> None:
        self.life.step(lambda: self._put(new, *self.files.pop(old)))

    async def delete(self, path: str) -> None:
        if path not in self.files:
            raise PartnerError(Fault.REFUSED, "550 No such file")
        self.life.step(lambda: self.files.pop(path))

    async def make_directory(self, path: str) -> None:
        """Directories are names here."""

    async def set_modified(self, path: str, moment: str) -> bool:
        return False


class MortalStore(InlineStore):
    """A state file whose calls are steps of a life."""

    life = Life(0)

    def run(self, function: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        found: Deferred[Any] = self.life.step(lambda: super(MortalStore, self).run(function, *args, **kwargs))
        return found


class World:
    """Both ends, which outlive a daemon."""

    def __init__(self, home: Path, kind: str, after: str, **more: object) -> None:
        home.mkdir()
        self.home = home
        self.store = MortalStore()
        self.far = Far()
        moving = {"partner": "p", "user": "u", "source": "/from", "target": "/to", "after": after, **more}
        if after == "archive":
            moving.setdefault("archive", "/done")
        self.job = Job.model_validate({"name": "j", kind: moving})
        self.partner = Partner.model_validate({"name": "p", "host": "h", "user": "u"})
        self.told: list[Event] = []
        self.failed: dict[str, str] = {}

    def live(self, end: float) -> bool:
        """Make one attempt, in a life that ends at step *end*; return whether it came to its own end."""
        self.store.life = self.far.life = Life(end)
        bus = AuditBus()
        bus.subscribe(lambda event, _: self.told.append(event))
        clock: Any = Clock()
        jail = LocalJail.open(self.home, uploads=UploadPolicy(durable=False), owner="job")
        tree = LocalTree(jail, Who("r", "u", "", "job:j"), InlineWorkers(), bus, clock)
        session: Any = self.far
        assert self.job.moving is not None
        attempt = Attempt(self.job, self.job.moving, session, tree, self.store, bus, clock, Progress())
        work = pull(attempt) if self.job.pull is not None else push_all(attempt, self.partner)
        try:
            outcome: list[Any] = []
            Deferred.fromCoroutine(work).addBoth(outcome.append)
            (result,) = outcome
            if result is not None:
                result.raiseException()
            assert attempt.progress.failed == self.failed
        except Died:
            return False
        finally:
            jail.close()
        return True


def lives(folder: Path, kind: str, after: str, check: Callable[[World], None]) -> int:
    """Have a daemon die before and behind each step, followed by one that lives; return how many steps there are."""
    for half in range(2, 1000):
        world = World(folder / f"{kind}-{after}-{half}", kind, after)
        if kind == "pull":
            world.far.files["/from/a"] = DATA, "20260101000000"
        else:
            (world.home / "from").mkdir()
            (world.home / "from" / "a").write_bytes(DATA)
        is_done = world.live(half / 2)
        before = [*world.home.glob("to/a")]
        identity = before[0].stat().st_ino if before else None
        assert world.live(0)
        assert world.live(0)
        check(world)
        if kind == "pull" and identity is not None:
            assert (world.home / "to" / "a").stat().st_ino == identity, f"published again behind step {half / 2}"
        if is_done:
            return half // 2
    raise AssertionError("it never ends")


def test_a_pull_that_dies_at_each_step(tmp_path: Path) -> None:
    """One file here, whole, published once; there it is left, gone or in the archive."""
    for after, left in (("leave", {"/from/a"}), ("delete", set()), ("archive", {"/done/a"})):

        def check(world: World) -> None:
            assert (world.home / "to" / "a").read_bytes() == DATA
            assert set(world.far.files) == left  # noqa: B023

        assert lives(tmp_path, "pull", after, check) > 8


def test_a_push_that_dies_at_each_step(tmp_path: Path) -> None:
    """One file there, whole, under its name once; here it is left, gone or in the archive."""
    for after, left in (("leave", {"from/a"}), ("delete", set()), ("archive", {"done/a"})):

        def check(world: World) -> None:
            assert {path: data for path, (data, _) in world.far.files.items()} == {"/to/a": DATA}
            assert world.far.made.count("/to/a") == 1
            found = {str(path.relative_to(world.home)) for path in world.home.rglob("*") if path.is_file()}
            assert found == left  # noqa: B023

        assert lives(tmp_path, "push", after, check) > 5


def test_a_tree_is_pulled_and_pushed(tmp_path: Path) -> None:
    """With `recursive`: each file at its place below the target, once; the archive in the source is left out."""
    names = ("a", "x/b", "x/y/c", "x/y/d.tmp", "z/a")
    for after, archive in (("leave", None), ("delete", None), ("archive", "/from/x/done")):
        more = {"recursive": True} | ({} if archive is None else {"archive": archive})
        world = World(tmp_path / f"pull-{after}", "pull", after, **more)
        world.far.files = {f"/from/{name}": (name.encode(), "20260101000000") for name in names}
        before = dict(world.far.files)
        for _ in range(3):
            assert world.live(0)
        to = world.home / "to"
        found = {str(path.relative_to(to)): path.read_text() for path in to.rglob("*") if path.is_file()}
        assert found == {name: name for name in names if "tmp" not in name}, after
        assert [event.event for event in world.told].count("file-pulled") == 4, after
        left = {"leave": {*before}, "delete": {"/from/x/y/d.tmp"}}.get(
            after, {"/from/x/y/d.tmp", *(f"{archive}/{name}" for name in names if "tmp" not in name)}
        )
        assert {*world.far.files} == left, after
        world = World(tmp_path / f"push-{after}", "push", after, **more)
        for name in names:
            (world.home / "from" / name).parent.mkdir(parents=True, exist_ok=True)
            (world.home / "from" / name).write_text(name)
        (world.home / "from" / "x" / "up").symlink_to("..")  # a tree without an end
        for _ in range(3):
            assert world.live(0)
        sent = {path: data.decode() for path, (data, _) in world.far.files.items()}
        assert sent == {f"/to/{name}": name for name in names if "tmp" not in name}, after
        assert [event.event for event in world.told].count("file-pushed") == 4, after
        kept = {str(path.relative_to(world.home)) for path in world.home.rglob("*") if path.is_file()}
        assert kept == {name.lstrip("/") for name in left}, after


def test_a_link_upwards_at_the_partner_is_not_entered_again(tmp_path: Path) -> None:
    """Its listing says that the directory is one that was entered."""
    world = World(tmp_path / "pull", "pull", "leave", recursive=True)
    world.far.files = {f"/from/{name}": (b"1", "20260101000000") for name in ("a", "x/b", "x/y/c")}
    world.far.links = ["x0"]
    assert world.live(0)
    assert world.far.listed == ["/from", "/from/x", "/from/x/y"]
    assert [event.event for event in world.told].count("file-pulled") == 3


def test_what_is_too_deep_or_closed_is_told_and_not_forgotten(tmp_path: Path) -> None:
    """A directory that cannot be listed now fails the run, and its files are no new ones afterwards."""
    world = World(tmp_path / "pull", "pull", "leave", recursive=True, depth=2)
    for name in ("a", "x/b", "x/y/c", "x/y/z/d"):
        world.far.files[f"/from/{name}"] = name.encode(), "20260101000000"
    deep = "it is more than 2 directories deep; see depth"
    world.failed = {"/from/x/y/z": deep}
    assert world.live(0)
    assert "/from/x/y/z" not in world.far.listed
    world.far.closed.add("/from/x")
    world.failed = {"/from/x": "550 Permission denied"}
    assert world.live(0)
    world.far.closed.clear()
    world.failed = {"/from/x/y/z": deep}
    assert world.live(0)
    assert [event.event for event in world.told].count("file-pulled") == 3
    world = World(tmp_path / "push", "push", "leave", recursive=True, depth=1)
    (world.home / "from" / "x" / "y").mkdir(parents=True)
    (world.home / "from" / "x" / "b").write_text("b")
    world.failed = {"/from/x/y": "it is more than 1 directories deep; see depth"}
    assert world.live(0)
    assert {*world.far.files} == {"/to/x/b"}
