"""Uploads on a real disk: modes, order, full disks and failing disks."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, Sink, Terms
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.storage.uploads.sweep import sweep_partials
from ftpsd.storage.uploads.unfinished import PARTIAL_NAME
from tests.contracts.storages import at, get, interrupt, kind_of, names, put, write
from tests.fakes import MemoryStorage
from tests.memory import MemoryTree
from tests.unit.storage.conftest import OpenJail


def partials(home: Path) -> list[Path]:
    """Return the hidden files in *home*."""
    return [path for path in home.iterdir() if path.name.startswith(".ftpsd-")]


class TestPartial:
    """The hidden file."""

    def test_it_is_private_while_it_grows(self, open_jail: OpenJail, home: Path) -> None:
        """Nobody else reads an unfinished upload, whatever the umask; also one that replaces a public file."""
        jail = open_jail(policy=UploadPolicy(umask=0, durable=False))
        put(jail, "/a", b"public")
        sink = jail.open_sink(at("/a"))
        write(sink, b"new")
        assert [path.stat().st_mode & 0o777 for path in partials(home)] == [0o600]
        sink.commit()
        assert (home / "a").stat().st_mode & 0o777 == 0o666

    def test_it_is_private_again_when_it_was_not_published(self, open_jail: OpenJail, home: Path) -> None:
        """A failed commit leaves no partial with the mode of a file."""
        jail = open_jail(policy=UploadPolicy(umask=0, durable=False))
        sink = jail.open_sink(at("/a"), Terms(may_replace=False))
        write(sink, b"mine")
        (home / "a").write_bytes(b"theirs")
        assert kind_of(sink.commit) is Kind.EXISTS
        assert [path.stat().st_mode & 0o777 for path in partials(home)] == [0o600]

    def test_long_name_has_one_too(self, open_jail: OpenJail) -> None:
        """A name of 255 bytes leaves no room for a suffix and needs none."""
        jail = open_jail()
        interrupt(jail, "/" + "x" * 255, b"123")
        put(jail, "/" + "x" * 255, b"4", offset=3)
        assert get(jail, "/" + "x" * 255) == b"1234"

    def test_nothing_is_left_after_uploads(self, open_jail: OpenJail, home: Path) -> None:
        """Published uploads leave no partial, also when several ran at once."""
        jail = open_jail()
        sinks = [jail.open_sink(at("/a")) for _ in range(3)]
        for sink in sinks:
            write(sink, b"1")
            sink.commit()
        assert os.listdir(home) == ["a"]

    def test_one_is_left_after_several_interruptions(self, open_jail: OpenJail, home: Path) -> None:
        """A partial that nobody could resume is removed at once."""
        jail = open_jail()
        sinks = [jail.open_sink(at("/a")) for _ in range(3)]
        for sink in sinks:
            write(sink, b"1")
            sink.abort()
        assert len(os.listdir(home)) == 1

    def test_no_resuming_means_no_partial(self, open_jail: OpenJail, home: Path) -> None:
        """With keep_partial 0 an interrupted upload leaves nothing."""
        interrupt(open_jail(policy=UploadPolicy(keep_partial=0, durable=False)), "/a", b"123")
        assert os.listdir(home) == []

    def test_old_one_is_forgotten(self, open_jail: OpenJail, home: Path) -> None:
        """A partial older than keep_partial is not resumed, swept or not."""
        jail = open_jail(policy=UploadPolicy(keep_partial=60, durable=False))
        interrupt(jail, "/a", b"123")
        (partial,) = partials(home)
        os.utime(partial, (time.time() - 61,) * 2)
        assert kind_of(jail.stat, at("/a")) is Kind.NOT_FOUND
        assert kind_of(jail.open_sink, at("/a"), Terms(offset=3)) is Kind.BAD_OFFSET

    @pytest.mark.parametrize("planted", ["link", "directory", "fifo", "foreign file"])
    def test_something_else_under_its_name(self, open_jail: OpenJail, home: Path, outside: Path, planted: str) -> None:
        """A program that can write to the directory cannot divert an upload by taking the partial's name first."""
        jail = open_jail()
        interrupt(jail, "/a", b"123")
        (place,) = partials(home)
        place.unlink()
        if planted == "link":
            place.symlink_to(outside / "secret")
        elif planted == "directory":
            place.mkdir()
        elif planted == "fifo":
            os.mkfifo(place)
        else:
            place.write_bytes(b"theirs")
            if os.geteuid() != 0:
                pytest.skip("only root can give a file away")
            os.chown(place, 65534, 65534)
        assert kind_of(jail.stat, at("/a")) is Kind.NOT_FOUND
        put(jail, "/a", b"mine")
        assert (get(jail, "/a"), (outside / "secret").read_bytes()) == (b"mine", b"secret")
        assert place.is_symlink() or place.exists()

    def test_name_is_one_that_the_sweep_knows(self, open_jail: OpenJail, home: Path) -> None:
        """Both kinds of names match what may be swept."""
        jail = open_jail()
        sinks = [jail.open_sink(at("/a")) for _ in range(2)]
        assert [bool(PARTIAL_NAME.fullmatch(path.name)) for path in partials(home)] == [True, True]
        for sink in sinks:
            sink.abort()

    def test_dropped_sink_frees_its_name(self, open_jail: OpenJail) -> None:
        """An upload that failed while it was being opened does not keep the partial locked."""
        jail = open_jail()
        interrupt(jail, "/a", b"123")
        assert kind_of(jail.open_sink, at("/a"), Terms(offset=4)) is Kind.BAD_OFFSET
        put(jail, "/a", b"4", append=True)
        assert get(jail, "/a") == b"1234"


class TestLock:
    """The events that may come between opening a partial and locking it."""

    @staticmethod
    def before_the_lock(monkeypatch: pytest.MonkeyPatch, event: Callable[[], None]) -> None:
        """Let *event* happen right before the next lock is asked for."""
        real = fcntl.flock

        def flock(fd: int, operation: int) -> None:
            monkeypatch.setattr(fcntl, "flock", real)
            event()
            real(fd, operation)

        monkeypatch.setattr(fcntl, "flock", flock)

    def test_published_file_is_not_taken_for_the_partial(
        self, open_jail: OpenJail, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A partial that is published before we have its lock is no longer ours to truncate."""
        jail = open_jail()
        first = jail.open_sink(at("/a"))
        write(first, b"published")
        self.before_the_lock(monkeypatch, first.commit)
        second = jail.open_sink(at("/a"))
        assert get(jail, "/a") == b"published"
        write(second, b"second")
        second.commit()
        assert get(jail, "/a") == b"second"

    def test_sweep_does_not_remove_the_next_upload(
        self, open_jail: OpenJail, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A partial that took the name of the one the sweep has opened stays."""
        jail = open_jail()
        interrupt(jail, "/a", b"old")
        (partial,) = partials(home)
        os.utime(partial, (0, 0))
        sinks: list[Sink] = []

        def replace_it() -> None:
            jail.remove_file(at("/a"))
            sinks.append(jail.open_sink(at("/a")))
            write(sinks[0], b"new")

        self.before_the_lock(monkeypatch, replace_it)
        assert sweep_partials(home, 60) == 0
        sinks[0].commit()
        assert get(jail, "/a") == b"new"

    def test_where_locks_are_missing(self, open_jail: OpenJail, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file system without locks takes uploads, several at once; nothing is resumed there."""

        def flock(fd: int, operation: int) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(fcntl, "flock", flock)
        jail = open_jail()
        first, second = (jail.open_sink(at("/a")) for _ in range(2))
        write(first, b"first")
        write(second, b"second")
        first.commit()
        assert get(jail, "/a") == b"first"
        second.commit()
        assert get(jail, "/a") == b"second"


class Calls:
    """Records the system calls that order matters for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        self.failing: dict[str, int] = {}
        for name in ("fsync", "rename"):
            monkeypatch.setattr(os, name, self._recorded(name, getattr(os, name)))

    def _recorded(self, name: str, call: object) -> object:
        def recorded(*arguments: object, **options: object) -> object:
            what = name
            if name == "fsync":
                (fd,) = arguments
                assert isinstance(fd, int)
                what = "fsync directory" if os.path.isdir(f"/proc/self/fd/{fd}") else "fsync file"
            self.made.append(what)
            if what in self.failing:
                raise OSError(self.failing[what], os.strerror(self.failing[what]))
            assert callable(call)
            return call(*arguments, **options)

        return recorded


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Record fsync and rename."""
    return Calls(monkeypatch)


class TestDurable:
    """The state of the disk when commit() returns."""

    def test_file_then_name_then_directory(self, open_jail: OpenJail, calls: Calls) -> None:
        """The bytes are on the disk before the name, and the name before commit() returns."""
        put(open_jail(policy=UploadPolicy()), "/a", b"1")
        assert calls.made == ["fsync file", "rename", "fsync directory"]

    def test_not_durable_waits_for_no_disk(self, open_jail: OpenJail, calls: Calls) -> None:
        """Without durable there is one rename."""
        put(open_jail(policy=UploadPolicy(durable=False)), "/a", b"1")
        assert calls.made == ["rename"]

    @pytest.mark.parametrize("atomic", [True, False])
    @pytest.mark.parametrize("append", [True, False])
    def test_terms_say_durable(self, open_jail: OpenJail, calls: Calls, atomic: bool, append: bool) -> None:
        """Then the disk is waited for whatever the policy says."""
        jail = open_jail(policy=UploadPolicy(durable=False, atomic=atomic))
        sink = jail.open_sink(at("/a"), Terms(append=append, durable=True))
        write(sink, b"1")
        sink.commit()
        assert [call for call in calls.made if call != "rename"] == ["fsync file", "fsync directory"]

    def test_direct(self, open_jail: OpenJail, calls: Calls) -> None:
        """A direct upload syncs the file, and the directory when the name is new."""
        jail = open_jail(policy=UploadPolicy(atomic=False))
        put(jail, "/a", b"1")
        put(jail, "/a", b"2")
        assert calls.made == ["fsync file", "fsync directory", "fsync file"]

    def test_directories_and_renames(self, open_jail: OpenJail, calls: Calls) -> None:
        """What MKD and RNTO answered stays done."""
        jail = open_jail(policy=UploadPolicy())
        jail.make_directory(at("/d"))
        jail.rename(at("/d"), at("/e"))
        assert calls.made == ["fsync directory", "rename", "fsync directory"]

    def test_failed_fsync_publishes_nothing(self, open_jail: OpenJail, home: Path, calls: Calls) -> None:
        """When the disk did not take the bytes the old file stays, and what may have lost bytes is not resumed."""
        jail = open_jail(policy=UploadPolicy())
        (home / "a").write_bytes(b"old")
        for path in ("/a", "/b"):
            sink = jail.open_sink(at(path))
            write(sink, b"new")
            calls.failing = {"fsync file": errno.EIO}
            assert kind_of(sink.commit) is Kind.IO
        assert (names(jail), get(jail, "/a")) == (["a"], b"old")
        # Of the one that was to replace a file an empty one is left: the old file is not its beginning.
        assert [path.stat().st_size for path in partials(home)] == [0]
        assert kind_of(jail.open_sink, at("/a"), Terms(append=True)) is Kind.UNFINISHED
        assert kind_of(jail.stat, at("/b")) is Kind.NOT_FOUND

    def test_failed_rename_keeps_the_partial(self, open_jail: OpenJail, home: Path, calls: Calls) -> None:
        """When the rename fails the upload can be resumed."""
        jail = open_jail(policy=UploadPolicy())
        sink = jail.open_sink(at("/a"))
        write(sink, b"new")
        calls.failing = {"rename": errno.EIO}
        assert kind_of(sink.commit) is Kind.IO
        assert (names(jail), jail.stat(at("/a")).size) == ([], 3)

    def test_failed_fsync_of_the_directory_is_told(self, open_jail: OpenJail, home: Path, calls: Calls) -> None:
        """A name that may not survive a power cut is not called complete, and the file is whole."""
        jail = open_jail(policy=UploadPolicy(umask=0))
        calls.failing = {"fsync directory": errno.EIO}
        assert kind_of(put, jail, "/a", b"new") is Kind.IO
        assert (os.listdir(home), get(jail, "/a")) == (["a"], b"new")
        assert (home / "a").stat().st_mode & 0o777 == 0o666


def test_short_writes_go_on(open_jail: OpenJail, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that the kernel did not take at once are written next, in order."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    for number, atomic in enumerate((True, False)):
        put(open_jail(policy=UploadPolicy(atomic=atomic, durable=False)), f"/{number}", b"0123456789")
        assert get(open_jail(), f"/{number}") == b"0123456789"


class TestFullDisk:
    """No room."""

    @pytest.fixture
    def small(self, home: Path) -> Iterator[Path]:
        """Make the home a file system of one MiB."""
        mounted = os.geteuid() == 0 and not subprocess.call(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(home)], stderr=subprocess.DEVNULL
        )
        if not mounted:
            pytest.skip("only root can mount a small file system")
        try:
            yield home
        finally:
            subprocess.check_call(["umount", "-l", str(home)])

    @pytest.mark.parametrize("atomic", [True, False])
    def test_full_disk_is_no_space(self, small: Path, open_jail: OpenJail, atomic: bool) -> None:
        """An upload that does not fit says so at the write that fails."""
        sink = open_jail(policy=UploadPolicy(atomic=atomic)).open_sink(at("/big"))
        assert kind_of(write, sink, bytes(2 << 20)) is Kind.NO_SPACE
        sink.abort()

    def test_old_file_and_others_are_unharmed(self, small: Path, open_jail: OpenJail) -> None:
        """A full disk publishes nothing, and what came in gives its room back at once."""
        jail, other = open_jail(), open_jail(owner="other")
        put(jail, "/a", b"old")
        put(other, "/ballast", bytes(512 << 10))
        running = other.open_sink(at("/running"))
        write(running, b"before")
        sink = jail.open_sink(at("/a"))
        assert kind_of(write, sink, bytes(700 << 10)) is Kind.NO_SPACE
        sink.abort()
        assert (get(jail, "/a"), names(jail)) == (b"old", ["a", "ballast"])
        put(other, "/more", bytes(400 << 10))
        write(running, b" and after")
        running.commit()
        assert get(other, "/running") == b"before and after"

    @pytest.mark.parametrize("call", ["fsync", "rename"])
    def test_full_at_the_end_leaves_nothing(
        self, open_jail: OpenJail, home: Path, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        """File systems that find room late say so at the fsync, or have none for the name."""

        def full(*arguments: object, **options: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, call, full)
        assert kind_of(put, open_jail(policy=UploadPolicy()), "/a", b"data") is Kind.NO_SPACE
        assert os.listdir(home) == []

    def test_copy_that_does_not_fit_leaves_nothing(self, small: Path, open_jail: OpenJail) -> None:
        """An append to a file that cannot be copied fails before the first byte and leaves the room as it was."""
        jail = open_jail()
        put(jail, "/a", bytes(600 << 10))
        assert kind_of(jail.open_sink, at("/a"), Terms(append=True)) is Kind.NO_SPACE
        assert os.listdir(small) == ["a"]
        put(jail, "/b", bytes(300 << 10))

    def test_largest_file_is_quota(self, open_jail: OpenJail) -> None:
        """RLIMIT_FSIZE is a limit of this file, not of the disk."""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        sink = open_jail().open_sink(at("/a"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            kind = kind_of(write, sink, bytes(2000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sink.abort()
        assert kind is Kind.QUOTA

    def test_fake_runs_full_as_well(self) -> None:
        """MemoryStorage takes what fits and says NO_SPACE."""
        storage = MemoryStorage(MemoryTree(room=10))
        put(storage, "/a", b"12345")
        sink = storage.open_sink(at("/b"))
        assert kind_of(write, sink, b"1234567890") is Kind.NO_SPACE
        sink.abort()
        assert (names(storage), storage.free_bytes(at("/"))) == (["a"], 5)
        assert kind_of(storage.stat, at("/b")) is Kind.NOT_FOUND
