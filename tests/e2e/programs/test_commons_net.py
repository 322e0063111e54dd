"""Apache commons-net as scripts use it: without setFileType, so that it sends no TYPE and takes RFC 959's default."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import StartDaemon
from tests.e2e.matrix.clients.languages import JAR, SCRIPTS
from tests.tools import missing, require_tool

TEXT = b"one\ntwo\n"


@pytest.mark.parametrize(
    ("default_type", "stored"), [("ascii", TEXT), ("binary", TEXT.replace(b"\n", b"\r\n"))], ids=["ascii", "binary"]
)
def test_a_text_comes_back_as_it_was(
    start_daemon: StartDaemon, tmp_path: Path, default_type: str, stored: bytes
) -> None:
    """commons-net converts line ends itself; only a server that does so too stores what was meant (`default_type`)."""
    java = require_tool("java")
    if not JAR.exists():
        missing("commons-net is not installed")
    daemon = start_daemon({"default_type": default_type, "tls": {"data_session_reuse": "offered"}})
    account = daemon.account()
    work = tmp_path / "work"
    work.mkdir()
    (work / "text").write_bytes(TEXT)
    (work / "job.tsv").write_text("put\ttext\ttext\nget\ttext\tback\n")
    environ = {"PATH": os.environ["PATH"], "FTP_HOST": "localhost", "FTP_PORT": str(daemon.ports.explicit)}
    environ |= {
        "FTP_MODE": "explicit",
        "FTP_DATA": "passive",
        "FTP_TYPE": "default",
        "FTP_CA": str(daemon.tls.authority),
    }
    environ |= {"FTP_USER": account.name, "FTP_PASSWORD": account.password}
    words: list[str | Path] = [java, "-XX:TieredStopAtLevel=1", "-cp", JAR, SCRIPTS / "CommonsNet.java"]
    done = subprocess.run(words, cwd=work, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (account.home / "text").read_bytes() == stored
    assert (work / "back").read_bytes() == TEXT
