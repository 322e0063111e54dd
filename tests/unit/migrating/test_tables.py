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
from ftpsd.values.permission import Permission
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
