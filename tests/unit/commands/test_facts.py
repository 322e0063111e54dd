"""MFF and MFCT: all facts or none."""

from __future__ import annotations

import pytest

from ftpsd.audit.topics.tree_events import FileChanged
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule
from tests.fakes import MemoryStorage
from tests.sessions import ControlClient, clear_server

FILE = VirtualPath.parse("/a file")
# 2024-01-02 03:04:05 UTC, in nanoseconds.
STAMP, MOMENT = "20240102030405", 1_704_164_645 * 1_000_000_000


def files(*allowed: Permission) -> ControlClient:
    """Return a client who may do this with a file, everything where nothing is named."""
    memory = MemoryStorage()
    memory.put(str(FILE), b"data")
    memory.set_modified(FILE, 1_000_000_000)
    memory.set_mode(FILE, 0o600)
    rules = [Rule("/**", frozenset(allowed))] if allowed else None
    server = clear_server(storage=GuardedStorage(memory, rules))
    server.memory = memory
    return server.logged_in()


def facts(client: ControlClient) -> tuple[int, int]:
    """Return time and mode."""
    entry = client.server.memory.stat(FILE)
    return entry.modified_ns, entry.mode


@pytest.mark.parametrize(
    ("said", "answer", "after"),
    [
        (f"modify={STAMP};", f"Modify={STAMP};", (MOMENT, 0o600)),
        ("UNIX.mode=0644;", "UNIX.mode=0644;", (1_000_000_000, 0o644)),
        ("unix.MODE=640;", "UNIX.mode=0640;", (1_000_000_000, 0o640)),
        (f"Modify={STAMP};UNIX.mode=0400;", f"Modify={STAMP};UNIX.mode=0400;", (MOMENT, 0o400)),
    ],
)
def test_facts_are_changed(said: str, answer: str, after: tuple[int, int]) -> None:
    """213, the facts, the path; names of facts in any case, spaces in the name."""
    client = files()
    assert client.say(f"MFF {said} a file") == f"213 {answer} /a file"
    assert facts(client) == after


@pytest.mark.parametrize("line", ["MFMT {} a file", "MDTM {} a file", "MFF modify={}; a file"])
@pytest.mark.parametrize("year", [1800, 9999])
def test_the_time_that_is_kept_is_told(line: str, year: int) -> None:
    """The reply and the audit log say what MDTM and MLST will say, not what the client asked for."""
    client = files()
    said = client.say(line.format(f"{year}0101000000"))
    kept = client.say("MDTM a file").removeprefix("213 ")
    assert not kept.startswith(str(year))
    assert f"Modify={kept};" in said
    (event,) = client.server.published(FileChanged)
    assert event.modified == kept


def test_a_change_is_published() -> None:
    """One event with both."""
    client = files()
    client.say(f"MFF modify={STAMP};UNIX.mode=0644; a file")
    (event,) = client.server.published(FileChanged)
    assert (event.path, event.modified, event.mode) == ("/a file", STAMP, "0644")


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("modify=20241302030405; a file", "501"),
        ("modify=; a file", "501"),
        ("UNIX.mode=9; a file", "501"),
        ("UNIX.mode=rw; a file", "501"),
        ("UNIX.mode=00644; a file", "213"),
        (f"modify={STAMP} a file", "501"),
        (f"modify={STAMP};", "501"),
        ("; a file", "504"),
        ("create=20240102030405; a file", "504"),
        (f"modify={STAMP};UNIX.owner=1; a file", "504"),
        (f"modify={STAMP}; missing", "550"),
        ("UNIX.mode=4755; a file", "550"),
    ],
)
def test_codes(argument: str, code: str) -> None:
    """A fact that cannot be read is 501, one that cannot be changed 504, a file that is missing or not allowed 550."""
    assert files().say(f"MFF {argument}")[:3] == code


@pytest.mark.parametrize(
    "said", [f"modify={STAMP};UNIX.owner=1;", "UNIX.mode=0644;modify=x;", f"modify={STAMP};UNIX.mode=4755;"]
)
def test_all_or_nothing(said: str) -> None:
    """Where one fact is refused, none is changed, and nothing is published."""
    client = files()
    client.say(f"MFF {said} a file")
    assert facts(client) == (1_000_000_000, 0o600)
    assert client.server.published(FileChanged) == []


def test_all_or_nothing_by_permission() -> None:
    """A user who may set times and not modes changes neither."""
    client = files(Permission.LIST, Permission.SET_TIME)
    assert client.say(f"MFF modify={STAMP};UNIX.mode=0644; a file") == "550 Permission denied."
    assert facts(client) == (1_000_000_000, 0o600)


@pytest.mark.parametrize(
    ("said", "permission"), [(f"modify={STAMP};", Permission.SET_TIME), ("UNIX.mode=0644;", Permission.CHMOD)]
)
def test_each_fact_has_its_permission(said: str, permission: Permission) -> None:
    """Neither gives the other."""
    assert files(Permission.LIST, permission).say(f"MFF {said} a file").startswith("213 ")
    other = ({Permission.SET_TIME, Permission.CHMOD} - {permission}).pop()
    assert files(Permission.LIST, other).say(f"MFF {said} a file") == "550 Permission denied."


def test_mfct() -> None:
    """504: no file system here takes a time of creation."""
    client = files()
    assert client.say(f"MFCT {STAMP} a file").startswith("504 ")
    assert facts(client) == (1_000_000_000, 0o600)


def test_feat() -> None:
    """MFF is listed with its facts; MFCT is not (the draft, 6)."""
    lines = [line.strip() for line in files().say("FEAT").split("\n")]
    assert "MFF modify;UNIX.mode;" in lines
    assert not [line for line in lines if line.startswith("MFCT")]
