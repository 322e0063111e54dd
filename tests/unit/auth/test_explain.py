"""Which rule decides: told as the storage decides it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.auth.explain import explain
from ftpsd.config.users import Mount, UserRecord
from ftpsd.storage.base import StorageError
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.mounts import MountedStorage
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import ALL, Permission
from ftpsd.values.rule import Rule
from tests.contracts.storages import at
from tests.fakes import MemoryStorage

PARTNER = (
    Rule("/outbox/**", frozenset({Permission.READ, Permission.LIST})),
    Rule("/inbox/*.csv", ALL),
    Rule("/", frozenset({Permission.LIST})),
)
READER = (Rule("/**", frozenset({Permission.LIST, Permission.READ})),)
ALICE = UserRecord(
    name="alice",
    password=None,
    home=Path("/h"),
    rules=PARTNER,
    role="partner",
    mounts=(
        Mount(at("/shared"), Path("/s"), READER, "reader"),
        Mount(at("/shared/all"), Path("/a")),
        Mount(at("/outbox/inbox"), Path("/i"), PARTNER[1:2]),
    ),
)


@pytest.mark.parametrize(
    ("action", "path", "answer"),
    [
        ("read", "/outbox/a", "yes home, role partner, rule 1 of 3 decides about /outbox/a: "
                              "{path: /outbox/**, allow: [list, read]}"),
        ("delete", "/outbox/a", "no home, role partner, rule 1 of 3 decides about /outbox/a: "
                                "{path: /outbox/**, allow: [list, read]}"),
        ("upload", "/inbox/a.csv", "yes home, role partner, rule 2 of 3 decides about /inbox/a.csv: "
                                   "{path: /inbox/*.csv, allow: all}"),
        ("upload", "/inbox/a", "no home, role partner: none of 3 rules matches /inbox/a, so nothing is allowed"),
        ("read", "/shared/d/a", "yes mount /shared, role reader, rule 1 of 1 decides about /d/a: "
                                "{path: /**, allow: [list, read]}"),
        ("list", "/shared", "yes mount /shared, role reader, rule 1 of 1 decides about /: "
                            "{path: /**, allow: [list, read]}"),
        ("chmod", "/shared/all/a", "yes mount /shared/all, no role and no rules: everything is allowed"),
        ("read", "/outbox/inbox/a.csv", "no mount /outbox/inbox, inline rules: none of 1 rules matches /a.csv, "
                                        "so nothing is allowed"),
        ("delete", "/shared", "no /shared is a mount point or above one: no rule can allow that"),
        ("rename", "/outbox", "no /outbox is a mount point or above one: no rule can allow that"),
    ],
)  # fmt: skip
def test_what_decides(action: str, path: str, answer: str) -> None:
    """Mount or home, role or rules, the number of the rule and its text."""
    found = explain(ALICE, Permission(action), at(path))
    assert f"{'yes' if found.is_allowed else 'no'} {found.reason}" == answer


def test_the_way_to_a_mount_is_always_open() -> None:
    """A user who sees nothing of the home can list the mounts in it all the same, as the storage has it."""
    guest = UserRecord("guest", None, Path("/h"), (), mounts=(Mount(at("/a/b"), Path("/b"), READER),))
    found = [explain(guest, Permission.LIST, at(path)) for path in ("/", "/a", "/a/b", "/c")]
    assert [one.is_allowed for one in found] == [True, True, True, False]
    assert found[0].reason.endswith("so nothing is allowed, but to list the mounts below it")


def may(storage: MountedStorage, permission: Permission, path: VirtualPath) -> bool:
    """Try it."""
    try:
        match permission:
            case Permission.LIST:
                storage.list(path)
            case Permission.READ:
                storage.open_source(path)
            case Permission.DELETE:
                storage.remove_file(path)
            case Permission.CHMOD:
                storage.set_mode(path, 0o600)
            case _:
                storage.set_modified(path, 1)
    except StorageError:
        return False
    return True


@given(
    permission=st.sampled_from([Permission.READ, Permission.DELETE, Permission.CHMOD, Permission.SET_TIME]),
    path=st.sampled_from(["/outbox/f", "/inbox/f.csv", "/f", "/shared/f", "/shared/all/f", "/outbox/inbox/f.csv"]),
    rules=st.lists(
        st.builds(
            Rule,
            st.sampled_from(["/**", "/outbox/**", "/*", "/inbox/*.csv", "/f", "/*.csv", "/shared/f"]),
            st.frozensets(st.sampled_from(list(Permission))),
        ),
        max_size=4,
    ),
)
def test_the_storage_decides_so(permission: Permission, path: str, rules: list[Rule]) -> None:
    """The storage does what explain tells."""
    alice = UserRecord(
        name="alice",
        password=None,
        home=Path("/h"),
        rules=tuple(rules),
        mounts=(Mount(at("/shared"), Path("/s"), tuple(reversed(rules))), *ALICE.mounts[1:]),
    )
    home = MemoryStorage()
    for name in ("/outbox/f", "/inbox/f.csv", "/f"):
        home.put(name, b"")
    mounts = {}
    for mount in alice.mounts:
        tree = MemoryStorage()
        for name in ("/f", "/f.csv"):
            tree.put(name, b"")
        mounts[mount.path] = GuardedStorage(tree, mount.rules)
    storage = MountedStorage(GuardedStorage(home, alice.rules), mounts)
    assert explain(alice, permission, at(path)).is_allowed == may(storage, permission, at(path))
