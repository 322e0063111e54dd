"""The daemons of the end-to-end tests, for fuzzers."""

from __future__ import annotations

from tests.e2e.conftest import start_daemon, tls_files

__all__ = ["start_daemon", "tls_files"]
