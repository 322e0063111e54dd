"""The rows of a review against what explain says and what the storage does, on random policies."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsd.auth.explain import explain
from ftpsd.auth.review import Review, Right
from ftpsd.config.people.provenance import Provenance
from ftpsd.config.users import UserRecord
from ftpsd.storage.base import Storage, StorageError, Terms
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.mounts import MountedStorage
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import Permission
from tests.contracts.storages import at
from tests.fakes import MemoryStorage
from tests.unit.config.samples import users

POLICIES = 1000
NAMES = ("a", "b", "ab", "a.csv")
PARTS = ("a", "b", "*", "a*", "?", "*.csv", "ab")
ROLES = ("r0", "r1", "r2", "r3")


def pattern(random_: random.Random) -> str:
    parts = [random_.choice(PARTS) for _ in range(random_.randrange(3))]
    return "/" + "/".join([*parts, *random_.choice([[], ["**"]])])


def rules(random_: random.Random) -> str:
    def allow() -> str:
        chosen = [word for word in Permission if random_.random() < 0.5]
        return random_.choice(["all", "[]", f"[{', '.join(chosen)}]", f"[{', '.join(chosen)}]"])

    return ", ".join(f"{{path: '{pattern(random_)}', allow: {allow()}}}" for _ in range(random_.randrange(4)))


def rights(random_: random.Random, *, group: bool = False) -> str:
    """Return keys that give rights, or none."""
    kind = random_.randrange(4 if group else 3)
    if kind == 0:
        return ""
    return f", role: {random_.choice(ROLES)}" if kind == 1 else f", rules: [{rules(random_)}]" if kind == 2 else ""


def mounts(random_: random.Random) -> str:
    paths = dict.fromkeys("/" + "/".join(random_.choices(NAMES, k=random_.choice([1, 1, 2]))) for _ in range(2))
    some = list(paths)[: random_.randrange(3)]
    return ", ".join(f"{{path: {path}, directory: '/m{path}'{rights(random_)}}}" for path in some)


def policy(random_: random.Random) -> str:
    """Return a users file with roles that inherit, groups, mounts and overlapping patterns."""
    lines = ["roles:"]
    for number, role in enumerate(ROLES):
        like = f", like: {random_.choice(ROLES[:number])}" if number and random_.random() < 0.5 else ""
        given = f", mounts: [{mounts(random_)}]" if random_.random() < 0.3 else ""
        lines.append(f"  {role}: {{rules: [{rules(random_)}]{like}{given}}}")
    lines.append("groups:")
    for group in ("g0", "g1"):
        given = f", mounts: [{mounts(random_)}]" if random_.random() < 0.5 else ""
        lines.append(f"  {group}: {{home: '/h/{{user}}'{rights(random_, group=True)}{given}}}")
    lines.append("users:")
    for user in ("u0", "u1"):
        home = random_.choice([f"group: {random_.choice(['g0', 'g1'])}", "home: /own"])
        given = f", mounts: [{mounts(random_)}]" if random_.random() < 0.4 else ""
        lines.append(f"  {user}: {{{home}{rights(random_)}{given}}}")
    return "\n".join(lines)


def paths(random_: random.Random, user: UserRecord) -> Iterator[VirtualPath]:
    """Yield random paths, and those on the borders of mounts."""
    for _ in range(4):
        yield VirtualPath(tuple(random_.choice(NAMES) for _ in range(random_.randrange(4))))
    for mount in user.mounts:
        yield mount.path
        yield VirtualPath(mount.path.parts[:-1])
        yield mount.path / random_.choice(NAMES)


def said(rows: tuple[Right, ...], path: VirtualPath) -> frozenset[Permission]:
    """Return what the rows say: the first that matches decides."""
    return next(row.allow for row in rows if row.matches(path))


def storage_of(user: UserRecord, path: VirtualPath, make: str) -> Storage:
    """Return what *user* works in, with a file or a directory at *path*, or nothing but the way to it."""

    def tree(point: VirtualPath) -> MemoryStorage:
        memory = MemoryStorage()
        inner = path.parts[len(point.parts) :] if path.is_within(point) else ()
        for depth in range(1, len(inner)):
            memory.make_directory(VirtualPath(inner[:depth]))
        if inner and make == "file":
            memory.put(str(VirtualPath(inner)), b"x")
        elif inner and make == "directory":
            memory.make_directory(VirtualPath(inner))
        return memory

    home = GuardedStorage(tree(VirtualPath(())), user.rules)
    if not user.mounts:
        return home
    return MountedStorage(home, {mount.path: GuardedStorage(tree(mount.path), mount.rules) for mount in user.mounts})


def does(user: UserRecord, permission: Permission, path: VirtualPath) -> bool | None:
    """Try it; None where one operation alone does not show the permission."""
    makes = {Permission.UPLOAD: "", Permission.MKDIR: "", Permission.LIST: "directory", Permission.RMDIR: "directory"}
    storage = storage_of(user, path, makes.get(permission, "file"))
    try:
        match permission:
            case Permission.LIST:
                storage.list(path).close()
            case Permission.READ:
                storage.open_source(path).close()
            case Permission.UPLOAD:
                storage.open_sink(path, Terms(may_replace=False)).abort()
            case Permission.OVERWRITE:
                storage.open_sink(path, Terms(may_create=False)).abort()
            case Permission.APPEND:
                storage.open_sink(path, Terms(append=True, may_create=False)).abort()
            case Permission.DELETE:
                storage.remove_file(path)
            case Permission.MKDIR:
                storage.make_directory(path)
            case Permission.RMDIR:
                storage.remove_directory(path)
            case Permission.SET_TIME:
                storage.set_modified(path, 1)
            case Permission.CHMOD:
                storage.set_mode(path, 0o600)
            case _:
                return None
    except StorageError:
        return False
    return True


@pytest.mark.slow
def test_rows_say_what_explain_says_and_the_storage_does() -> None:
    """For a thousand random policies, every user, random paths and every permission."""
    random_ = random.Random(4217)
    compared = allowed = tried = 0
    for number in range(POLICIES):
        text = policy(random_)
        found = users(text)
        places = Provenance(found)
        for user in found.users.values():
            review = Review(user)
            rows = tuple(review.rights)
            for path in paths(random_, user):
                row = rows[review.decides(path)]
                assert row == next(each for each in rows if each.matches(path)), (number, text, path)
                for permission in Permission:
                    answer = permission in row.allow
                    compared += 1
                    allowed += answer
                    assert answer == explain(user, permission, path).is_allowed, (number, text, user.name, path)
            # The same by the storage takes longer: one path and two permissions of each user.
            path = VirtualPath(tuple(random_.choice(NAMES) for _ in range(random_.randrange(1, 4))))
            is_held = any(mount.path.is_within(path) for mount in user.mounts)
            for permission in random_.sample(list(Permission), 2):
                done = None if is_held and permission is not Permission.LIST else does(user, permission, path)
                if done is not None:
                    tried += 1
                    assert done == (permission in said(rows, path)), (number, text, user.name, permission, path)
            # Every rule has its place in the file.
            assert len(places.rules(user.name)) == len(user.rules or ())
            for count, mount in enumerate(user.mounts):
                assert len(places.rules_of_mount(user.name, count)) == len(mount.rules or ())
    # A test of nothing would pass, too.
    assert compared > 100_000
    assert compared / 5 < allowed < compared * 4 / 5
    assert tried > 3000


def test_the_rows_of_one_user() -> None:
    """Paths that mounts hold, the mount with its end, the home with its end."""
    (user,) = users(
        "roles: {reader: {rules: [{path: /**, allow: [list, read]}]}}\n"
        "users: {a: {home: /h, rules: [{path: /in/*, allow: all}],\n"
        "  mounts: [{path: /s/m, directory: /d, role: reader}]}}"
    ).users.values()
    assert [(right.shown_path, sorted(right.allow)) for right in Review(user).rights] == [
        ("/", ["list"]),
        ("/s", ["list"]),
        ("/s/m", ["list", "read"]),
        ("/s/m/**", ["list", "read"]),
        ("/s/m/**", []),
        ("/in/*", sorted(Permission)),
        ("/**", []),
    ]
    assert Review(user).decides(at("/in/x")) == 5
    assert user.home == Path("/h")
