"""Jobs against vsftpd, ProFTPD and ftpsd itself, killed at any moment: each version of a file moves once, whole."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT, log_in, upload
from tests.e2e.daemon import PASSWORD, Account, Daemon
from tests.e2e.partners.counterparts import Counterpart, counterpart
from tests.e2e.polling import eventually
from tests.tools import reachable_folder

# Bytes a second of the slow partner, and of what is moved while something is killed.
RATE = 2_000_000
SLOW = 2_000_000


class Ground:
    """A daemon with partners, and its two users."""

    def __init__(self, folder: Path, tls: Demonstration, stack: ExitStack) -> None:
        self.vsftpd = stack.enter_context(counterpart(folder / "a", "vsftpd"))
        self.proftpd = stack.enter_context(counterpart(folder / "b", "proftpd"))
        slow = [f"-olocal_max_rate={RATE}"]
        self.slow = stack.enter_context(counterpart(folder / "c", "vsftpd", implicit=True, options=slow))
        self.other = Daemon(folder / "other", tls, {}, users=1)
        stack.enter_context(self.other.running())
        there = self.other.account()
        ports = self.other.ports
        self.ftpsd = Counterpart(ports.explicit, "explicit", there.home, tls.authority, there.name, PASSWORD)
        self.daemon = Daemon(folder / "daemon", tls, {}, users=2)
        self.account: Account = self.daemon.account()
        self.home = self.account.home
        partners = {"vsftpd": self.vsftpd, "proftpd": self.proftpd, "slow": self.slow, "other": self.ftpsd}
        sections = [each.section(self.daemon.folder, name) for name, each in partners.items()]
        self.daemon._changes = {
            "partners": sections,
            "events": {"record": ["file-stored", "file-renamed", "file-deleted"]},
            "jobs": self.jobs(),
        }
        self.daemon.write_config()
        stack.callback(self.daemon.kill)
        self.daemon.start()

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs."""

        def moving(partner: str, source: str, target: str, **more: Any) -> dict[str, Any]:
            return {"partner": partner, "user": self.account.name, "source": source, "target": target, **more}

        archive = {"after": "archive"}
        behind = moving("vsftpd", "/drop", "/drop", after="delete")
        return [
            {"name": "fetch", "pull": moving("vsftpd", "/out", "/in/acme", files=["*.csv"])},
            {"name": "fetch-away", "pull": moving("proftpd", "/out", "/in", **archive, archive="/done")},
            {"name": "send", "push": moving("proftpd", "/outbox", "/box/deep")},
            {"name": "send-away", "push": moving("other", "/away", "/", **archive, archive="/sent/2026")},
            {"name": "slow-fetch", "pull": moving("slow", "/big", "/big"), "longest_pause": "1s"},
            {"name": "slow-send", "push": moving("slow", "/send", "/got"), "longest_pause": "1s"},
            {
                "name": "behind",
                "on": {"paths": ["/drop/*"]},
                "push": behind,
            },
            {"name": "badly", "push": moving("vsftpd", "/outbox", "/x/none"), "attempts": 1},
            *(
                {"name": f"tree-{way}-{partner}", way: moving(partner, source, target, recursive=True, files=["*.csv"])}
                for partner in ("vsftpd", "proftpd", "other")
                for way, source, target in (("push", "/tree", "/got/tree"), ("pull", "/got", f"/back/{partner}"))
            ),
        ]

    def run(self, job: str) -> dict[str, Any]:
        """Run *job* and return how that went."""
        done = self.daemon.order("jobs", "run", job, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        run: dict[str, Any] = json.loads(done.stdout)
        return run

    def moved(self, job: str) -> tuple[int, int]:
        """Run *job* and return how many files and bytes it says it has moved."""
        run = self.run(job)
        return run["files"], run["bytes"]

    def stored(self, path: str) -> list[dict[str, Any]]:
        """Return the events of the audit log about uploads to *path*."""
        return [each for each in self.daemon.audit("file-stored") if each["path"] == path]

    def told(self, name: str, count: int, **fields: object) -> list[dict[str, Any]]:
        """Return the events *name* with these *fields*, once *count* are in the audit log, which is written behind."""
        found = [each for each in self.daemon.audit(f'"{name}"') if fields.items() <= each.items()]
        return found if len(found) >= count else []

    def restart_after(self, number: signal.Signals) -> None:
        """End the daemon, and start it again."""
        self.daemon.signal(number)
        eventually(lambda: self.daemon.exit_code is not None, "the end of the daemon")
        self.daemon.start()


@pytest.fixture(scope="module")
def ground(tls_files: Demonstration) -> Iterator[Ground]:
    """The daemon and its partners, for all tests here."""
    with ExitStack() as stack:
        yield Ground(stack.enter_context(reachable_folder()), tls_files, stack)


def content(size: int) -> bytes:
    """Return bytes that are like no others."""
    return os.urandom(size)


def test_a_pull_takes_each_version_once(ground: Ground) -> None:
    """By pattern; not again; again when changed; what is left there stays; uploads go the way of all uploads."""
    first, second = content(300_000), content(10)
    ground.vsftpd.put("out/a.csv", first)
    ground.vsftpd.put("out/b.csv", second)
    ground.vsftpd.put("out/c.txt", b"not asked for")
    ground.vsftpd.put("out/d.csv.filepart", b"on its way")
    assert ground.moved("fetch") == (2, 300_010)
    place = ground.home / "in" / "acme"
    assert {each.name: each.read_bytes() for each in place.iterdir()} == {"a.csv": first, "b.csv": second}
    assert ground.moved("fetch") == (0, 0)
    changed = ground.vsftpd.put("out/b.csv", b"changed...")
    os.utime(changed, (1_700_000_000, 1_700_000_000))
    assert ground.moved("fetch") == (1, 10)
    assert (place / "b.csv").read_bytes() == b"changed..."
    (event,) = ground.stored("/in/acme/a.csv")
    told = {key: event[key] for key in ("user", "listener", "bytes", "sha256", "result")}
    digest = hashlib.sha256(first).hexdigest()
    assert told == {
        "user": ground.account.name,
        "listener": "job:fetch",
        "bytes": 300_000,
        "sha256": digest,
        "result": "complete",
    }
    listed = json.loads(ground.daemon.order("events", "list", "--json").stdout)
    assert sum(each["path"] == "/in/acme/a.csv" for each in listed) == 1
    metrics = ground.daemon.metrics()
    assert metrics['ftpsd_job_files_total{job="fetch"}'] == 3
    assert metrics['ftpsd_job_runs_total{job="fetch",result="done"}'] == 3
    assert metrics['ftpsd_job_last_success_timestamp_seconds{job="fetch"}'] > 1_700_000_000


def test_a_pull_archives_and_a_push_archives(ground: Ground) -> None:
    """A file safe here is moved there, and the other way round; the same name again is kept beside the old one."""
    for data in (b"one", b"other"):
        ground.proftpd.put("out/x.dat", data)
        assert ground.moved("fetch-away") == (1, len(data))
        assert (ground.home / "in" / "x.dat").read_bytes() == data
    assert [*(ground.proftpd.home / "out").iterdir()] == []
    assert sorted(each.read_bytes() for each in (ground.proftpd.home / "done").iterdir()) == [b"one", b"other"]
    for data in (b"1", b"22"):
        (ground.home / "away").mkdir(exist_ok=True)
        (ground.home / "away" / "y").write_bytes(data)
        assert ground.moved("send-away") == (1, len(data))
        assert (ground.ftpsd.home / "y").read_bytes() == data
    assert [*(ground.home / "away").iterdir()] == []
    assert sorted(each.read_bytes() for each in (ground.home / "sent" / "2026").iterdir()) == [b"1", b"22"]
    renamed = eventually(lambda: ground.told("file-renamed", 2), "both in the log")
    assert [each["old"] for each in renamed] == ["/away/y", "/away/y"]


def test_a_push_sends_each_version_once(ground: Ground) -> None:
    """Into directories that it makes; not again, nor when touched; again when changed; none under way."""
    box = ground.home / "outbox"
    box.mkdir()
    session = log_in(ground.daemon, EXPLICIT, ground.account)
    data = content(400_000)
    upload(session, "outbox/a", data)
    upload(session, "outbox/b.tmp", b"on its way")
    session.quit()
    ground.proftpd.make("")
    assert ground.moved("send") == (1, 400_000)
    there = ground.proftpd.home / "box" / "deep"
    assert [(each.name, each.read_bytes()) for each in there.iterdir()] == [("a", data)]
    assert int((there / "a").stat().st_mtime) == int((box / "a").stat().st_mtime)
    assert ground.moved("send") == (0, 0)
    (box / "a").write_bytes(b"changed")
    assert ground.moved("send") == (1, 7)
    assert [(each.name, each.read_bytes()) for each in there.iterdir()] == [("a", b"changed")]
    os.utime(box / "a", (1_700_000_000, 1_700_000_000))
    assert ground.moved("send") == (0, 0)
    (pushed, _) = eventually(lambda: ground.told("file-pushed", 2, job="send"), "both in the log")
    assert (pushed["target"], pushed["sha256"]) == ("/box/deep/a", hashlib.sha256(data).hexdigest())


def test_trees_go_there_and_come_back(ground: Ground) -> None:
    """With `recursive`, to and from all three servers: each file at its place, once; again when it has changed."""
    files = {"a.csv": b"a", "x/b c.csv": b"b", "x/y/ü.csv": b"d" * 1000, "z/a.csv": b"z"}
    tree = ground.home / "tree"
    for name, data in {**files, "x/y/no.txt": b"", "x/on.csv.part": b""}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    servers = {"vsftpd": ground.vsftpd, "proftpd": ground.proftpd, "other": ground.ftpsd}
    for server in (ground.vsftpd, ground.proftpd):
        server.make("")

    def found(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    for name, server in servers.items():
        for count in (4, 0) if name == "vsftpd" else (4,):
            assert ground.moved(f"tree-push-{name}")[0] == count, name
        assert found(server.home / "got" / "tree") == files, name
        for count in (4, 0) if name == "vsftpd" else (4,):
            assert ground.moved(f"tree-pull-{name}")[0] == count, name
        assert found(ground.home / "back" / name / "tree") == files, name
    changed = ground.proftpd.home / "got" / "tree" / "x" / "y" / "ü.csv"
    changed.write_bytes(b"changed")
    assert ground.moved("tree-pull-proftpd") == (1, 7)
    assert (ground.home / "back" / "proftpd" / "tree" / "x" / "y" / "ü.csv").read_bytes() == b"changed"


def test_a_job_behind_an_event(ground: Ground) -> None:
    """An upload is pushed, and deleted here, without an order."""
    (ground.home / "drop").mkdir()
    ground.vsftpd.make("")
    session = log_in(ground.daemon, EXPLICIT, ground.account)
    for name in ("one", "two"):
        upload(session, f"drop/{name}", name.encode())
        eventually(lambda: (ground.vsftpd.home / "drop" / name).exists(), "the push")  # noqa: B023
        assert (ground.vsftpd.home / "drop" / name).read_bytes() == name.encode()
    eventually(lambda: not [*(ground.home / "drop").iterdir()], "the deletion")
    session.quit()


def _child(daemon: Daemon) -> int | None:
    assert daemon.process is not None
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(each.read_text().rpartition(")")[2].split()[1])
            if parent == daemon.process.pid and b"ftpsd.partners" in (each.parent / "cmdline").read_bytes():
                return int(each.parent.name)
        except OSError:
            continue
    return None


def _partial(folder: Path, pattern: str) -> int:
    return max((each.stat().st_size for each in folder.glob(pattern)), default=0)


def test_a_push_goes_on_when_child_and_daemon_are_killed(ground: Ground) -> None:
    """Cut off in the middle, twice: the rest alone follows, one file is there, told of once."""
    data = content(SLOW)
    (ground.home / "send").mkdir()
    (ground.home / "send" / "large").write_bytes(data)
    there = ground.slow.make("got")
    assert ground.daemon.order("jobs", "run", "slow-send", "--no-wait").returncode == 0
    eventually(lambda: _partial(there, ".large.*.part") > 200_000, "the beginning")
    child = _child(ground.daemon)
    assert child is not None
    os.kill(child, signal.SIGKILL)
    before = _partial(there, ".large.*.part")
    eventually(lambda: _partial(there, ".large.*.part") > before + 200_000, "the second attempt")
    ground.restart_after(signal.SIGKILL)
    eventually(lambda: (there / "large").exists(), "the end, without an order")
    eventually(lambda: not json.loads(ground.daemon.order("jobs", "list", "--json").stdout)[5]["running"], "the end")
    assert [(each.name, each.read_bytes()) for each in there.iterdir()] == [("large", data)]
    pushed = ground.daemon.wait_for_event("file-pushed", path="/send/large")
    assert pushed["offset"] > 400_000
    assert ground.moved("slow-send") == (0, 0)
    runs = json.loads(ground.daemon.order("jobs", "history", "slow-send", "--json").stdout)
    assert [(run["trigger"], run["state"]) for run in reversed(runs)] == [
        ("order", "interrupted"),
        ("interrupted", "done"),
        ("order", "done"),
    ]


def test_a_pull_goes_on_when_child_and_daemon_are_killed(ground: Ground) -> None:
    """The same the other way round: what has come is kept, and the file is published once."""
    data = content(SLOW)
    ground.slow.put("big/large", data)
    here = ground.home / "big"
    assert ground.daemon.order("jobs", "run", "slow-fetch", "--no-wait").returncode == 0
    eventually(lambda: _partial(here, ".ftpsd-*") > 200_000, "the beginning")
    child = _child(ground.daemon)
    assert child is not None
    os.kill(child, signal.SIGKILL)
    before = _partial(here, ".ftpsd-*")
    eventually(lambda: _partial(here, ".ftpsd-*") > before + 200_000, "the second attempt")
    assert not (here / "large").exists()
    ground.restart_after(signal.SIGTERM)
    eventually(lambda: (here / "large").exists(), "the end, without an order")
    assert (here / "large").read_bytes() == data
    pulled = ground.daemon.wait_for_event("file-pulled", path="/big/large")
    assert pulled["offset"] > 400_000
    eventually(lambda: not json.loads(ground.daemon.order("jobs", "list", "--json").stdout)[4]["running"], "the end")
    assert ground.moved("slow-fetch") == (0, 0)
    assert len(ground.stored("/big/large")) == 1


def test_a_file_that_grows_is_never_there_by_half(ground: Ground) -> None:
    """A program appends while a file is pushed: the half of it gets no name there, all of it does."""
    (ground.home / "send").mkdir(exist_ok=True)
    file = ground.home / "send" / "growing"
    file.write_bytes(content(SLOW))
    there = ground.slow.make("got")
    assert ground.daemon.order("jobs", "run", "slow-send", "--no-wait").returncode == 0
    eventually(lambda: _partial(there, ".growing.*.part") > 200_000, "the beginning")
    with file.open("ab") as more:
        more.write(content(100_000))
    eventually(lambda: (there / "growing").exists(), "the name")
    assert (there / "growing").read_bytes() == file.read_bytes()
    assert [*there.glob(".growing.*")] == []


def test_what_fails_is_told(ground: Ground) -> None:
    """A job that cannot do its work ends with 1 and says why; one that is not there is named."""
    (ground.home / "outbox").mkdir(exist_ok=True)
    (ground.home / "outbox" / "z").write_bytes(b"z")
    blocked = ground.vsftpd.put("x", b"a file where the directory should be")
    failed = ground.daemon.order("jobs", "run", "badly")
    assert failed.returncode == 1
    assert "badly: failed" in failed.stdout
    assert "553" in failed.stdout
    blocked.unlink()
    unknown = ground.daemon.order("jobs", "run", "none")
    assert unknown.returncode != 0
    assert "there is no job none" in unknown.stderr
    shown = ground.daemon.order("jobs", "list").stdout
    assert "badly" in shown
    assert "failed" in shown
    assert "badly" in ground.daemon.order("jobs", "history").stdout
