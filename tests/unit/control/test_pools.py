"""Which workers calls about a path are in the hands of: what hangs keeps nobody from the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ftpsd.config.users import Mount
from ftpsd.storage.base import Storage, Traits
from ftpsd.storage.mounts import MountedStorage
from ftpsd.values.path import VirtualPath
from tests.fakes import MemoryStorage
from tests.sessions import ControlClient, Server, clear_server, user_record
from tests.unit.commands.transfers import codes, content, download, upload
from tests.workers import InlineWorkers, QueueingWorkers

LARGE = content(200_000)
MOUNT = VirtualPath.parse("/far/mount")
OTHER = VirtualPath.parse("/other")
NETWORK = frozenset({"network"})


class Remote(MemoryStorage):
    """A tree behind a network."""

    def __init__(self, waits_for: frozenset[str] = NETWORK) -> None:
        super().__init__()
        self._traits = Traits(waits_for)

    def traits(self, path: VirtualPath) -> Traits:
        """Return what it waits for."""
        return self._traits


class InlineLanes:
    """Workers for each set of things that calls wait for."""

    def __init__(self) -> None:
        self.all: dict[frozenset[str], InlineWorkers] = {}

    def of(self, waits_for: frozenset[str]) -> InlineWorkers:
        """Return those for *waits_for*."""
        return self.all.setdefault(waits_for, InlineWorkers())


class Counting:
    """A server with pools that count the calls to them."""

    def __init__(self, storage: Storage, mounts: tuple[Mount, ...] = (), *, has_lanes: bool = True) -> None:
        self.files, self.transfer, self.lanes = InlineWorkers(), InlineWorkers(), InlineLanes()
        user = replace(user_record(), mounts=mounts)
        self.server: Server = clear_server(files=self.files, transfer=self.transfer, storage=storage, user=user)
        if has_lanes:
            shared = replace(self.server.runtime.shared, lanes=self.lanes)
            self.server.runtime = replace(self.server.runtime, shared=shared)

    def client(self) -> ControlClient:
        """Return a client in binary."""
        client = self.server.logged_in()
        client.say("TYPE I")
        return client

    def called(self) -> tuple[bool, bool, set[frozenset[str]]]:
        """Return whether files and transfer had calls since the last look, and which lanes had."""
        pools = (self.files, self.transfer, *self.lanes.all.values())
        found = (
            self.files.calls > 0,
            self.transfer.calls > 0,
            {key for key, lane in self.lanes.all.items() if lane.calls},
        )
        for pool in pools:
            pool.calls = 0
        return found


def mounted() -> Counting:
    """A home on a disk, with two mounts that wait for different things."""
    storage = MountedStorage(MemoryStorage(), {MOUNT: Remote(), OTHER: Remote(frozenset({"other"}))})
    return Counting(storage, (Mount(MOUNT, Path("/nowhere")), Mount(OTHER, Path("/nowhere"))))


def all_work(client: ControlClient, where: str = "") -> None:
    """Have a client do what takes workers, in the directory *where*."""
    assert codes(upload(client, LARGE, f"STOR {where}/a"))[-1] == "226"
    assert download(client, f"RETR {where}/a")[0] == LARGE
    lines = (
        "MKD {0}/dir", "CWD {0}/dir", "SIZE {0}/a", "MDTM {0}/a", "MFMT 20260101000000 {0}/a", "HASH {0}/a",
        "MLST {0}/a",
        "SITE CPFR {0}/a", "SITE CPTO {0}/b", "RNFR {0}/b", "RNTO {0}/c", "STAT {0}/c", "AVBL {0}/dir", "ALLO 1",
        'COMB "{0}/a" "{0}/c"', "RMD {0}/dir", "DELE {0}/a", "SITE QUOTA {0}/dir",
    )  # fmt: skip
    for line in lines:
        assert client.say(line.format(where))[0] in "23", line
    for verb in ("MLSD", "LIST", "NLST -a"):
        assert codes(download(client, f"{verb} {where or '/'}")[1])[-1] == "226", verb


def test_all_work_goes_to_the_workers_of_the_tree() -> None:
    """Calls and transfers, and none to the others."""
    for storage, expected in ((MemoryStorage(), (True, True, set())), (Remote(), (False, False, {NETWORK}))):
        pools = Counting(storage)
        all_work(pools.client())
        assert pools.called() == expected


def test_the_path_decides() -> None:
    """Each mount has its lane, and the home the workers of the disk, in one session."""
    pools = mounted()
    client = pools.client()
    for where, expected in (
        ("/far/mount", (False, False, {NETWORK})),
        ("/far/mount/x/..", (False, False, {NETWORK})),
        ("/other", (False, False, {frozenset({"other"})})),
        ("/far", (True, True, {NETWORK})),  # its listing looks at the mount in it, and so does a CWD
    ):
        if where == "/far":
            client.say("MKD /far")
        pools.called()
        if where == "/far":
            assert codes(upload(client, LARGE, "STOR /home"))[-1] == "226"
            assert codes(download(client, "MLSD /far")[1])[-1] == "226"
        else:
            all_work(client, where)
        assert pools.called() == expected, where


def test_a_command_about_two_trees() -> None:
    """It has workers for both: whichever hangs, those of each alone are free."""
    pools = mounted()
    client = pools.client()
    upload(client, LARGE, "STOR /far/mount/a")
    pools.called()
    assert client.say("SITE CPFR /far/mount/a").startswith("350")
    assert pools.called() == (False, False, {NETWORK})
    assert client.say("SITE CPTO /other/b").startswith("250")
    assert pools.called() == (False, False, {NETWORK | {"other"}})


def test_without_lanes_all_share_one() -> None:
    """As long as nothing in the server makes them."""
    pools = Counting(Remote(), has_lanes=False)
    all_work(pools.client())
    assert pools.called()[0]


def test_a_full_lane_keeps_no_other_waiting() -> None:
    """Calls to this machine's disk go on, in the same session, too."""
    pools = mounted()
    held = QueueingWorkers()
    held.is_full = True

    class Full:
        def of(self, waits_for: frozenset[str]) -> QueueingWorkers:
            return held

    shared = replace(pools.server.runtime.shared, lanes=Full())
    pools.server.runtime = replace(pools.server.runtime, shared=shared)
    client = pools.client()
    assert client.say("MKD /near").startswith("257")
    assert client.say("SIZE /far/mount/a").startswith("450")
    all_work(client, "/near")
