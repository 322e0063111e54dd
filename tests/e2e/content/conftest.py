"""A clamd, and a daemon whose uploads pass it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.content.clamav import ClamAV
from tests.e2e.daemon import Daemon

# Says no to what has "no" in it, hangs at "hang", fails at "fail", and else takes the file.
PROGRAM = """
case "$(cat | tr -d '\\000' | head -c 100)" in
*no*) echo "because $FTPSD_USER at $FTPSD_PATH says no"; echo more; exit 1;;
*hang*) sleep 4711 & wait;;
*fail*) kill -9 $$;;
esac
"""


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClamAV]:
    """A clamd that is there for all tests of a module."""
    clamd = ClamAV(tmp_path_factory.mktemp("clamav"))
    try:
        clamd.start()
        yield clamd
    finally:
        clamd.stop()


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration, clamd: ClamAV) -> Iterator[Daemon]:
    """A daemon that takes nothing below /in, for any user, but what clamd finds clean."""
    changes = {
        "tls": {"require": "none"},
        "mode_z": True,
        "accept": [
            {"paths": ["/in/**"], "scan": [clamd.url]},
            {"paths": ["/sized/**"], "max_size": 1000},
            {"paths": ["/named/**"], "names": ["*.csv"]},
            {"paths": ["/typed/**"], "types": ["pdf", "csv", "txt"]},
            {"paths": ["/judged/**"], "program": ["/bin/sh", "-c", PROGRAM]},
        ],
        # 60 MB have to be scanned within that, on a machine that is busy.
        "scanning": {"timeout": "8s"},
        "quarantine": {"directory": "quarantine"},
    }
    daemon = Daemon(tmp_path_factory.mktemp("gated"), tls_files, changes)
    with daemon.running():
        yield daemon
    assert "Traceback" not in daemon.stderr, daemon.stderr


@pytest.fixture
def quarantine(gated: Daemon) -> Path:
    """The directory of refused files."""
    return gated.folder / "quarantine"
