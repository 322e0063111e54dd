"""Encryption at rest where something is missing: the directory of data keys, and the encryption of some names."""

from __future__ import annotations

import ftplib
import os
from pathlib import Path

import pytest

from ftpsd.demo.authority import Demonstration
from tests.contracts.storages import put
from tests.e2e.client import EXPLICIT, download, log_in, upload
from tests.e2e.daemon import Daemon
from tests.e2e.encrypted import encrypt_homes, jail_of, make_keys
from tests.e2e.polling import eventually
from tests.e2e.storage.test_encryption import running


def test_an_emptied_directory_of_data_keys(tmp_path: Path, tls_files: Demonstration) -> None:
    """As where its disk is not mounted: 451, and an error of check and reload, also where no file is there to see."""
    keys = tmp_path / "keys"
    with running(tmp_path / "daemon", tls_files, keys, users=2) as daemon:
        account, other = daemon.account(), daemon.account()
        ftp = log_in(daemon, EXPLICIT, account)
        upload(ftp, "file", b"data")
        (keys / "data-keys").rename(keys / "away")
        (keys / "data-keys").mkdir(mode=0o700)
        for name in ("RETR file", "STOR new"):
            with pytest.raises(ftplib.error_temp, match=r"^451 "):
                ftp.retrbinary(name, lambda _: None) if name.startswith("RETR") else upload(ftp, "new", b"data")
        ftp.close()
        fresh = log_in(daemon, EXPLICIT, other)
        with pytest.raises(ftplib.error_temp, match=r"^451 "):
            upload(fresh, "new", b"data")
        fresh.close()
        daemon.wait_for_event("file-damaged", reason="missing-key")
        checked = daemon.order("check")
        assert checked.returncode == 2
        assert f"it has no data keys, and {account.home / 'file'} is encrypted; bring it back" in checked.stderr
        assert daemon.order("reload").returncode == 2
        (keys / "data-keys").rename(keys / "empty")
        (keys / "away").rename(keys / "data-keys")
        ftp = log_in(daemon, EXPLICIT, account)
        assert download(ftp, "file") == b"data"
        ftp.close()
        daemon.stop()
        daemon.start()  # which notes in the state file that there are keys

        def is_noted() -> bool:
            (keys / "data-keys").rename(keys / "away")
            (keys / "data-keys").mkdir(mode=0o700)
            checked = daemon.order("check")
            (keys / "data-keys").rmdir()
            (keys / "away").rename(keys / "data-keys")
            return checked.returncode == 2 and "it is empty, and has had data keys before" in checked.stderr

        (account.home / "file").unlink()
        eventually(is_noted, "the error")
        assert daemon.order("check").returncode == 0


def test_what_shred_leaves_readable_is_told(tmp_path: Path, tls_files: Demonstration) -> None:
    """Plain files with the number, and 1 as the exit status; `rekey` tells of names elsewhere."""
    keys = tmp_path / "keys"
    section = make_keys(keys)
    daemon = Daemon(tmp_path / "daemon", tls_files, {"encryption": section}, users=1)
    encrypt_homes(daemon)
    account = daemon.account()
    put(jail_of(keys, account.home), "/file", b"data")
    (account.home / "plain").write_bytes(b"plain")
    os.link(account.home / "plain", tmp_path / "elsewhere")
    daemon.write_config()
    config = ("--config", str(daemon.config_file))
    sealed = daemon.order("rekey", "--seal-plain", *config)
    assert (sealed.returncode, "another name of it elsewhere" in sealed.stderr) == (1, True), sealed.stderr
    assert "1 file encrypted here, and plain under another name elsewhere" in sealed.stdout
    (account.home / "later").write_bytes(b"plain")
    shredded = daemon.order("shred", account.name, "--yes", *config)
    assert shredded.returncode == 1
    assert f"{account.home}: 1 file not encrypted" in shredded.stderr
