"""A watcher sees exactly the bytes that are published, whatever way a file comes in; what it refuses is 550."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsd.audit.events import FileStored
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.mounts import MountedStorage
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.direction import Result
from tests.contracts.storages import at
from tests.contracts.watchers import Gate
from tests.sessions import ControlClient, clear_server
from tests.unit.commands.transfers import codes, content, upload

NEW = content(100_000)
REFUSED = "550 The server does not take this file."
Deed = Callable[[ControlClient], str]


def interrupted(client: ControlClient) -> str:
    """Begin an upload that stays unfinished, then go on with it."""
    sink = client.session.storage.open_sink(at("/target"))
    sink.write(memoryview(NEW[:70_000]))
    sink.abort()
    client.say("REST 70000")
    return upload(client, NEW[70_000:], "STOR target")


def ranged(client: ControlClient) -> str:
    """Replace the middle of a file."""
    assert client.say("RANG 2 100001").startswith("350")
    return upload(client, NEW, "STOR old")


def deflated(client: ControlClient) -> str:
    """Upload in MODE Z."""
    client.say("MODE Z")
    return upload(client, zlib.compress(NEW), "STOR target")


def in_ascii(client: ControlClient) -> str:
    """Upload as text."""
    client.say("TYPE A")
    return upload(client, b"a line\r\n" * 20_000, "STOR target")


def copied(client: ControlClient) -> str:
    """Copy a file on the server."""
    client.say("SITE CPFR old")
    return client.say("SITE CPTO target")


# The commands that are run, and the files whose uploads each shows.
DEEDS: dict[str, tuple[Deed, list[str]]] = {
    "STOR": (lambda client: upload(client, NEW, "STOR target"), ["target"]),
    "STOR small": (lambda client: upload(client, b"small", "STOR target"), ["target"]),
    "STOR nothing": (lambda client: upload(client, b"", "STOR target"), ["target"]),
    "STOR over": (lambda client: upload(client, NEW, "STOR old"), ["old"]),
    "STOU": (lambda client: upload(client, NEW, "STOU target"), ["target*"]),
    "APPE": (lambda client: upload(client, NEW, "APPE old"), ["old"]),
    "REST": (interrupted, ["target", "target"]),
    "RANG": (ranged, ["old"]),
    "COMB": (lambda client: client.say("COMB target part1 part2"), ["target"]),
    "COMB behind": (lambda client: client.say("COMB old part1 part2"), ["old"]),
    "CPTO": (copied, ["target"]),
    "MODE Z": (deflated, ["target"]),
    "TYPE A": (in_ascii, ["target"]),
    "mounted": (lambda client: upload(client, NEW, "STOR mount/target"), ["mount/target"]),
}


@pytest.fixture
def gate() -> Gate:
    """The gate that makes the watchers."""
    return Gate()


@pytest.fixture
def client(tmp_path: Path, gate: Gate) -> ControlClient:
    """A user of a home and a mount, both watched."""
    for name, data in (("old", content(300_000)), ("part1", b"one" * 9), ("part2", b"two" * 9)):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "mount").mkdir()
    policy = UploadPolicy(durable=False, watch=(gate,))
    home, mount = (LocalJail.open(path, uploads=policy, owner="alice") for path in (tmp_path, tmp_path / "mount"))
    storage = MountedStorage(home, {at("/mount"): mount})
    client = clear_server(storage=storage, mode_z=True).logged_in()
    client.say("TYPE I")
    return client


@pytest.mark.parametrize("deed", DEEDS)
def test_a_watcher_sees_what_is_published(client: ControlClient, gate: Gate, tmp_path: Path, deed: str) -> None:
    """All of it, once, in order; and it is over."""
    do, expected = DEEDS[deed]
    assert codes(do(client))[-1] in ("226", "250")
    assert len(gate.made) == len(expected)
    (published,) = tmp_path.glob(expected[-1])
    last = gate.made[-1]
    assert (last.seen == published.read_bytes(), last.is_finished) == (True, True)
    assert all(made.closed for made in gate.made)


@pytest.mark.parametrize("deed", DEEDS)
def test_what_it_refuses_is_not_published(client: ControlClient, gate: Gate, tmp_path: Path, deed: str) -> None:
    """550, and every file is as it was; the parts that were to be joined are there."""
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    gate.unwanted = b""  # in every file
    assert DEEDS[deed][0](client).split("\n")[-1] == REFUSED
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size}
    assert after == before


def test_a_refused_upload_has_failed(client: ControlClient, gate: Gate) -> None:
    """In the audit log, with the reason."""
    gate.unwanted = b"virus"
    upload(client, b"a virus", "STOR target")
    (event,) = client.server.published(FileStored)
    assert event.result is Result.FAILED
    assert event.reason is not None
    assert "unwanted" in event.reason
