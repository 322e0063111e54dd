"""Data keys: made, rotated, lost, destroyed; and their files, after a death at any moment."""

from __future__ import annotations

import itertools
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.sealing.damage import Damage
from ftpsd.storage.sealing.key_files import KeyFiles
from ftpsd.storage.sealing.master import key_sets
from ftpsd.storage.sealing.sealed import Sealed
from ftpsd.storage.sealing.segments import write_at
from ftpsd.storage.sealing.vault import Vault
from ftpsd.storage.sealing.walks.rewrapping import Progress, Rewrapping
from ftpsd.storage.sealing.walks.sealing_plain import Links, seal_plain_files
from ftpsd.storage.uploads.policy import UploadPolicy
from tests.contracts.storages import at, get, interrupt, kind_of, put
from tests.tools import ROOT

OLD, NEW, OTHER = (bytes([number]) * 32 for number in (1, 2, 3))
POLICY = UploadPolicy(durable=False)
DATA = bytes(range(200)) * 1000


class Ground:
    """Trees, and two directories of data keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys, self.copy = folder / "keys", folder / "copy"
        self.alarms: list[Damage] = []
        for path in (self.keys, self.copy):
            path.mkdir()

    def vault(self, *masters: bytes, has_copy: bool = False) -> Vault:
        """Return a vault with these master keys, the newest first."""
        return Vault(KeyFiles(self.keys, self.copy if has_copy else None), key_sets({"main": masters or (OLD,)}))

    def tree(self, name: str) -> Path:
        (self.folder / name).mkdir(exist_ok=True)
        return self.folder / name

    def jail(self, name: str, vault: Vault) -> LocalJail:
        """Return the tree called *name*."""
        content = Sealed(vault, "main", str(self.tree(name)), self.alarms.append)
        return LocalJail.open(self.tree(name), uploads=POLICY, owner="a", content=content)

    def rewrapping(self, vault: Vault, *names: str) -> Rewrapping:
        return Rewrapping(vault, {str(self.tree(name)): "main" for name in names})

    def rewrap(self, vault: Vault, *names: str) -> Progress:
        """Rewrap the trees with these names."""
        work = self.rewrapping(vault, *names)
        for _ in work.run():
            pass
        return work.progress

    def reasons(self) -> list[str]:
        """Return the reasons of the alarms."""
        return [str(alarm.reason) for alarm in self.alarms]


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """Return it."""
    return Ground(tmp_path)


def file_key_ids(file: Path) -> tuple[bytes, bytes]:
    """Return the ids of master key and data key that the used slot of *file* names."""
    raw = file.read_bytes()
    slots = [raw[8:100], raw[100:192]]
    (used,) = [slot for slot in slots if any(slot)]
    return used[:8], used[8:24]


class TestDataKeys:
    """One for each directory, under the newest master key."""

    def test_a_tree_has_its_own(self, ground: Ground) -> None:
        """All processes find the same; it is in both directories before a file needs it, closed to others."""
        vault, other = ground.vault(has_copy=True), ground.vault(has_copy=True)
        put(ground.jail("alice", vault), "/a", DATA)
        put(ground.jail("alice", other), "/b", DATA)
        put(ground.jail("bob", vault), "/c", DATA)
        found = {name: file_key_ids(ground.folder / name)[1] for name in ("alice/a", "alice/b", "bob/c")}
        assert found["alice/a"] == found["alice/b"] != found["bob/c"]
        for folder in (ground.keys, ground.copy):
            keys = {path.stem for path in folder.glob("*.key")}
            assert keys == {number.hex() for number in found.values()}
            assert keys == set((folder / "register").read_text().split())
            assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}

    def test_a_new_master_key_is_taken_at_once(self, ground: Ground) -> None:
        """For the next file; older ones are read as long as their key is there, and after that are 451 and an alarm."""
        put(ground.jail("alice", ground.vault(OLD)), "/a", DATA)
        jail = ground.jail("alice", ground.vault(NEW, OLD))
        put(jail, "/b", DATA)
        masters = [file_key_ids(ground.folder / "alice" / name)[0] for name in "ab"]
        assert masters == [key_sets({"x": (key,)})["x"].newest.number for key in (OLD, NEW)]
        assert get(jail, "/a") == get(jail, "/b") == DATA
        jail = ground.jail("alice", ground.vault(NEW))
        assert get(jail, "/b") == DATA
        assert kind_of(jail.open_source, at("/a")) is Kind.DAMAGED
        assert ground.reasons() == ["unknown-key"]
        (trouble,) = ground.vault(NEW).troubles()
        assert trouble.severity == "error"
        assert masters[0].hex() in trouble.text
        assert ground.vault(OTHER).troubles()[0].severity == "error"
        assert ground.vault(NEW, OLD).troubles() == []

    def test_a_lost_key_is_missed(self, ground: Ground) -> None:
        """It comes back from the copy; without one its loss is told, and no new one takes its place silently."""
        vault = ground.vault(has_copy=True)
        put(ground.jail("alice", vault), "/a", DATA)
        (key,) = ground.keys.glob("*.key")
        key.unlink()
        assert get(ground.jail("alice", ground.vault(has_copy=True)), "/a") == DATA
        assert vault.files.repair() == [key.name]
        assert key.exists()
        for path in (*ground.keys.iterdir(), *ground.copy.iterdir()):
            if path.name != "register":
                path.unlink()
        (trouble,) = ground.vault(has_copy=True).troubles()
        assert "is lost" in trouble.text
        for path in (*ground.keys.iterdir(), *ground.copy.iterdir()):
            path.unlink()
        jail = ground.jail("alice", ground.vault(has_copy=True))
        assert kind_of(jail.open_source, at("/a")) is Kind.DAMAGED
        assert kind_of(put, jail, "/b", DATA) is Kind.DAMAGED
        assert ground.reasons() == ["missing-key"] * 2
        assert list(ground.keys.glob("*.key")) == []

    def test_a_death_before_the_first_key_is_there(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        """At any call: the server starts, tells of no loss, and makes the key when it is wanted."""
        is_over = False
        for at_call in range(1, 60):
            for path in (*ground.keys.iterdir(), *ground.copy.iterdir(), *ground.tree("alice").iterdir()):
                path.unlink()
            count = itertools.count(1)
            with monkeypatch.context() as patch:
                for call in ("open", "write", "fsync", "rename"):
                    patch.setattr(os, call, dying(getattr(os, call), count, at_call))
                try:
                    ground.vault(has_copy=True).current(str(ground.tree("alice")), "main")
                    is_over = True
                except Died:
                    pass
            assert ground.vault(has_copy=True).troubles() == []
            ground.vault(has_copy=True).files.repair()
            assert ground.vault(has_copy=True).troubles() == []
            put(ground.jail("alice", ground.vault(has_copy=True)), "/a", DATA)
            assert get(ground.jail("alice", ground.vault(has_copy=True)), "/a") == DATA
            if is_over:
                break
        assert is_over
        assert at_call > 15

    def test_a_changed_key_file_opens_nothing(self, ground: Ground) -> None:
        """Every field is bound to the key: none can be given to another directory."""
        put(ground.jail("alice", ground.vault()), "/a", DATA)
        (key,) = ground.keys.glob("*.key")
        text = key.read_text()
        key.write_text(text.replace("alice", "bobby"))
        assert kind_of(ground.jail("alice", ground.vault()).open_source, at("/a")) is Kind.DAMAGED
        key.write_text(text[:-30])
        (trouble,) = ground.vault().troubles()
        assert "damaged" in trouble.text

    def test_a_tree_that_was_moved(self, ground: Ground) -> None:
        """Its files are FOREIGN in the new place until their keys are moved."""
        vault = ground.vault()
        put(ground.jail("alice", vault), "/a", DATA)
        (ground.folder / "alice").rename(ground.folder / "carol")
        assert kind_of(ground.jail("carol", vault).open_source, at("/a")) is Kind.DAMAGED
        assert vault.move(str(ground.folder / "alice"), str(ground.folder / "carol")) == 1
        jail = ground.jail("carol", vault)
        assert get(jail, "/a") == DATA
        put(jail, "/a", b"more", append=True)
        assert get(jail, "/a") == DATA + b"more"


class TestRewrapping:
    """Headers alone; a death at any moment costs nothing."""

    def test_all_take_the_newest(self, ground: Ground) -> None:
        """With size, times, digest and mode as they were; then the old master key is needed no more."""
        jail = ground.jail("alice", ground.vault(OLD))
        for name in "abc":
            put(jail, f"/{name}", DATA)
        put(jail, "/empty", b"")
        interrupt(jail, "/d", DATA)
        jail.set_modified(at("/a"), 10**18)
        before = {path.name: path.stat() for path in (ground.folder / "alice").iterdir()}
        backup = (ground.folder / "alice" / "b").read_bytes()
        vault = ground.vault(NEW, OLD)
        progress = ground.rewrap(vault, "alice")
        assert (progress.looked, progress.done, progress.failed, progress.busy) == (5, 5, 0, 0)
        assert ground.rewrapping(vault, "alice").renew_data_keys() == 1
        for path in (ground.folder / "alice").iterdir():
            now, then = path.stat(), before[path.name]
            assert (now.st_size, now.st_mtime_ns, now.st_ino) == (then.st_size, then.st_mtime_ns, then.st_ino)
        jail = ground.jail("alice", ground.vault(NEW))
        assert ground.vault(NEW).troubles() == []
        source = jail.open_source(at("/a"))
        assert source.sha256 is not None
        source.close()
        assert get(jail, "/a") == DATA
        assert get(jail, "/empty") == b""
        put(jail, "/d", DATA, offset=len(DATA))
        assert get(jail, "/d") == DATA * 2
        (ground.folder / "alice" / "b").write_bytes(backup)
        assert get(jail, "/b") == DATA
        again = ground.rewrap(ground.vault(NEW), "alice")
        assert (again.looked, again.done, again.current) == (5, 1, 4)
        assert ground.reasons() == []

    def test_an_upload_under_way_is_left_alone(self, ground: Ground) -> None:
        """It takes the newest key when it ends, here that of the vault of its own process."""
        jail = ground.jail("alice", ground.vault(NEW, OLD))
        sink = jail.open_sink(at("/a"))
        sink.write(memoryview(DATA))
        progress = ground.rewrap(ground.vault(NEW, OLD), "alice")
        assert (progress.busy, progress.is_complete) == (1, False)
        sink.commit()
        assert get(ground.jail("alice", ground.vault(NEW)), "/a") == DATA

    def test_damage_is_told(self, ground: Ground) -> None:
        """A file that cannot be opened is named, and others are done."""
        jail = ground.jail("alice", ground.vault(OLD))
        for name in "ab":
            put(jail, f"/{name}", DATA)
        file = ground.folder / "alice" / "a"
        raw = bytearray(file.read_bytes())
        raw[60] ^= 1
        file.write_bytes(raw)
        (ground.folder / "alice" / "plain").write_bytes(b"plain")
        progress = ground.rewrap(ground.vault(NEW, OLD), "alice")
        assert (progress.done, progress.failed, progress.plain) == (1, 1, 1)
        assert str(file) in progress.troubles[0]

    def test_a_reader_meets_every_moment(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        """After each system call of a rewrap the file is read, by a process that has just begun and by one before."""
        vault = ground.vault(NEW, OLD)
        put(ground.jail("alice", ground.vault(OLD)), "/a", DATA)
        jail = ground.jail("alice", vault)
        reads = 0

        def watched(call: Callable[..., object]) -> Callable[..., object]:
            def called(*arguments: object, **options: object) -> object:
                nonlocal reads
                result = call(*arguments, **options)
                assert get(jail, "/a") == get(ground.jail("alice", ground.vault(NEW, OLD)), "/a") == DATA
                reads += 1
                return result

            return called

        monkeypatch.setattr("ftpsd.storage.sealing.walks.rewrapping.write_at", watched(write_at))
        monkeypatch.setattr(os, "utime", watched(os.utime))
        monkeypatch.setattr(os, "fdatasync", watched(os.fdatasync))
        assert ground.rewrap(vault, "alice").done == 1
        assert reads == 6

    def test_a_torn_slot(self, ground: Ground) -> None:
        """Garbage in the free slot does not keep the file from being read, and goes with the next run."""
        vault = ground.vault(OLD)
        put(ground.jail("alice", vault), "/a", DATA)
        with open(ground.folder / "alice" / "a", "r+b") as stream:
            stream.seek(100)
            stream.write(os.urandom(40))
        assert get(ground.jail("alice", vault), "/a") == DATA
        assert ground.rewrap(vault, "alice").done == 1
        assert (ground.folder / "alice" / "a").read_bytes()[100:192] == bytes(92)
        assert get(ground.jail("alice", vault), "/a") == DATA


def test_plain_files_are_sealed(ground: Ground) -> None:
    """In place of themselves, with their times and mode; links and our own files are left alone."""
    tree = ground.tree("alice")
    (tree / "sub").mkdir()
    for name in ("a", "sub/b"):
        (tree / name).write_bytes(DATA)
        os.utime(tree / name, ns=(10**18, 10**18))
    (tree / "a").chmod(0o640)
    (tree / "link").symlink_to("a")
    (tree / ".ftpsd-note").write_bytes(b"ours")
    vault = ground.vault()
    assert list(seal_plain_files(str(tree), "main", vault, POLICY, Links())) == [None, None]
    assert list(seal_plain_files(str(tree), "main", vault, POLICY, Links())) == []
    jail = ground.jail("alice", vault)
    assert get(jail, "/a") == get(jail, "/sub/b") == get(jail, "/link") == DATA
    assert DATA[:1000] not in (tree / "a").read_bytes()
    status = (tree / "a").stat()
    assert (status.st_mtime_ns, stat.S_IMODE(status.st_mode)) == (10**18, 0o640)
    assert (tree / ".ftpsd-note").read_bytes() == b"ours"


class TestShredding:
    """Destroyed keys open nothing any more: not here, not in a process that has them in memory, not in backups."""

    def test_files_and_backups(self, ground: Ground) -> None:
        """And an upload afterwards gets another key."""
        vault = ground.vault(has_copy=True)
        jail = ground.jail("alice", vault)
        put(jail, "/a", DATA)
        put(ground.jail("bob", vault), "/b", DATA)
        backup = (ground.folder / "alice" / "a").read_bytes()
        (record,) = vault.holding([str(ground.folder / "alice")])
        other = ground.vault(has_copy=True)
        with other.files.locked():
            other.files.destroy(record, "carol")
        assert kind_of(jail.open_source, at("/a")) is Kind.DAMAGED
        assert ground.reasons() == ["destroyed-key"]
        wrapped = record.wrapped.encode()
        assert not any(wrapped in path.read_bytes() for path in (*ground.keys.iterdir(), *ground.copy.iterdir()))
        put(jail, "/new", DATA)
        assert get(jail, "/new") == get(ground.jail("bob", vault), "/b") == DATA
        (ground.folder / "alice" / "a").write_bytes(backup)
        assert kind_of(jail.open_source, at("/a")) is Kind.DAMAGED
        assert vault.files.repair() == []
        assert ground.vault(has_copy=True).troubles() == []
        assert ground.rewrap(ground.vault(NEW, OLD, has_copy=True), "alice", "bob").failed == 0

    @pytest.mark.slow
    def test_killed_at_every_call(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        """After a death at any moment the key is whole or refused, and running it again destroys it."""

        calls = ("open", "write", "fsync", "rename", "pwrite", "unlink")
        for at_call in range(1, 60):
            name = f"user{at_call}"
            for path in (*ground.keys.iterdir(), *ground.copy.iterdir()):
                path.unlink()
            vault = ground.vault(has_copy=True)
            jail = ground.jail(name, vault)
            put(jail, "/a", DATA)
            (record,) = vault.holding([str(ground.folder / name)])
            count = itertools.count(1)
            with monkeypatch.context() as patch:
                for call in calls:
                    patch.setattr(os, call, dying(getattr(os, call), count, at_call))
                try:
                    vault.files.destroy(record, "carol")
                    is_over = True
                except Died:
                    is_over = False
            jail = ground.jail(name, ground.vault(has_copy=True))
            begun = any(folder.joinpath(f"{record.id}.destroyed").exists() for folder in (ground.keys, ground.copy))
            if begun:
                assert kind_of(jail.open_source, at("/a")) is Kind.DAMAGED
            else:
                assert get(jail, "/a") == DATA
                vault.files.destroy(record, "carol")
            vault.files.finish_destroying()
            assert not any((folder / f"{record.id}.key").exists() for folder in (ground.keys, ground.copy))
            if is_over:
                break
        assert is_over
        assert at_call > 10


class Died(BaseException):
    """The end of a process."""


def dying(call: Callable[..., object], count: Iterator[int], last: int) -> Callable[..., object]:
    """Return *call*, before which the process dies when it is the *last* that is counted."""

    def called(*arguments: object, **options: object) -> object:
        if next(count) == last:
            raise Died
        return call(*arguments, **options)

    return called


KILLED = """
import os, sys
from ftpsd.storage.sealing.key_files import KeyFiles
from ftpsd.storage.sealing.master import key_sets
from ftpsd.storage.sealing.walks.rewrapping import Rewrapping
from ftpsd.storage.sealing.vault import Vault
from pathlib import Path
keys, tree, at = sys.argv[1], sys.argv[2], int(sys.argv[3])
vault = Vault(KeyFiles(Path(keys)), key_sets({"main": (b"\\2" * 32, b"\\1" * 32)}))
calls = 0
def dying(call):
    def called(*arguments, **options):
        global calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), 9)
        return call(*arguments, **options)
    return called
for name in ("pwrite", "utime", "fdatasync", "fsync", "rename", "write"):
    setattr(os, name, dying(getattr(os, name)))
for _ in Rewrapping(vault, {tree: "main"}).run():
    pass
print("over")
"""


@pytest.mark.slow
def test_rewrapping_killed_before_each_call(ground: Ground) -> None:
    """kill -9 at any moment: every file is read with both master keys, and the next run does what is left."""
    for at_call in (2, 7, 8, 9, 10, 11, 13):
        for path in (*ground.keys.iterdir(), *ground.tree("alice").iterdir()):
            path.unlink()
        jail = ground.jail("alice", ground.vault(OLD))
        for name in "ab":
            put(jail, f"/{name}", DATA)
        arguments = [str(ground.keys), str(ground.tree("alice")), str(at_call)]
        ran = subprocess.run(
            [sys.executable, "-c", KILLED, *arguments], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True
        )
        assert ran.returncode == -9, ran.stderr
        jail = ground.jail("alice", ground.vault(NEW, OLD))
        assert get(jail, "/a") == get(jail, "/b") == DATA
        progress = ground.rewrap(ground.vault(NEW, OLD), "alice")
        assert (progress.done + progress.current, progress.failed) == (2, 0)
        jail = ground.jail("alice", ground.vault(NEW))
        assert get(jail, "/a") == get(jail, "/b") == DATA
    assert ground.reasons() == []
