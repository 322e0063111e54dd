"""The recipe of docs/automation.md for invoices, followed as it is written: clamd, gpg and a webhook's receiver."""

from __future__ import annotations

import ftplib
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.e2e.client import EXPLICIT, content, log_in, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.content.clamav import EICAR, ClamAV
from tests.e2e.content.openpgp import Partner
from tests.e2e.polling import eventually
from tests.events.receiver import Hooks
from tests.tools import ROOT

PAGE = (ROOT / "docs" / "automation.md").read_text()
RECIPE = re.compile(r"<!-- recipe: invoice -->\n```yaml\n(.*?)```", re.DOTALL)
PDF = b"%PDF-1.7\n" + content(60_000)


def test_invoice(start_daemon: StartDaemon, clamd: ClamAV, tmp_path: Path) -> None:
    """Scanned before 226, encrypted, the plain form gone, announced once; a virus is never there, nor announced."""
    with ExitStack() as stack:
        partner, hooks = Partner(), Hooks(tmp_path)
        stack.callback(partner.close)
        stack.callback(hooks.stop)
        key = partner.make_key("accounting@example.com")
        (match,) = RECIPE.findall(PAGE)
        # The places of the reader: the key, the socket of clamd, and the receiver with its secret.
        text = match.replace("0123456789ABCDEF0123456789ABCDEF01234567", key)
        text = text.replace("clamd:///run/clamav/clamd.ctl", clamd.url)
        text = text.replace("https://erp.example.com/hooks/ftpsd", hooks.sink()["webhook"])
        recipe = yaml.safe_load(text.replace("secrets/erp", str(hooks.secret)))
        # A receiver of the test is on this machine, with a certificate of the test.
        recipe["workflows"][0]["steps"][1] |= {name: hooks.sink()[name] for name in ("authority", "networks")}
        daemon = start_daemon({**recipe, "quarantine": {"directory": "quarantine"}})
        asc = tmp_path / "accounting.asc"
        asc.write_bytes(partner.public("accounting@example.com"))
        command = [sys.executable, "-m", "ftpsd", "keys", "import", "--config", str(daemon.config_file), str(asc)]
        subprocess.run(command, check=True, capture_output=True, env=daemon.environ)
        account = daemon.account()
        supplier = {"path": "/invoices/**", "allow": ["list", "upload", "mkdir"]}
        daemon.write_users({**daemon.users, account.name: {**daemon.users[account.name], "rules": [supplier]}})
        (account.home / "invoices").mkdir()
        daemon.reload()
        ftp = log_in(daemon, EXPLICIT, account)
        ftp.sendcmd("TYPE I")
        with pytest.raises(ftplib.error_perm, match="550"):
            upload(ftp, "/invoices/bad.pdf", PDF + EICAR)
        assert upload(ftp, "/invoices/2026-17.pdf", PDF).startswith("226")
        eventually(lambda: hooks.taken, "the webhook", 30)
        (event,) = hooks.taken
        path = event["data"]["path"]
        assert re.fullmatch(rf"/encrypted/\d{{4}}-\d\d-\d\d/{re.escape(event['id'])}\.pdf\.pgp", path), path
        sealed = (account.home / path.lstrip("/")).read_bytes()
        assert partner.gpg("--decrypt", given=sealed) == PDF
        assert event["data"]["bytes"] == len(sealed)
        assert list((account.home / "invoices").iterdir()) == []
        daemon.wait_for_event("workflow-finished", workflow="invoices", result="done")
        with pytest.raises(ftplib.error_perm, match="550"):
            ftp.nlst("/encrypted")
        ftp.quit()
        assert len(hooks.taken) == 1
