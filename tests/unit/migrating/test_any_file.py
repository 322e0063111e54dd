"""Whatever is in a file of another server: files that ftpsd reads, or the one error."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from ftpsd.migrating.all_servers import SERVERS
from ftpsd.migrating.old_machine import MigrationError, OldMachine
from tests.fuzz.mutations import mutated
from tests.unit.migrating import test_filezilla, test_proftpd, test_pureftpd, test_tables, test_vsftpd
from tests.unit.migrating.other_machine import SHA512, Machine

EXAMPLES = {
    "vsftpd": test_vsftpd.CONF,
    "proftpd": test_proftpd.CONF.replace("/etc/proftpd/passwd", "/passwd") + test_proftpd.TLS,
    "pure-ftpd": test_pureftpd.CONF.replace("/etc/pure-ftpd/pureftpd.pdb", "/passwd.pdb"),
    "filezilla": test_filezilla.USERS,
    "sftpgo": test_tables.DUMP,
    "pyftpdlib": test_tables.TABLE,
    "pureftpd.passwd": test_pureftpd.PEOPLE,
}
PASSWD = f"alice:{SHA512}:1000:100::/home/alice:/bin/sh\nb\u00f6b:!:1001:100::/:/bin/sh\nc:d\n"
MANY = 60


def test_any_file(tmp_path: Path) -> None:
    """However it is damaged, what is made is right, and nothing else is raised."""
    machine = Machine(tmp_path)
    assert set(SERVERS) <= set(EXAMPLES)
    everything = [text.encode() for text in (*EXAMPLES.values(), PASSWD)]
    for program, example in EXAMPLES.items():
        for seed in range(MANY):
            chance = Random(f"{program} {seed}")
            for name, text in (("conf", example), ("passwd", PASSWD)):
                data = text.encode()
                if seed % 3 != (name == "conf"):
                    data = mutated(chance, data, everything)
                machine.write(name, "").write_bytes(data)
            # FileZilla Server's, which is read where it is beside the other.
            machine.write("settings.xml", "").write_bytes(
                mutated(Random(seed), test_filezilla.SETTINGS.encode(), everything)
            )
            with suppress(MigrationError):
                machine.migrate("pure-ftpd" if program == "pureftpd.passwd" else program, "conf", "passwd")


def test_what_is_there_and_no_file_is_told(tmp_path: Path) -> None:
    """A directory, or a pipe, which would never end, is not called missing."""
    os.mkfifo(tmp_path / "pipe")
    for place, why in ((tmp_path, "is no file"), (tmp_path / "pipe", "is no file"), (tmp_path / "x", "no such file")):
        with pytest.raises(MigrationError, match=why):
            OldMachine().text(place)
