"""A server made by `ftpsd migrate` lets the users of the other one do what they could, and no more."""

from __future__ import annotations

import ftplib
import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from ftpsd.cli.program import main
from ftpsd.demo.authority import Demonstration
from tests.e2e.client import IPV4, ReusedFTP_TLS, tls_context
from tests.e2e.daemon import PASSWORD, Daemon
from tests.unit.migrating.other_machine import SHA512


class Migrated(Daemon):
    """The daemon of a migrated vsftpd; only what belongs to this machine alone is added."""

    def settings(self) -> dict[str, Any]:
        """Return what was made, with places of this test."""
        given = super().settings()
        ours = {key: given[key] for key in ("metrics", "control_socket", "state", "audit", "penalties")}
        return {**self.made(), **ours}

    def write_users(self, users: object) -> None:
        """Leave the file to the command."""

    def made(self) -> dict[str, Any]:
        """Write what vsftpd had, run the command, and return the ftpsd.yaml that it has made."""
        there = self.folder / "there"
        homes = {name: there / "homes" / name for name in ("alice", "bob", "carol")}
        for home in homes.values():
            home.mkdir(parents=True, exist_ok=True)
            (home / "old.txt").write_text("old")
        (there / "own").mkdir(exist_ok=True)
        (there / "own" / "bob").write_text("write_enable=NO\n")
        (there / "denied").write_text("carol\n")
        accounts = [f"{name}:{SHA512}:{1000 + at}:9::{home}:/bin/sh" for at, (name, home) in enumerate(homes.items())]
        (there / "passwd").write_text("\n".join(accounts))
        (there / "vsftpd.conf").write_text(
            f"listen_port={self.ports.explicit}\nlocal_enable=YES\nwrite_enable=YES\nchroot_local_user=YES\n"
            f"cmds_denied=DELE\nuser_config_dir={there / 'own'}\n"
            f"userlist_enable=YES\nuserlist_file={there / 'denied'}\nanonymous_enable=NO\nssl_enable=YES\n"
            f"rsa_cert_file={self.tls.certificate}\nrsa_private_key_file={self.tls.private_key}\n"
            f"pasv_min_port={self.ports.passive[0]}\npasv_max_port={self.ports.passive[-1]}\n"
        )
        for name in ("ftpsd.yaml", "users.yaml"):
            (self.folder / name).unlink(missing_ok=True)
        words = ["migrate", "vsftpd", str(there / "vsftpd.conf"), "--passwd", str(there / "passwd")]
        result = CliRunner().invoke(main, [*words, "--output", str(self.folder)])
        assert result.exit_code == 0, result.output
        assert self.users_file.stat().st_mode & 0o777 == 0o600
        again = CliRunner().invoke(main, [*words, "--output", str(self.folder)])
        assert (again.exit_code, "nothing was replaced" in again.stderr) == (2, True)
        assert SHA512 not in result.output
        settings: dict[str, Any] = yaml.safe_load(self.config_file.read_text())
        return settings


def client(daemon: Daemon, user: str) -> ftplib.FTP_TLS:
    found = ReusedFTP_TLS(context=tls_context(daemon), timeout=30)
    found.connect(IPV4, daemon.ports.explicit)
    found.login(user, PASSWORD)
    found.prot_p()
    return found


def test_the_same_users_do_the_same(tmp_path: Path, tls_files: Demonstration) -> None:
    """They log in with their passwords; upload where they could; are refused where they were."""
    daemon = Migrated(tmp_path, tls_files)
    assert daemon.order("check").returncode == 0, daemon.order("check").stderr
    with daemon.running():
        with client(daemon, "alice") as alice:
            assert alice.storbinary("STOR new.txt", io.BytesIO(b"new")).startswith("226")
            assert sorted(alice.nlst()) == ["new.txt", "old.txt"]
            with pytest.raises(ftplib.error_perm, match=r"^550"):
                alice.delete("new.txt")
        with client(daemon, "bob") as bob:
            read = io.BytesIO()
            bob.retrbinary("RETR old.txt", read.write)
            assert read.getvalue() == b"old"
            with pytest.raises(ftplib.error_perm, match=r"^55"):
                bob.storbinary("STOR new.txt", io.BytesIO(b"new"))
        with pytest.raises(ftplib.error_perm, match=r"^530"):
            client(daemon, "carol")
