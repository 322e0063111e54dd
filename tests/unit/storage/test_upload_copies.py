"""Uploads on a real disk: copies, renames by link, and many at once."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, StorageError, Terms
from ftpsd.storage.disk import syscalls
from ftpsd.storage.disk.syscalls import copy_range, rename_by_link
from ftpsd.storage.disk.walk import Place, Root
from ftpsd.storage.jail import LocalJail
from tests.contracts.storages import at, get, kind_of, names, put, write
from tests.unit.storage.conftest import OpenJail


class TestCopy:
    """The published bytes before an offset."""

    @pytest.mark.parametrize("refusal", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, None])
    def test_copies_by_hand_where_the_kernel_does_not(
        self, open_jail: OpenJail, monkeypatch: pytest.MonkeyPatch, refusal: int | None
    ) -> None:
        """Without copy_file_range the result is the same; None is a file system that copies nothing and says so."""

        def refuse(*arguments: object) -> int:
            if refusal is None:
                return 0
            raise OSError(refusal, os.strerror(refusal))

        monkeypatch.setattr(os, "copy_file_range", refuse)
        data = os.urandom(3_000_000)
        jail = open_jail()
        put(jail, "/a", data)
        put(jail, "/a", b"more", append=True)
        assert (get(jail, "/a")) == data + b"more"

    def test_copies_in_pieces(self, open_jail: OpenJail, monkeypatch: pytest.MonkeyPatch) -> None:
        """A kernel that copies a few bytes at a time is asked again."""
        real = os.copy_file_range
        monkeypatch.setattr(os, "copy_file_range", lambda s, t, n, at_s, at_t: real(s, t, min(n, 7), at_s, at_t))
        jail = open_jail()
        put(jail, "/a", bytes(range(100)))
        put(jail, "/a", b"more", offset=50)
        assert get(jail, "/a") == bytes(range(50)) + b"more"

    def test_source_that_became_shorter(self, tmp_path: Path) -> None:
        """A file that shrinks while it is copied makes no file with a hole."""
        (tmp_path / "source").write_bytes(b"123")
        with (tmp_path / "source").open("rb") as source, (tmp_path / "target").open("wb") as target:
            assert kind_of(copy_range, source.fileno(), target.fileno(), 0, 10) is Kind.BUSY


class TestRenameByLink:
    """Publishing where the kernel has no RENAME_NOREPLACE."""

    @pytest.fixture(autouse=True)
    def without_renameat2(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take it away."""
        monkeypatch.setattr(syscalls, "_renameat2", None)

    def test_upload_is_published(self, open_jail: OpenJail, home: Path) -> None:
        """The file has its name and no other."""
        put(open_jail(), "/a", b"1", may_replace=False)
        assert (os.listdir(home), (home / "a").stat().st_nlink) == (["a"], 1)

    def test_upload_does_not_replace(self, open_jail: OpenJail, home: Path) -> None:
        """A file that appeared meanwhile stays."""
        sink = open_jail().open_sink(at("/a"), Terms(may_replace=False))
        write(sink, b"mine")
        (home / "a").write_bytes(b"theirs")
        assert kind_of(sink.commit) is Kind.EXISTS
        assert (home / "a").read_bytes() == b"theirs"

    def test_directory_is_renamed(self, open_jail: OpenJail) -> None:
        """Directories, which cannot be linked, are renamed, and replace nothing."""
        jail = open_jail()
        jail.make_directory(at("/d"))
        jail.make_directory(at("/e"))
        assert kind_of(jail.rename, at("/d"), at("/e"), may_replace=False) is Kind.EXISTS
        jail.rename(at("/d"), at("/f"), may_replace=False)
        assert names(jail) == ["e", "f"]

    def test_link_is_renamed_itself(self, home: Path) -> None:
        """A symlink is renamed, not what it leads to."""
        (home / "link").symlink_to("nowhere")
        root = Root(os.fsencode(home), "none")
        with root.find(at("/link")) as old, root.find(at("/new")) as new:
            assert isinstance(old, Place)
            rename_by_link(old, new)
        assert os.readlink(home / "new") == "nowhere"


class TestMany:
    """Uploads from many threads at once."""

    @pytest.mark.slow
    def test_readers_see_whole_files_only(self, open_jail: OpenJail) -> None:
        """While one name is uploaded over and over, every download is one whole version."""
        put(open_jail(), "/a", b"0" * 20_000)
        is_over = threading.Event()
        wrong: list[object] = []

        def upload(number: int) -> None:
            jail = open_jail()
            for _ in range(50):
                sink = jail.open_sink(at("/a"))
                for _ in range(10):
                    write(sink, b"%d" % number * 2000)
                sink.commit()

        def download() -> None:
            jail = open_jail()
            while not is_over.is_set():
                data = get(jail, "/a")
                if len(data) != 20_000 or len(set(data)) != 1:
                    wrong.append((len(data), set(data)))

        uploads = [threading.Thread(target=upload, args=(number,)) for number in range(6)]
        downloads = [threading.Thread(target=download) for _ in range(2)]
        for thread in uploads + downloads:
            thread.start()
        for thread in uploads:
            thread.join()
        is_over.set()
        for thread in downloads:
            thread.join()
        assert wrong == []

    def test_appends_add_up_to_what_was_accepted(self, open_jail: OpenJail, home: Path) -> None:
        """Of appends at once each one that was committed is in the file, once, whole."""
        put(open_jail(), "/log", b"")
        accepted: list[bytes] = []

        def append(number: int) -> None:
            jail = open_jail(owner=f"user{number}")
            for count in range(30):
                line = b"%d:%d\n" % (number, count)
                try:
                    put(jail, "/log", line, append=True)
                    accepted.append(line)
                except StorageError as error:
                    if error.kind is not Kind.BUSY:
                        raise

        threads = [threading.Thread(target=append, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted((home / "log").read_bytes().splitlines(keepends=True)) == sorted(accepted)
        assert len(accepted) >= 30

    def test_interrupted_and_resumed_from_all_sides(self, open_jail: OpenJail) -> None:
        """Uploads of one name that break off and resume at random leave a prefix of the file or the whole."""
        data = bytes(range(256)) * 40
        wrong: list[object] = []

        def upload(seed: int) -> None:
            jail = open_jail()
            for count in range(40):
                size = _length(jail)
                try:
                    sink = jail.open_sink(at("/a"), Terms(offset=size))
                except StorageError as error:
                    if error.kind not in (Kind.BAD_OFFSET, Kind.BUSY, Kind.NOT_FOUND, Kind.UNFINISHED):
                        wrong.append(error)
                    continue
                write(sink, data[size : size + 100 + seed * count])
                if size + 100 + seed * count < len(data):
                    sink.abort()
                    continue
                try:
                    sink.commit()
                except StorageError as error:
                    if error.kind is not Kind.BUSY:  # another one has published meanwhile
                        wrong.append(error)

        threads = [threading.Thread(target=upload, args=(seed,)) for seed in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        jail = open_jail()
        size = _length(jail)
        with suppress(StorageError):  # UNFINISHED when one broke off after another had published
            put(jail, "/a", data[size:], offset=size)
        assert (wrong, get(jail, "/a")) == ([], data)


def _length(jail: LocalJail) -> int:
    try:
        return jail.stat(at("/a")).size
    except StorageError:
        return 0
