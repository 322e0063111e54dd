"""Which workers a user's files are in the hands of: a slow network keeps nobody from the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ftpsd.config.users import Mount
from ftpsd.storage.base import Storage, Traits
from ftpsd.storage.mounts import MountedStorage
from ftpsd.values.path import VirtualPath
from tests.fakes import MemoryStorage
from tests.sessions import ControlClient, Server, clear_server, user_record
from tests.unit.commands.transfers import codes, content, download, upload
from tests.workers import InlineWorkers, QueueingWorkers

LARGE = content(200_000)
MOUNT = VirtualPath.parse("/mount")


class Remote(MemoryStorage):
    """A tree behind a network."""

    def traits(self, path: VirtualPath) -> Traits:
        """Return that."""
        return Traits(is_remote=True)


class Counting:
    """A server with a pool of each kind, and how many calls went to the two for this machine and the one for others."""

    def __init__(self, storage: Storage, mounts: tuple[Mount, ...] = (), *, has_remote: bool = True) -> None:
        self.files, self.transfer, self.remote = InlineWorkers(), InlineWorkers(), InlineWorkers()
        user = replace(user_record(), mounts=mounts)
        self.server: Server = clear_server(files=self.files, transfer=self.transfer, storage=storage, user=user)
        if has_remote:
            shared = replace(self.server.runtime.shared, remote=self.remote)
            self.server.runtime = replace(self.server.runtime, shared=shared)

    def client(self) -> ControlClient:
        """Return a client in binary."""
        client = self.server.logged_in()
        client.say("TYPE I")
        return client


def all_work(client: ControlClient) -> None:
    """Have a client do what takes workers."""
    assert codes(upload(client, LARGE, "STOR a"))[-1] == "226"
    assert download(client, "RETR a")[0] == LARGE
    for line in ("MKD /dir", "SIZE a", "HASH a", "SITE CPFR a", "SITE CPTO b", "RNFR b", "RNTO c", "DELE c"):
        assert client.say(line)[0] in "23", line
    assert codes(download(client, "MLSD")[1])[-1] == "226"


@pytest.mark.parametrize("make", [lambda: (MemoryStorage(), ()), lambda: (Remote(), ())], ids=["local", "remote"])
def test_all_work_goes_to_the_pool_of_the_tree(make: Callable[[], tuple[Storage, tuple[Mount, ...]]]) -> None:
    """Calls and transfers, and none to the other."""
    storage, mounts = make()
    pools = Counting(storage, mounts)
    all_work(pools.client())
    is_remote = isinstance(storage, Remote)
    assert (pools.remote.calls > 0, pools.files.calls > 0, pools.transfer.calls > 0) == (
        is_remote, not is_remote, not is_remote,
    )  # fmt: skip


def test_one_remote_mount_is_enough() -> None:
    """A session has one pool, for one command can be about two trees."""
    storage = MountedStorage(MemoryStorage(), {MOUNT: Remote()})
    pools = Counting(storage, (Mount(MOUNT, Path("/nowhere")),))
    all_work(pools.client())
    assert (pools.remote.calls > 0, pools.files.calls, pools.transfer.calls) == (True, 0, 0)


def test_without_such_a_pool_all_share_one() -> None:
    """As long as the server has no remote trees."""
    pools = Counting(Remote(), has_remote=False)
    all_work(pools.client())
    assert pools.files.calls > 0


def test_what_is_left_open_is_closed_there() -> None:
    """Also when the user has logged out meanwhile."""
    storage = Remote()
    storage.put("/a", b"1")
    pools = Counting(storage)
    client = pools.client()
    client.say("REIN")
    assert client.session.files is pools.remote


def test_a_full_pool_of_one_kind_keeps_no_other_waiting() -> None:
    """Users of this machine's files go on."""
    pools = Counting(MemoryStorage())
    held = QueueingWorkers()
    held.is_full = True
    shared = replace(pools.server.runtime.shared, remote=held)
    pools.server.runtime = replace(pools.server.runtime, shared=shared)
    all_work(pools.client())
