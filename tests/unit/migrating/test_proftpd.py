"""ProFTPD's settings, users and limits as ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsd.auth.explain import explain
from ftpsd.migrating.old_machine import MigrationError
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import Permission
from tests.unit.migrating.other_machine import SHA512, Machine

CONF = """\
ServerName "Files of somebody"
<IfModule mod_tls.c>
  Include /etc/proftpd/tls.conf
</IfModule>
Port 2121
UseIPv6 off
<Global>
  Umask 022 022
  AllowOverwrite on
</Global>
<IfModule !mod_none.c>
  Port 99
</IfModule>
MaxInstances 30
MaxClientsPerHost 5 "Too many"
TimeoutIdle 1200
PassivePorts 49152 \\
   49200
MasqueradeAddress ftp.example.com
TransferRate RETR,STOR 100
TransferRate APPE 10 user alice
RequireValidShell off
AuthUserFile /etc/proftpd/passwd
AuthGroupFile /etc/proftpd/group
DefaultRoot ~ !staff
DefaultRoot /srv/%u staff
SQLConnectInfo base@host somebody secret-word
<Limit LOGIN>
  DenyUser carol
</Limit>
<Limit DELE RMD>
  AllowGroup staff
  DenyAll
</Limit>
<Directory /srv/alice/uploads/*>
  <Limit READ>
    DenyAll
  </Limit>
</Directory>
<Directory ~/frozen>
  <Limit WRITE>
    DenyAll
  </Limit>
</Directory>
<Directory ~/partly>
  <Limit READ>
    Order deny,allow
    Deny from 10.0.0.0/8
  </Limit>
</Directory>
<Anonymous ~ftp>
  User ftp
  <Limit READ>
    DenyAll
  </Limit>
</Anonymous>
"""
TLS = """\
TLSEngine on
TLSRequired on
TLSRSACertificateFile /etc/ssl/rsa.pem
TLSRSACertificateKeyFile /etc/ssl/rsa.key
TLSECCertificateFile /etc/ssl/ec.pem
TLSECCertificateKeyFile /etc/ssl/ec.key
TLSOptions NoSessionReuseRequired
TLSProtocol TLSv1.1
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with ProFTPD and four users of its own."""
    machine = Machine(tmp_path)
    machine.write("/etc/proftpd/proftpd.conf", CONF)
    machine.write("/etc/proftpd/tls.conf", TLS)
    names = ("alice", "bob", "carol", "dora")
    lines = [f"{name}:{SHA512}:{1000 + at}:100::/srv/{name}:/bin/false" for at, name in enumerate(names)]
    machine.write("/etc/proftpd/passwd", "\n".join(lines).replace(f"dora:{SHA512}", "dora:aXdes"))
    machine.write("/etc/proftpd/group", "staff:x:50:bob\nusers:x:100:\n")
    return machine


def test_settings(machine: Machine) -> None:
    """Included files and blocks count; what has nothing in its place is named, without its value."""
    result = machine.migrate("proftpd", "/etc/proftpd/proftpd.conf")
    made = result.config
    assert [(each.mode, each.address, each.port) for each in made.listeners] == [("explicit", "0.0.0.0", 2121)]
    assert (made.tls.require, made.tls.data_session_reuse) == ("control-and-data", "offered")
    assert str(made.tls.certificate) == "/etc/ssl/ec.pem"
    assert [str(pair.private_key) for pair in made.tls.also] == ["/etc/ssl/rsa.key"]
    assert (str(made.passive.ports), str(made.passive.public_address)) == ("49152-49200", "ftp.example.com")
    assert (made.limits.connections, made.limits.connections_per_address, made.limits.idle_timeout) == (30, 5, 1200.0)
    assert (made.limits.download_rate, made.limits.upload_rate, made.uploads.umask) == (102400, 102400, 0o022)
    for name in ("anonymous", "sqlconnectinfo", "tlsprotocol", "TransferRate"):
        assert f": {name}: LEFT BEHIND" in result.server
    assert "secret-word" not in result.server


def test_limits(machine: Machine) -> None:
    """The rules allow what the limits allow."""
    made = machine.migrate("proftpd", "/etc/proftpd/proftpd.conf").users.users
    assert {name for name, user in made.items() if user.enabled} == {"alice", "bob"}
    assert made["dora"].password is None
    asked = {
        ("alice", "upload", "/a"): True,
        ("alice", "overwrite", "/a"): True,
        ("alice", "append", "/a"): False,  # AllowStoreRestart is off unless said
        ("alice", "delete", "/a"): False,
        ("bob", "delete", "/a"): True,
        ("alice", "read", "/uploads/a"): False,
        ("alice", "upload", "/uploads/a"): True,
        ("bob", "read", "/uploads/a"): True,
        ("alice", "upload", "/frozen/a"): False,
        ("alice", "read", "/frozen/a"): True,
        ("bob", "delete", "/frozen/a"): True,  # the limit of the command is nearer than that of its group
        ("alice", "read", "/partly/a"): False,  # depends on the address, so it is closed
    }
    for (name, action, path), expected in asked.items():
        result = explain(made[name], Permission(action), VirtualPath.parse(path))
        assert result.is_allowed is expected, (name, action, path)


def test_logins(machine: Machine) -> None:
    """Networks of a LOGIN limit are the user's; one that cannot be said shuts everybody out."""
    head = "AuthUserFile /etc/proftpd/passwd\nRequireValidShell off\nDefaultRoot ~\n<Limit LOGIN>\n"
    asked = {
        "Allow from 10.1., 192.0.2.7\nDeny from all\n": (True, ["10.1.0.0/16", "192.0.2.7/32"]),
        "Allow from .example.com\nDenyAll\n": (False, []),
        "AllowUser alice\nDenyAll\n": (True, []),
        "AllowUser bob\nDenyAll\n": (False, []),
        "AllowUser regex ^a\nDenyAll\n": (False, []),
        "Order deny,allow\nDeny from 192.0.2.0/24\nAllow from all\n": (False, []),
        "AllowAll\n": (True, []),
    }
    for limit, expected in asked.items():
        machine.write("/etc/proftpd/proftpd.conf", f"{head}{limit}</Limit>\n")
        alice = machine.migrate("proftpd", "/etc/proftpd/proftpd.conf").users.users["alice"]
        assert (alice.enabled, [str(each) for each in alice.networks]) == expected, limit
    machine.write("/etc/proftpd/proftpd.conf", "AuthUserFile /etc/proftpd/passwd\n")
    assert not machine.migrate("proftpd", "/etc/proftpd/proftpd.conf").users.users["alice"].enabled


def test_what_is_no_configuration(machine: Machine) -> None:
    """Blocks that do not end, or include each other for ever, are refused."""
    for text in ("<Global>\n", "</Global>\n", "Include /etc/proftpd/proftpd.conf\n", "<A>\n" * 40):
        machine.write("/etc/proftpd/proftpd.conf", text)
        with pytest.raises(MigrationError):
            machine.migrate("proftpd", "/etc/proftpd/proftpd.conf")
