"""Which published file an unfinished upload was to replace: what is kept of that, and where it cannot be."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind, StorageError, Terms
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.quota.account import QuotaAccount
from ftpsd.storage.quota.change import QuotaLedger
from ftpsd.storage.uploads import origin
from ftpsd.storage.uploads.origin import keep_origin, origin_of, stored_origin
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.quota import Quota, Usage
from tests.contracts.storages import at, get, interrupt, kind_of, put, write
from tests.unit.storage.conftest import OpenJail
from tests.unit.storage.test_upload import partials

OLD, NEW = b"old!", b"0123456789"


@pytest.fixture
def unfinished(jail: LocalJail) -> LocalJail:
    """Return a jail in which the overwrite of a file broke off after six bytes."""
    put(jail, "/a", OLD)
    interrupt(jail, "/a", NEW[:6])
    return jail


def test_it_is_kept_with_the_file(tmp_path: Path) -> None:
    """It can be kept, replaced and forgotten, and is another for another file, size or time."""
    file = tmp_path / "file"
    file.write_bytes(OLD)
    status = file.stat()
    os.utime(file, ns=(0, status.st_mtime_ns + 1))
    assert origin_of(status) != origin_of(file.stat())
    with file.open("rb") as opened:
        assert stored_origin(opened.fileno()) is None
        keep_origin(opened.fileno(), origin_of(status))
        assert stored_origin(opened.fileno()) == origin_of(status)
        keep_origin(opened.fileno(), None)
        assert stored_origin(opened.fileno()) is None


@pytest.mark.parametrize("digests", [True, False])
def test_published_files_do_not_carry_it(open_jail: OpenJail, home: Path, digests: bool) -> None:
    """It belongs to the partial, not to what that becomes."""
    jail = open_jail(policy=UploadPolicy(durable=False, digests=digests))
    put(jail, "/a", OLD)
    put(jail, "/a", NEW)
    assert origin.ATTRIBUTE not in os.listxattr(home / "a")


def test_chmod_and_downloads_do_not_change_it(unfinished: LocalJail) -> None:
    """The bytes are the same; a digest that is kept at a download changes the file's ctime."""
    unfinished.set_mode(at("/a"), 0o640)
    assert get(unfinished, "/a") == OLD
    put(unfinished, "/a", NEW[4:], offset=4)
    assert get(unfinished, "/a") == NEW


def test_another_program_has_written_into_the_file(unfinished: LocalJail, home: Path) -> None:
    """Also in place, with the same size."""
    (home / "a").write_bytes(b"OLD!")
    os.utime(home / "a", (1, 1))
    assert kind_of(unfinished.open_sink, at("/a"), Terms(offset=4)) is Kind.UNFINISHED


def test_where_there_are_no_attributes(open_jail: OpenJail, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is refused but a new upload; uploads to free names are gone on with as everywhere."""

    def refuse(*arguments: object) -> bytes:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    for name in ("getxattr", "setxattr", "removexattr"):
        monkeypatch.setattr(os, name, refuse)
    jail = open_jail()
    put(jail, "/a", OLD)
    interrupt(jail, "/a", NEW[:6])
    assert kind_of(jail.open_sink, at("/a"), Terms(offset=4)) is Kind.UNFINISHED
    assert kind_of(jail.open_sink, at("/a"), Terms(append=True)) is Kind.UNFINISHED
    put(jail, "/a", NEW)
    put(jail, "/a", b"+", append=True)
    interrupt(jail, "/b", NEW[:6])
    put(jail, "/b", NEW[6:], append=True)
    assert (get(jail, "/a"), get(jail, "/b"), sorted(os.listdir(home))) == (NEW + b"+", NEW, ["a", "b"])


def test_where_there_are_no_locks(open_jail: OpenJail, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that claiming leaves there is no unfinished upload; appending goes on."""

    def flock(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    jail = open_jail()
    put(jail, "/a", OLD)
    put(jail, "/a", NEW)
    put(jail, "/a", b"+", append=True)
    assert get(jail, "/a") == NEW + b"+"


@pytest.mark.parametrize("age", [0, 61])
def test_an_old_one_is_forgotten(open_jail: OpenJail, home: Path, age: int) -> None:
    """After keep_partial the published file is continued again."""
    jail = open_jail(policy=UploadPolicy(keep_partial=60, durable=False))
    put(jail, "/a", OLD)
    interrupt(jail, "/a", NEW[:6])
    (partial,) = partials(home)
    os.utime(partial, (time.time() - age,) * 2)
    if age:
        put(jail, "/a", b"+", append=True)
        assert get(jail, "/a") == OLD + b"+"
    else:
        assert kind_of(jail.open_sink, at("/a"), Terms(append=True)) is Kind.UNFINISHED


def test_no_resuming_means_no_partial(open_jail: OpenJail, home: Path) -> None:
    """With keep_partial 0 nothing is left of an interrupted overwrite."""
    jail = open_jail(policy=UploadPolicy(keep_partial=0, durable=False))
    put(jail, "/a", OLD)
    interrupt(jail, "/a", NEW[:6])
    assert os.listdir(home) == ["a"]


def test_quota_counts_it_and_lets_it_be_finished(home: Path) -> None:
    """An account that is full of the old file, the new one and nothing else."""
    account = QuotaAccount(home)
    account.count()
    jail = LocalJail.open(
        home,
        uploads=UploadPolicy(durable=False),
        owner="user",
        ledger=QuotaLedger(account, Quota(bytes=len(OLD) + len(NEW), files=1)),
    )
    put(jail, "/a", OLD)
    interrupt(jail, "/a", NEW[:6])
    assert account.used == Usage(len(OLD) + 6, 2)
    assert kind_of(jail.open_sink, at("/a"), Terms(append=True)) is Kind.UNFINISHED
    assert kind_of(jail.open_sink, at("/a"), Terms(offset=7)) is Kind.UNFINISHED
    assert account.used == Usage(len(OLD) + 6, 2)
    put(jail, "/a", NEW[4:], offset=4)
    assert (get(jail, "/a"), account.used) == (NEW, Usage(len(NEW), 1))
    sink = jail.open_sink(at("/a"), Terms(resumable=False))
    write(sink, b"co")
    assert account.used == Usage(len(NEW) + 2, 2)
    sink.abort()
    assert account.used == Usage(len(NEW), 1)


def opened_below(home: Path) -> list[str]:
    """Return the files in *home* that this process has open."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    return [link for link in links if link.startswith(str(home))]


@pytest.mark.parametrize("call", ["fstat", "ftruncate", "pread", "lseek", "copy_file_range"])
@pytest.mark.parametrize(("offset", "is_unfinished"), [(0, True), (4, True), (3, False)])
def test_an_upload_that_cannot_be_opened_holds_nothing(
    open_jail: OpenJail, home: Path, monkeypatch: pytest.MonkeyPatch, call: str, offset: int, is_unfinished: bool
) -> None:
    """The lock goes with the error, not when its traceback does: the client comes back at once."""
    jail = open_jail()
    put(jail, "/a", OLD)
    if is_unfinished:
        interrupt(jail, "/a", NEW[:6])

    def fail(*arguments: object, **options: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    gc.disable()
    try:
        with monkeypatch.context() as patched:
            patched.setattr(os, call, fail)
            try:
                jail.open_sink(at("/a"), Terms(offset=offset)).abort()
                error = None
            except StorageError as caught:
                error = caught  # which keeps the frames, and all that is in them, alive
        assert not [link for link in opened_below(home) if ".ftpsd-" in link]
        for partial in partials(home):
            with partial.open("rb") as opened:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert error is None or error.kind is Kind.IO
    finally:
        gc.enable()
