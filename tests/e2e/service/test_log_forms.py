"""Logs in other forms: text for people, chosen events, the transfer log, and their rotation by logrotate."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.e2e.client import EXPLICIT, Sessions, content, upload
from tests.e2e.conftest import StartDaemon
from tests.e2e.polling import eventually
from tests.tools import ROOT, require_tool


def test_text_chosen_events_and_transfers_over_rotation(tmp_path: Path, start_daemon: StartDaemon) -> None:
    """The file shipped for logrotate moves both logs away, and nothing is lost or stands in the wrong one."""
    audit = {"log": "audit.log", "format": "text", "events": ["-command", "-tls-established"], "xferlog": "xferlog"}
    daemon = start_daemon({"audit": audit})
    assert daemon.process is not None
    folder = daemon.folder
    sessions = Sessions(daemon, EXPLICIT)
    client = sessions.log_in(daemon.account())
    upload(client, "before 1", content(100))
    eventually(lambda: "before_1" in (folder / "xferlog").read_text(), "the upload in the transfer log")
    eventually(lambda: "before 1" in (folder / "audit.log").read_text(), "the upload in the audit log")
    text = (ROOT / "etc" / "logrotate.d" / "ftpsd").read_text()
    assert text.count("/var/log/ftpsd/") == 3
    text = text.replace("/var/log/ftpsd/*.jsonl ", "").replace("/var/log/ftpsd", str(folder))
    rules = tmp_path / "rules"
    rules.write_text(text.replace("systemctl reload ftpsd", f"kill -HUP {daemon.process.pid}"))
    rules.chmod(0o600)
    command = [require_tool("logrotate"), "--force", "--state", str(tmp_path / "state"), str(rules)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    eventually(lambda: (folder / "xferlog").exists() and (folder / "audit.log").exists(), "new logs")
    upload(client, "after", content(100))
    client.delete("after")
    sessions.close()
    daemon.stop()
    transfers = [(folder / name).read_text().splitlines() for name in ("xferlog.1", "xferlog")]
    assert [[line.split()[8:12] for line in lines] for lines in transfers] == [
        [["/before_1", "b", "_", "i"]],
        [["/after", "b", "_", "i"], ["/after", "b", "_", "d"]],
    ]
    before, after = ((folder / name).read_text() for name in ("audit.log.1", "audit.log"))
    assert 'path="/before 1" bytes=100 ' in before
    assert " file-deleted " in after
    assert " command " not in before + after
    assert " tls-established " not in before + after
