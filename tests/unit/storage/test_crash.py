"""Crashes: the process dies in the middle of an upload, and nothing is lost that was there."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind
from ftpsd.storage.uploads.policy import UploadPolicy
from tests.contracts.storages import at, get, kind_of, names, put, write
from tests.unit.storage.conftest import OpenJail

pytestmark = pytest.mark.slow


def killed(work: Callable[[Callable[[], None]], None], after: int = 1) -> None:
    """Run *work* in a child and SIGKILL it when it has told *after* times that it came further."""
    reading, writing = os.pipe()

    def further() -> None:
        os.write(writing, b".")

    child = os.fork()
    if child == 0:
        try:
            work(further)
        finally:
            os._exit(1)
    os.close(writing)
    for _ in range(after):
        assert os.read(reading, 1) == b"."
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)


def test_new_upload_is_resumable(open_jail: OpenJail, home: Path) -> None:
    """After SIGKILL nothing is published, and the owner goes on where it ended."""

    def upload(further: Callable[[], None]) -> None:
        write(open_jail().open_sink(at("/a")), b"first half, ")
        further()
        signal.pause()

    killed(upload)
    jail = open_jail()
    assert (names(jail), jail.stat(at("/a")).size) == ([], 12)
    put(jail, "/a", b"second half", offset=12)
    assert (get(jail, "/a"), os.listdir(home)) == (b"first half, second half", ["a"])


def test_replaced_file_is_whole(open_jail: OpenJail) -> None:
    """After SIGKILL the old file is as it was."""
    put(open_jail(), "/a", b"old")

    def upload(further: Callable[[], None]) -> None:
        write(open_jail().open_sink(at("/a")), b"new and longer")
        further()
        signal.pause()

    killed(upload)
    assert get(open_jail(), "/a") == b"old"


def test_second_upload_beside_a_dead_one_takes_its_place(open_jail: OpenJail, home: Path) -> None:
    """The partial of a dead process is free, so a new upload leaves no second one behind."""

    def upload(further: Callable[[], None]) -> None:
        write(open_jail().open_sink(at("/a")), b"dead")
        further()
        signal.pause()

    killed(upload)
    put(open_jail(), "/a", b"alive")
    assert os.listdir(home) == ["a"]


@pytest.mark.parametrize("durable", [True, False])
def test_killed_at_any_moment(open_jail: OpenJail, home: Path, durable: bool) -> None:
    """Whenever the process dies, the file is one of the whole versions, never a mixture or a part."""
    versions = [bytes([number]) * 50_000 for number in range(5)]
    put(open_jail(), "/a", versions[0])
    chance = random.Random(4)

    def upload(further: Callable[[], None]) -> None:
        jail = open_jail(policy=UploadPolicy(durable=durable))
        while True:
            for version in versions:
                sink = jail.open_sink(at("/a"))
                for start in range(0, len(version), 5_000):
                    further()
                    write(sink, version[start : start + 5_000])
                further()
                sink.commit()

    for _ in range(40):
        killed(upload, after=chance.randrange(1, 40))
        assert get(open_jail(), "/a") in versions
    # One that the owner can resume is all that may be left besides the file.
    assert len(os.listdir(home)) <= 2


def test_killed_while_appending(open_jail: OpenJail) -> None:
    """An append that dies added nothing, or all of one round."""
    put(open_jail(), "/log", b"")
    line = b"x" * 999 + b"\n"
    chance = random.Random(5)

    def append(further: Callable[[], None]) -> None:
        jail = open_jail()
        while True:
            further()
            put(jail, "/log", line, append=True)

    for _ in range(20):
        killed(append, after=chance.randrange(1, 20))
        data = get(open_jail(), "/log")
        assert data == line * (len(data) // len(line))


def test_name_left_by_a_rename_in_two_steps(open_jail: OpenJail, home: Path) -> None:
    """
    A partial that a crash left as a second name of the published file is not gone on with.

    Where the kernel has no RENAME_NOREPLACE a file is published by link and unlink; the power may go between the two.
    """
    jail = open_jail()
    sink = jail.open_sink(at("/a"))
    write(sink, b"published")
    (partial,) = os.listdir(home)
    os.link(home / partial, home / "a")
    sink.abort()  # as if dead: the name stays
    if not (home / partial).exists():
        os.link(home / "a", home / partial)
    (home / "b").hardlink_to(home / "a")
    (home / "a").unlink()
    assert kind_of(jail.stat, at("/a")) is Kind.NOT_FOUND
    put(jail, "/a", b"new")
    assert ((home / "b").read_bytes(), get(jail, "/a")) == (b"published", b"new")
