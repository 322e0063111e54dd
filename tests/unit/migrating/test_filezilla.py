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


SETTINGS = """\
<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<filezilla xmlns:fz="https://filezilla-project.org" xmlns="https://filezilla-project.org" fz:product_version="1.9.4">
  <all_protocols>
    <autobanner><ban_duration>300000</ban_duration></autobanner>
    <timeouts><login_timeout>45000</login_timeout><activity_timeout>1800000</activity_timeout></timeouts>
  </all_protocols>
  <ftp_server>
    <!--List of addresses and ports the FTP server will listen on.-->
    <listener><address>0.0.0.0</address><port>21</port><tls_mode>2</tls_mode></listener>
    <listener><address>::</address><port>21</port><tls_mode>2</tls_mode></listener>
    <listener><address>192.0.2.7</address><port>990</port><tls_mode>1</tls_mode></listener>
    <session>
      <pasv>
        <host_override>203.0.113.5</host_override>
        <do_not_override_host_if_peer_is_local>true</do_not_override_host_if_peer_is_local>
        <port_range><min>50100</min><max>50000</max></port_range>
      </pasv>
      <tls min_protocol_version="3">
        <cert><keyfile>/etc/ftps/key.pem</keyfile><certsfile>/etc/ftps/chain.pem</certsfile></cert>
      </tls>
    </session>
    <welcome_message has_version="false">Files of Example Corp.</welcome_message>
  </ftp_server>
</filezilla>
"""


def test_settings(tmp_path: Path) -> None:
    """Listeners, passive ports, certificate, times and the greeting of settings.xml beside users.xml."""
    machine = Machine(tmp_path)
    machine.write("/users.xml", USERS)
    machine.write("/settings.xml", SETTINGS)
    made = machine.migrate("filezilla", "/users.xml")
    config = made.config
    assert [(each.mode, each.address, each.port) for each in config.listeners] == [
        ("explicit", "::", 21),
        ("implicit", "192.0.2.7", 990),
    ]
    assert (config.passive.ports.first, config.passive.ports.last) == (50000, 50100)
    assert str(config.passive.public_address) == "203.0.113.5"
    assert (str(config.tls.certificate), str(config.tls.private_key)) == ("/etc/ftps/chain.pem", "/etc/ftps/key.pem")
    assert (config.tls.minimum_version, config.tls.require) == ("1.3", "control-and-data")
    assert (config.limits.login_timeout, config.limits.idle_timeout) == (45.0, 1800.0)
    assert config.banner == "Files of Example Corp."
    assert "do_not_override_host_if_peer_is_local: LEFT BEHIND" in made.server
    assert set(made.users.users) == {"alice", "win", "off", "member"}


def test_settings_that_are_otherwise(tmp_path: Path) -> None:
    """A listener that took passwords in clear, a certificate of the server's own, no range of ports: each is told."""
    machine = Machine(tmp_path)
    machine.write("/users.xml", USERS)
    plain = SETTINGS.replace("<tls_mode>2", "<tls_mode>0").replace("/etc/ftps/key.pem", "C:\\key.pem")
    machine.write("/settings.xml", plain.replace("<min>50100</min>", "").replace('"3"', '"2"'))
    made = machine.migrate("filezilla", "/users.xml")
    assert (made.config.tls.require, made.config.tls.minimum_version) == ("none", "1.2")
    for text in ("tls_mode: CHANGED", "certificate: LEFT BEHIND", "port_range: CHANGED"):
        assert text in made.server
    machine.write("/settings.xml", "<!DOCTYPE a []><filezilla/>")
    with pytest.raises(MigrationError, match="DTD"):
        machine.migrate("filezilla", "/users.xml")


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
