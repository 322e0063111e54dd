"""Daemons of two processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Daemon

TWO = {"processes": 2}


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Daemon]:
    """Two processes that tests share, none of which may harm them."""
    changes = {**TWO, "limits": {"connections_per_address": 500, "sessions_per_user": 50}}
    daemon = Daemon(tmp_path_factory.mktemp("two"), tls_files, changes, users=200)
    try:
        daemon.start()
        yield daemon
        daemon.stop()
        assert "Traceback" not in daemon.stderr
    finally:
        daemon.kill()


@pytest.fixture
def own(start_daemon: StartDaemon) -> Daemon:
    """Two processes of the test's own."""
    return start_daemon(TWO)
