"""Forged evidence: a user who may write and set times cannot make the server vouch for bytes that are not there."""

from __future__ import annotations

from hashlib import sha256

import pytest

from tests.e2e.client import EXPLICIT, content, download, log_in, reply, upload
from tests.e2e.conftest import StartDaemon

LONG_AGO = "20200102030405"


@pytest.mark.parametrize("mode", ["atomic", "direct"])
def test_a_changed_file_keeps_no_checksum(start_daemon: StartDaemon, mode: str) -> None:
    """
    The middle of a file is replaced by as many other bytes, and its time set back to what it was.

    Size and time are then those that the kept SHA-256 belongs to; HASH and the audit log tell that of the new bytes.
    """
    daemon = start_daemon({"uploads": {"mode": mode}})
    account = daemon.account()
    honest = content(100_000)
    forged = honest[:50_000] + bytes(50_000)
    with log_in(daemon, EXPLICIT, account) as ftp:
        ftp.sendcmd("TYPE I")
        upload(ftp, "file", honest)
        assert reply(ftp, f"MFMT {LONG_AGO} file").startswith("213")
        assert sha256(honest).hexdigest() in reply(ftp, "HASH file")
        upload(ftp, "file", forged[50_000:], rest=50_000)
        assert reply(ftp, f"MFMT {LONG_AGO} file").startswith("213")
        assert (account.home / "file").read_bytes() == forged
        assert sha256(forged).hexdigest() in reply(ftp, "HASH file")
        assert download(ftp, "file") == forged
    assert daemon.wait_for_event("file-sent", user=account.name)["sha256"] == sha256(forged).hexdigest()
