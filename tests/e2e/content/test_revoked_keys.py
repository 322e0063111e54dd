"""Revoked OpenPGP keys, with the real gpg: nothing goes to them, and nothing comes from them."""

from __future__ import annotations

import ftplib
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT, log_in
from tests.e2e.content.openpgp import Partner
from tests.e2e.daemon import Daemon

MARKER = b"some bytes of a message"


@pytest.fixture
def partner() -> Iterator[Partner]:
    """The test's own gpg."""
    partner = Partner()
    yield partner
    partner.close()


def put(ftp: ftplib.FTP, name: str, data: bytes) -> str:
    """Upload; return the last reply, also a refusal."""
    try:
        return ftp.storbinary(f"STOR {name}", io.BytesIO(data))
    except ftplib.Error as refused:
        return str(refused)


def test_a_key_that_is_revoked(tmp_path: Path, tls_files: Demonstration, partner: Partner) -> None:
    """
    Of a recipient, of our signer, and of theirs: good until the revocation is imported, and from then on 550.

    Nothing is published, what was there stays, and the reason is in the log.
    """
    ours, theirs, going = (partner.make_key(f"{name}@example.com") for name in ("ours", "theirs", "going"))
    rules = [
        {"paths": ["/going/**"], "encrypt_to": [going]},
        {"paths": ["/signs/**"], "encrypt_to": [theirs], "sign_with": going},
        {"paths": ["/from/**"], "decrypt": True, "verify_from": [going]},
        {"paths": ["/any/**"], "decrypt": True},
    ]
    daemon = Daemon(tmp_path / "daemon", tls_files, {"pgp": rules}, users=1)
    account, file = daemon.account(), tmp_path / "given.pgp"
    folders = ("going", "signs", "from", "any")
    for folder in folders:
        (account.home / folder).mkdir()
    config = ("--config", str(daemon.config_file))

    def imported(given: bytes) -> None:
        file.write_bytes(given)
        assert daemon.order("keys", "import", str(file), *config).returncode == 0

    message = partner.gpg("--recipient", ours, "--encrypt", "--sign", "--local-user", going, given=MARKER)
    uploads = {"/going/f": MARKER, "/signs/f": MARKER, "/from/f.pgp": message, "/any/f.pgp": message}
    reasons = {
        "/going/f": f"the key 0x{going} cannot be encrypted to: missing, expired, revoked or without a subkey",
        "/signs/f": f"the key 0x{going} cannot sign: missing, expired, revoked or without its secret part",
        "/from/f.pgp": "the key of the signature was revoked",
        "/any/f.pgp": "the key of the signature was revoked",
    }
    with ExitStack() as stack:
        daemon.write_config()
        for given in (partner.secret(ours), partner.secret(going), partner.public(theirs)):
            imported(given)
        stack.enter_context(daemon.running())
        ftp = stack.enter_context(log_in(daemon, EXPLICIT, account))
        for name, data in uploads.items():
            assert put(ftp, name, data).startswith("226"), name
        before = {path: path.read_bytes() for folder in folders for path in (account.home / folder).iterdir()}
        assert len(before) == len(uploads)
        imported(partner.revoke(going))
        for name, data in uploads.items():
            said = put(ftp, name, data)
            assert (said[:4], going in said) == ("550 ", False), (name, said)
            event = daemon.wait_for_event("command", argument=name, code=550)
            assert event["reason"] == f"pgp: {reasons[name]}"
        after = {path: path.read_bytes() for folder in folders for path in (account.home / folder).iterdir()}
        assert after == before
        said = daemon.order("check", *config).stderr
        assert len([line for line in said.splitlines() if f"{going} is revoked" in line]) == 3
        listed = json.loads(daemon.order("keys", "list", "--json", *config).stdout)
        (listed,) = [key for key in listed if key["fingerprint"] == going]
        assert (listed["encrypt"], listed["sign"]) == (False, False)
