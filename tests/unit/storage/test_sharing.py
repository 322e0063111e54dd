"""Copies inside a home: blocks are shared where the file system can."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsd.storage.base import Terms
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.uploads.policy import UploadPolicy
from tests.contracts.storages import at, get, put, write
from tests.tools import require_tool

MIB = 1 << 20
SIZE = 40 * MIB + 3


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a Btrfs of its own."""
    image, home = tmp_path / "image", tmp_path / "btrfs"
    program = require_tool("mkfs.btrfs")
    home.mkdir()
    image.touch()
    os.truncate(image, 256 * MIB)
    if os.geteuid() != 0:
        pytest.skip("only root may mount a Btrfs")
    subprocess.run([program, "--quiet", str(image)], check=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(home)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a Btrfs cannot be mounted here: {done.stderr.strip()}")  # few containers have loop devices
    try:
        yield home
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)


def free(home: Path) -> int:
    """Return how many bytes are free."""
    os.sync()
    status = os.statvfs(home)
    return status.f_bfree * status.f_frsize


@pytest.mark.parametrize("terms", [Terms(append=True), Terms(offset=SIZE - MIB), Terms(offset=SIZE - 1)])
def test_going_on_from_a_large_file_writes_little(shared: Path, terms: Terms) -> None:
    """The bytes that are there already are not written again."""
    data = os.urandom(SIZE)
    (shared / "file").write_bytes(data)
    before = free(shared)
    jail = LocalJail.open(shared, uploads=UploadPolicy(), owner="alice")
    sink = jail.open_sink(at("/file"), terms)
    write(sink, b"!")
    assert before - free(shared) < MIB
    sink.commit()
    assert (shared / "file").read_bytes() == data[: sink.offset] + b"!"


@pytest.mark.parametrize("size", [0, 1, 64 << 10, (64 << 10) + 1, 3 * MIB])
@pytest.mark.parametrize("back", [0, 1])
def test_elsewhere_it_is_copied(tmp_path: Path, size: int, back: int) -> None:
    """The same bytes, on every file system."""
    data = os.urandom(size)
    jail = LocalJail.open(tmp_path, uploads=UploadPolicy(durable=False), owner="alice")
    (tmp_path / "file").write_bytes(data)
    offset = max(0, size - back)
    put(jail, "/file", b"end", offset=offset)
    assert (tmp_path / "file").read_bytes() == data[:offset] + b"end"
    put(jail, "/file", b"!", append=True)
    assert get(jail, "/file")[-4:] == b"end!"
