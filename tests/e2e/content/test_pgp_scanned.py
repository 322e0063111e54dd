"""Plaintext is scanned: a real clamd sees what the client sends before gpg encrypts it, and what gpg has decrypted."""

from __future__ import annotations

import ftplib
import io
import random

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT_1_2, log_in
from tests.e2e.content.clamav import EICAR, ClamAV
from tests.e2e.content.openpgp import Partner
from tests.e2e.daemon import Daemon


def test_plaintext_is_scanned(
    tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration, clamd: ClamAV
) -> None:
    """550 with an incident for both; nothing is published, nor the plaintext kept; clean files pass, and are whole."""
    partner = Partner()
    key = partner.make_key("both@example.com")
    rules = [{"paths": ["/out/**"], "encrypt_to": [key]}, {"paths": ["/in/**"], "decrypt": True}]
    accept = [{"paths": ["/out/**", "/in/**"], "scan": [clamd.url]}]
    changes = {"pgp": rules, "accept": accept, "quarantine": {"directory": "quarantine"}}
    daemon = Daemon(tmp_path_factory.mktemp("scanned"), tls_files, changes, users=1)
    try:
        given = daemon.folder / "given.pgp"
        given.write_bytes(partner.secret("both@example.com"))
        assert daemon.order("keys", "import", str(given), "--config", str(daemon.config_file)).returncode == 0
        daemon.start()
        account = daemon.account()
        for folder in ("in", "out"):
            (account.home / folder).mkdir()
        clean = random.Random(7).randbytes(6_000_000)
        with log_in(daemon, EXPLICIT_1_2, account) as ftp:
            for data in (EICAR, clean + EICAR):
                with pytest.raises(ftplib.error_perm, match=r"550 .*Incident [0-9a-f]{10}"):
                    ftp.storbinary("STOR /out/f", io.BytesIO(data))
                daemon.wait_for_event("upload-refused", path="/out/f.pgp", bytes=len(data))
                message = partner.gpg("--recipient", key, "--encrypt", given=data)
                with pytest.raises(ftplib.error_perm, match=r"550 .*Incident [0-9a-f]{10}"):
                    ftp.storbinary("STOR /in/f.pgp", io.BytesIO(message))
            assert [path for folder in ("in", "out") for path in (account.home / folder).iterdir()] == []
            assert "stored as f.pgp" in ftp.storbinary("STOR /out/f", io.BytesIO(clean))
            message = (account.home / "out/f.pgp").read_bytes()
            assert partner.gpg("--decrypt", given=message) == clean
            assert "stored as f." in ftp.storbinary("STOR /in/f.pgp", io.BytesIO(message))
            assert (account.home / "in/f").read_bytes() == clean
        daemon.stop()
    finally:
        daemon.kill()
        partner.close()
