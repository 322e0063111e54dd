"""Users of FileZilla Server as ours."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from ftpsd.auth.hashing.passwords import verify
from ftpsd.migrating.old_machine import MigrationError
from ftpsd.values.permission import ALL, Permission
from tests.unit.migrating.other_machine import Machine

SALT = bytes(range(224, 256))
DIGEST = base64.b64encode(hashlib.pbkdf2_hmac("sha256", b"open", SALT, 1000)).decode().rstrip("=")
PASSWORD = (
    f'<password index="1"><hash>{DIGEST}</hash><salt>{base64.b64encode(SALT).decode().rstrip("=")}</salt>'
    "<iterations>1000</iterations></password>"
)
USERS = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<filezilla xmlns="https://filezilla-project.org">
  <user name="alice" enabled="true">
    <mount_point tvfs_path="/" access="1" native_path="/srv/alice" recursive="2"/>
    <mount_point tvfs_path="/shared" access="0" native_path="/srv/shared" recursive="2"/>
    <disallowed_ips>*</disallowed_ips><allowed_ips>192.0.2.0/24</allowed_ips>
    <session_count_limit>3</session_count_limit>{PASSWORD}<methods>password</methods>
  </user>
  <user name="win" enabled="true">
    <mount_point tvfs_path="/" access="1" native_path="C:\\files" recursive="2"/>{PASSWORD}
  </user>
  <user name="off" enabled="false">
    <mount_point tvfs_path="/" access="1" native_path="/srv/off" recursive="1"/>{PASSWORD}
  </user>
  <user name="member" enabled="true"><mount_point tvfs_path="/" access="0" native_path="/srv/m" recursive="2"/>
    {PASSWORD}<groups>staff</groups>
  </user>
</filezilla>
"""


def test_users(tmp_path: Path) -> None:
    """Hashes, mount points and networks are carried over; what cannot be shuts out."""
    machine = Machine(tmp_path)
    machine.write("/users.xml", USERS)
    people = machine.migrate("filezilla", "/users.xml").users.users
    assert {name: user.enabled for name, user in people.items()} == {
        "alice": True, "win": False, "off": False, "member": False
    }  # fmt: skip
    alice = people["alice"]
    assert verify("open", alice.password)
    assert not verify("other", alice.password)
    assert (str(alice.home), alice.rules, alice.sessions) == ("/srv/alice", None, 3)
    assert [str(each) for each in alice.networks] == ["192.0.2.0/24"]
    shared = alice.mounts[0].rules
    assert shared is not None
    assert shared[0].allow == frozenset({Permission.LIST, Permission.READ})
    offs = people["off"].rules
    assert offs is not None
    assert ALL - offs[0].allow == {Permission.MKDIR, Permission.RMDIR, Permission.RENAME}


def test_what_is_refused(tmp_path: Path) -> None:
    """A DTD, other XML, and no XML; also where a declared encoding would hide the DTD."""
    machine = Machine(tmp_path)
    bomb = '<!DOCTYPE a [<!ENTITY b "b">]><filezilla>&b;</filezilla>'
    for text in (bomb, '<?xml version="1.0" encoding="UTF-16"?>' + bomb, "<a/>", "<filezilla>", ""):
        machine.write("/users.xml", text)
        with pytest.raises(MigrationError):
            machine.migrate("filezilla", "/users.xml")
    machine.write("/users.xml", "").write_bytes(b"\xff\xfe" + bomb.encode("utf-16-le"))
    with pytest.raises(MigrationError):
        machine.migrate("filezilla", "/users.xml")
