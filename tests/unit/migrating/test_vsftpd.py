"""vsftpd's settings and users as ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsd.migrating.old_machine import MigrationError
from ftpsd.values.permission import Permission
from tests.unit.migrating.other_machine import SHA512, Machine

CONF = """\
# a partner's server
listen=YES
listen_port=2121
anonymous_enable=YES
local_enable=YES
write_enable=YES
local_umask=022
chroot_local_user=YES
user_sub_token=$USER
local_root=/srv/ftp/$USER
user_config_dir=/etc/vsftpd/users
userlist_enable=YES
userlist_deny=NO
userlist_file=/etc/vsftpd.user_list
ssl_enable=YES
require_ssl_reuse=NO
rsa_cert_file=/etc/ssl/ftp.pem
rsa_private_key_file=/etc/ssl/ftp.key
ssl_ciphers=HIGH
pasv_min_port=40000
pasv_max_port=40100
pasv_address=192.0.2.7
port_enable=NO
max_clients=200
max_per_ip=4
local_max_rate=500000
idle_session_timeout=120
ftpd_banner=Welcome: to our "files".
tcp_wrappers=YES
made_up=secret-of-somebody
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with vsftpd and five accounts."""
    machine = Machine(tmp_path)
    machine.write("/etc/vsftpd.conf", CONF)
    machine.write("/etc/vsftpd.user_list", "alice\nbob\nold\nroot\n")
    machine.write("/etc/vsftpd/users/bob", "write_enable=NO\nlocal_root=/srv/shared\nlocal_max_rate=1000\n")
    names = ("alice", "bob", "carol", "old")
    lines = [f"{name}:x:{1000 + at}:100::/home/{name}:/bin/sh" for at, name in enumerate(names)]
    machine.write("/etc/passwd", "\n".join(["root:x:0:0:root:/root:/bin/sh", *lines, ""]))
    hashes = {"alice": SHA512, "bob": SHA512, "carol": SHA512, "old": "$1$salt$OfMd5", "root": SHA512}
    machine.write("/etc/shadow", "".join(f"{name}:{stored}:19000:0:99999:7:::\n" for name, stored in hashes.items()))
    return machine


def test_settings(machine: Machine) -> None:
    """A setting that both have is the same, and any other has its comment."""
    result = machine.migrate("vsftpd", "/etc/vsftpd.conf")
    made = result.config
    assert [(each.mode, each.address, each.port) for each in made.listeners] == [("explicit", "0.0.0.0", 2121)]
    assert (made.tls.require, made.tls.data_session_reuse) == ("control-and-data", "offered")
    assert (str(made.tls.certificate), str(made.tls.private_key)) == ("/etc/ssl/ftp.pem", "/etc/ssl/ftp.key")
    assert (str(made.passive.ports), str(made.passive.public_address)) == ("40000-40100", "192.0.2.7")
    assert (made.active.enabled, made.active.source_port) == (False, 0)
    assert (made.limits.connections, made.limits.connections_per_address) == (200, 4)
    assert (made.limits.download_rate, made.limits.idle_timeout) == (500000, 120.0)
    assert (made.uploads.umask, made.banner) == (0o022, 'Welcome: to our "files".')
    assert "vsftpd.conf:4: anonymous_enable=YES: LEFT BEHIND: ftpsd HAS NO ANONYMOUS LOGINS" in result.server
    for name in ("ssl_ciphers", "tcp_wrappers", "made_up"):
        assert f": {name}: LEFT BEHIND" in result.server
    assert "secret-of-somebody" not in result.server


def test_users(machine: Machine) -> None:
    """Those who could log in can, with the same password, home and rights; nobody else."""
    made = machine.migrate("vsftpd", "/etc/vsftpd.conf", "/etc/passwd", "/etc/shadow")
    people = made.users.users
    assert set(people) == {"alice", "bob", "carol", "old"}
    assert [name for name, user in people.items() if user.enabled] == ["alice", "bob"]
    assert people["alice"].password == SHA512
    assert (str(people["alice"].home), str(people["bob"].home)) == ("/srv/ftp/alice", "/srv/shared")
    assert people["alice"].rules is None
    bobs = people["bob"].rules
    assert bobs is not None
    assert [(rule.pattern, rule.allow) for rule in bobs] == [("/**", frozenset({Permission.LIST, Permission.READ}))]
    assert people["bob"].upload_rate == 1000
    assert "OfMd5" not in made.people
    assert "disabled: the password hash is of a kind that ftpsd does not accept" in made.people
    assert "keeps this user out" in made.people


def test_words_narrow(machine: Machine) -> None:
    """Commands that were denied are denied; a list that cannot be read lets nobody in; no TLS stays no TLS."""
    machine.write(
        "/etc/vsftpd.conf",
        "local_enable=YES\nwrite_enable=YES\ncmds_denied=DELE,RMD,SITE\nuserlist_enable=YES\nuserlist_file=/missing\n",
    )
    made = machine.migrate("vsftpd", "/etc/vsftpd.conf", "/etc/passwd", "/etc/shadow")
    rules = made.users.users["alice"].rules
    assert rules is not None
    assert set(Permission) - rules[0].allow == {Permission.DELETE, Permission.RMDIR, Permission.CHMOD}
    assert not any(user.enabled for user in made.users.users.values())
    assert made.config.tls.require == "none"


def test_what_is_no_configuration(machine: Machine) -> None:
    """A file of another kind is refused with its line; so is one that is not there."""
    machine.write("/etc/other", "a line\n")
    reasons = {"/etc/other": "no line of vsftpd", "/etc/missing": "no such file", "/etc": "is no file, but a directory"}
    for name, why in reasons.items():
        with pytest.raises(MigrationError, match=why):
            machine.migrate("vsftpd", name)
