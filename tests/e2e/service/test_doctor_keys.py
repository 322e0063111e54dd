"""`ftpsd doctor` and the status page about encryption at rest, OpenPGP and retention."""

from __future__ import annotations

from pathlib import Path

from ftpsd.demo.authority import Demonstration
from tests.contracts.storages import put
from tests.e2e.content.openpgp import Partner
from tests.e2e.daemon import Daemon
from tests.e2e.encrypted import MASTER, encrypt_homes, jail_of, make_keys
from tests.e2e.forked import ftpsd
from tests.e2e.polling import eventually

NEW = "bb" * 32


def findings(daemon: Daemon, code: int) -> list[str]:
    """Return what the doctor says."""
    done = ftpsd("doctor", "--config", daemon.config_file)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_what_is_well_and_what_is_not(tmp_path: Path, tls_files: Demonstration) -> None:
    """First all is well; then keys are older, lost and revoked, a file is plain, an archive is gone."""
    partner = Partner()
    keys, archive = tmp_path / "keys", tmp_path / "archive"
    archive.mkdir()
    try:
        theirs, soon = partner.make_key("theirs@example.com"), partner.make_key("soon@example.com", expires="5d")
        changes = {
            "encryption": make_keys(keys),
            "pgp": [{"paths": ["/out/**"], "encrypt_to": [theirs]}],
            "retention": [{"paths": ["/old/**"], "after": "365d", "archive": str(archive)}],
        }
        daemon = Daemon(tmp_path / "daemon", tls_files, changes, users=2)
        encrypt_homes(daemon)
        account, other = daemon.account(), daemon.account()
        put(jail_of(keys, account.home), "/file", b"data")
        given = tmp_path / "theirs.pgp"
        given.write_bytes(partner.public())
        with daemon.running():
            assert daemon.order("keys", "import", str(given)).returncode == 0
            lines = findings(daemon, 0)
            for beginning in (
                "ok: encryption.keys.main: the master key answers; new files take ",
                f"ok: all 1 data keys in {keys / 'data-keys'} can be opened",
                "ok: the 1 encrypted files that were looked at are under the newest keys",
                "ok: gpg (GnuPG) 2.",
                f"ok: pgp.0.encrypt_to.0: the key {theirs} can be used",
                f"ok: the archives of retention can be written: {archive}",
            ):
                assert [line for line in lines if line.startswith(beginning)], (beginning, lines)
            eventually(lambda: daemon.metrics().get('ftpsd_data_keys{state="present"}') == 1, "the number of keys")
            page = daemon.get("/")[1]
            assert all(text in page for text in ("1 present, 0 lost", "OpenPGP keys", "retention", "legal holds"))

            (account.home / "plain").write_bytes(b"plain")
            put(jail_of(keys, other.home), "/lost", b"data")
            (lost,) = [path for path in (keys / "data-keys").glob("*.key") if str(other.home) in path.read_text()]
            lost.unlink()
            archive.rmdir()
            given.write_bytes(partner.revoke(theirs))
            assert daemon.order("keys", "import", str(given)).returncode == 0
            pgp = [{"paths": ["/out/**"], "encrypt_to": [theirs, soon]}]
            daemon._changes = {**daemon._changes, "pgp": pgp, "encryption": make_keys(keys, NEW, MASTER)}
            daemon.write_config()
            lines = findings(daemon, 1)
            for text in (
                "1 files are under older keys",
                "1 files in encrypted directories are plain",
                f"{other.home / 'lost'} and maybe others need data keys that are not there",
                f"pgp.0.encrypt_to.0: the key {theirs} is revoked",
                f"pgp.0.encrypt_to.1: the key {soon} can be used for 5 days",
                f"{archive} cannot be entered",
            ):
                assert [line for line in lines if text in line and not line.startswith("ok")], (text, lines)
    finally:
        partner.close()
