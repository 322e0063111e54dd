"""Users of SFTPGo and pyftpdlib as ours."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from ftpsd.auth.hashing.passwords import verify
from ftpsd.migrating.old_machine import MigrationError
from ftpsd.migrating.servers.sftpgo import respelt
from ftpsd.values.permission import ALL, Permission
from tests.unit.migrating.other_machine import SHA512, Machine

DUMP = json.dumps(
    {
        "users": [
            {
                "username": "alice",
                "status": 1,
                "password": SHA512,
                "home_dir": "/srv/alice",
                "permissions": {"/": ["*"], "/out": ["list", "download"], "/in": ["upload"]},
                "quota_size": 1000,
                "quota_files": 10,
                "max_sessions": 2,
                "upload_bandwidth": 100,
                "expiration_date": 1924992000000,
                "filters": {"allowed_ip": ["192.0.2.0/24"]},
            },
            {"username": "off", "status": 0, "password": SHA512, "home_dir": "/srv/off", "permissions": {"/": ["*"]}},
            {
                "username": "cloud",
                "status": 1,
                "password": SHA512,
                "home_dir": "/srv/c",
                "permissions": {"/": ["*"]},
                "filesystem": {"provider": 1},
            },
            {
                "username": "ssh",
                "status": 1,
                "password": "$1$abc$def",
                "home_dir": "/srv/s",
                "filters": {"denied_protocols": ["FTP"], "denied_ip": ["10.0.0.0/8"], "totp_config": {"enabled": True}},
            },
        ],
        "admins": [{"username": "root", "password": "secret-word"}],
    }
)
TABLE = f"""\
user_table = {{
    'alice': {{'pwd': {SHA512!r}, 'home': '/srv/alice', 'perm': 'elrw', 'operms': {{'/srv/alice/out': ('elr', True)}}}},
    'bob': {{'pwd': 'clear-word', 'home': '/srv/bob', 'perm': 'elradfmwMT'}},
    'anonymous': {{'pwd': '', 'home': '/srv/pub', 'perm': 'elr'}},
}}
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with files of both."""
    machine = Machine(tmp_path)
    machine.write("/dump.json", DUMP)
    machine.write("/table.py", TABLE)
    return machine


def test_sftpgo(machine: Machine) -> None:
    """Users with all that a dump says of them."""
    made = machine.migrate("sftpgo", "/dump.json")
    people = made.users.users
    assert {name for name, user in people.items() if user.enabled} == {"alice"}
    alice = people["alice"]
    assert (alice.password, str(alice.home), alice.sessions, alice.upload_rate) == (SHA512, "/srv/alice", 2, 102400)
    assert alice.rules is not None
    assert [rule.pattern for rule in alice.rules] == ["/in/**", "/out/**", "/**"]
    assert alice.rules[1].allow == frozenset({Permission.LIST, Permission.READ})
    assert [str(each) for each in alice.networks] == ["192.0.2.0/24"]
    assert alice.expires is not None
    assert alice.expires.year == 2031
    assert [rule.allow for rule in people["ssh"].rules or ()] == [frozenset()]
    assert "secret-word" not in made.server + made.people


def test_groups_of_sftpgo(machine: Machine) -> None:
    """The primary group, then secondary ones; the user's own come first, and a group that is not there shuts out."""

    def member(name: str, *groups: tuple[str, int], **more: object) -> dict[str, object]:
        of = [{"name": group, "type": kind} for group, kind in groups]
        return {"username": name, "status": 1, "password": SHA512, "home_dir": "/srv/old", "groups": of, **more}

    groups = [
        {
            "name": "partners",
            "user_settings": {
                "home_dir": "/srv/%username%",
                "permissions": {"/": ["list"], "/%username%": ["*"]},
                "max_sessions": 3,
                "upload_bandwidth": 50,
                "filters": {"allowed_ip": ["192.0.2.0/24"]},
            },
        },
        {
            "name": "readers",
            "user_settings": {
                "home_dir": "/srv/never",
                "permissions": {"/": ["*"], "/pub": ["list", "download"], "/in": ["*"]},
                "max_sessions": 9,
                "filters": {"allowed_ip": ["198.51.100.0/24"]},
            },
        },
        {"name": "others", "user_settings": {"permissions": {"/pub": ["*"]}}},
        {"name": "cloud", "user_settings": {"filesystem": {"provider": 1}}},
        {"name": "strict", "user_settings": {"filters": {"denied_protocols": ["FTP"]}}},
    ]
    both = (("readers", 2), ("partners", 1), ("others", 3))
    users = [
        member("alice", *both, permissions={"/in": ["upload"]}, max_sessions=1),
        member("bob", ("partners", 1)),
        member("lost", ("absent", 1)),
        member("torn", ("readers", 2), ("others", 2), permissions={"/": ["list"]}),
        member("far", ("cloud", 1)),
        member("shut", ("strict", 2)),
    ]
    machine.write("/dump.json", json.dumps({"users": users, "groups": groups}))
    people = machine.migrate("sftpgo", "/dump.json").users.users
    assert {name for name, user in people.items() if user.enabled} == {"alice", "bob"}
    alice, bob = people["alice"], people["bob"]
    assert (str(alice.home), alice.sessions, alice.upload_rate) == ("/srv/alice", 1, 51200)
    assert {rule.pattern: sorted(map(str, rule.allow)) for rule in alice.rules or ()} == {
        "/alice/**": sorted(map(str, ALL)),
        "/in/**": ["upload"],
        "/pub/**": ["list", "read"],
        "/**": ["list"],
    }
    assert [str(each) for each in alice.networks] == ["192.0.2.0/24", "198.51.100.0/24"]
    assert (str(bob.home), bob.sessions, [str(each) for each in bob.networks]) == ("/srv/bob", 3, ["192.0.2.0/24"])


def test_hashes_of_sftpgo() -> None:
    """Its spelling of PBKDF2 becomes the one that is verified here, with the salt as it is or in base64."""
    for name, salt in (("sha256", b"E86a9YMX3zC7"), ("b64salt-sha256", b"\xff\x00salt+salt?"), ("sha512", b"abcdefgh")):
        made = hashlib.pbkdf2_hmac(name.removeprefix("b64salt-"), b"open", salt, 1000)
        spelt = base64.b64encode(salt).decode() if "b64" in name else salt.decode()
        stored = respelt(f"$pbkdf2-{name}$1000${spelt}${base64.b64encode(made).decode()}")
        assert verify("open", stored), name
        assert not verify("other", stored)


def test_pyftpdlib(machine: Machine) -> None:
    """Users of the table; a password in clear is not taken over, and an expression is not run."""
    made = machine.migrate("pyftpdlib", "/table.py")
    people = made.users.users
    assert {name: user.enabled for name, user in people.items()} == {"alice": True, "bob": False}
    rules = people["alice"].rules
    assert rules is not None
    assert [(rule.pattern, sorted(rule.allow)) for rule in rules] == [
        ("/out/**", ["list", "read"]),
        ("/**", ["list", "overwrite", "read", "upload"]),
    ]
    assert people["bob"].rules is None
    assert "clear-word" not in made.people
    assert "anonymous: LEFT BEHIND" in made.server
    for text in ("__import__('os').getpid()", "[1]", "{'a': 1}", "(" * 5000):
        machine.write("/table.py", text)
        with pytest.raises(MigrationError):
            machine.migrate("pyftpdlib", "/table.py")
    for text in ("[" * 100_000, "{}", "x", '{"users": [1]}'):
        machine.write("/dump.json", text)
        with pytest.raises(MigrationError):
            machine.migrate("sftpgo", "/dump.json")
