"""Pure-FTPd's settings and virtual users as ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsd.migrating.old_machine import MigrationError
from ftpsd.values.permission import Permission
from tests.unit.migrating.other_machine import SHA512, Machine

CONF = """\
# Somebody's server
ChrootEveryone               yes
MaxClientsNumber             70   # of them
MaxClientsPerIP              8
MaxIdleTime                  15
NoAnonymous                  no
PureDB                       /etc/pure-ftpd/pureftpd.pdb
PassivePortRange             30000 30100
ForcePassiveIP               192.0.2.7
UserBandwidth                8:16
Umask                        133:022
NoChmod                      yes
KeepAllFiles                 yes
ProhibitDotFilesWrite        yes
Bind                         127.0.0.1,2121
TLS                          2
CertFileAndKey               "/etc/ssl/a.pem" "/etc/ssl/a.key"
PerUserLimits                3:20
MadeUp                       secret-word
"""
# As pure-pw writes it; the cost of its hash is what it takes by itself.
ARGON2 = "$argon2id$v=19$m=8192,t=127,p=1$CT22EuICw7Z+UnjjYbabWQ$tBcnbEBBIs4PNIYznY/wZ5UTZ0ieWWE13eyIWwh6458"
PEOPLE = f"""\
joe:{ARGON2}:1000:1000::/home/joe/./:7168:5120:::3:100:10485760::::192.0.2.0/25:900-1800
ann:{SHA512}:1001:1000:Ann:/home/ann::::::::::10.0.0.0/8:::
old:$7$C6..../....swVShTUX9k:1002:1000::/home/old/./::::::::::::
two:{SHA512}:1003:1000::/home/two/./:::::::::::10.0.0.0/8:10.1.0.0/16:
here:{SHA512}:1003:1000::/home/here/./::::::::192.0.2.1::::
late:{SHA512}:1003:1000::/home/late/./::::::::::::2500-2600
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with Pure-FTPd."""
    machine = Machine(tmp_path)
    machine.write("/etc/pure-ftpd/pure-ftpd.conf", CONF)
    machine.write("/etc/pure-ftpd/pureftpd.passwd", PEOPLE)
    machine.write("/etc/timezone", "Europe/Berlin\n")
    return machine


def test_settings(machine: Machine) -> None:
    """The options that both have; the others are named."""
    result = machine.migrate("pure-ftpd", "/etc/pure-ftpd/pure-ftpd.conf")
    made = result.config
    assert [(each.mode, each.address, each.port) for each in made.listeners] == [("explicit", "127.0.0.1", 2121)]
    assert (made.tls.require, str(made.tls.private_key)) == ("control", "/etc/ssl/a.key")
    assert (str(made.passive.ports), str(made.passive.public_address)) == ("30000-30100", "192.0.2.7")
    assert (made.limits.connections, made.limits.connections_per_address, made.limits.sessions_per_user) == (70, 8, 3)
    assert (made.limits.idle_timeout, made.limits.upload_rate, made.limits.download_rate) == (900.0, 8192, 16384)
    assert made.uploads.umask == 0o022
    for name in ("NoAnonymous no", "prohibitdotfileswrite", "madeup"):
        assert f": {name}: LEFT BEHIND" in result.server
    assert "secret-word" not in result.server


def test_users(machine: Machine) -> None:
    """Limits of each user are the user's; those that cannot be said shut out."""
    made = machine.migrate("pure-ftpd", "/etc/pure-ftpd/pure-ftpd.conf")
    people = made.users.users
    assert {name for name, user in people.items() if user.enabled} == {"joe", "ann"}
    joe, ann = people["joe"], people["ann"]
    assert (joe.password, str(joe.home)) == (ARGON2, "/home/joe")
    assert (joe.upload_rate, joe.download_rate, joe.sessions) == (7168, 5120, 3)
    assert joe.quota is not None
    assert (joe.quota.bytes, joe.quota.files) == (10485760, 100)
    assert [str(each) for each in joe.networks][:1] == ["0.0.0.0/1"]
    assert "192.0.2.128/25" in {str(each) for each in joe.networks}
    assert 'hours: [{from: "09:00", to: "18:00", zone: Europe/Berlin}]' in made.people
    assert joe.rules is not None
    denied = {Permission.DELETE, Permission.CHMOD}
    assert set(Permission) - joe.rules[0].allow == denied
    assert [str(each) for each in ann.networks] == ["10.0.0.0/8"]
    assert "swVShTUX9k" not in made.people


def test_other_places(machine: Machine) -> None:
    """Debian's folder of options, the text of users alone, and a database, which is refused with the remedy."""
    for name, value in {"NoAnonymous": "yes", "TLS": "3", "PureDB": "/etc/pure-ftpd/pureftpd.pdb"}.items():
        machine.write(f"/etc/pure-ftpd/conf/{name}", f"{value}\n")
    made = machine.migrate("pure-ftpd", "/etc/pure-ftpd/conf")
    assert made.config.tls.require == "control-and-data"
    assert "joe" in made.users.users
    assert machine.migrate("pure-ftpd", "/etc/pure-ftpd/pureftpd.passwd").users.users["joe"].enabled
    with pytest.raises(MigrationError, match="pure-pw mkdb"):
        machine.migrate("pure-ftpd", "/etc/pure-ftpd/pureftpd.pdb")
