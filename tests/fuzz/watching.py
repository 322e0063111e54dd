"""
The watch over a daemon that is fuzzed: what may never happen, and what has to return to the beginning.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually

# Kept by the allocator, the stacks of threads, and the caches that fill (TLS sessions, patterns, charsets).
GROWTH = 48 * 1024 * 1024
# A scrape's own connection, and what is opened once.
SPARE_DESCRIPTORS = 8
GAUGES = ("ftpsd_sessions", "ftpsd_transfers_in_progress", 'ftpsd_passive_ports{state="reserved"}')


class Watch:
    """The watch over *daemon*, which has no clients yet; *outside* is what no client may touch."""

    def __init__(self, daemon: Daemon, outside: Path) -> None:
        self._daemon = daemon
        self._outside = outside
        self._state = state_of(outside)
        self._gauges = self._read_gauges()
        self._descriptors = len(self._open())
        self._memory = self._read_memory()

    @property
    def _proc(self) -> Path:
        assert self._daemon.process is not None
        return Path(f"/proc/{self._daemon.process.pid}")

    def check(self) -> None:
        """Check what has to hold at every moment."""
        process = self._daemon.process
        assert process is not None
        assert process.poll() is None, f"the daemon has ended: {self._daemon.stderr}"
        assert "Traceback" not in self._daemon.stderr, self._daemon.stderr
        assert "Unhandled" not in self._daemon.stderr, self._daemon.stderr
        assert state_of(self._outside) == self._state

    def settle(self) -> None:
        """Check what has to hold when all clients have gone."""
        self.check()
        eventually(lambda: self._read_gauges() == self._gauges, "no session, transfer and port is left")
        # A passive port is opened when it is needed first, and stays.
        spare = SPARE_DESCRIPTORS + len(self._daemon.ports.passive)
        try:
            eventually(lambda: len(self._open()) <= self._descriptors + spare, "no descriptor is left", 20)
        except AssertionError as failure:
            failure.add_note(f"{self._descriptors} before, now {self._open()}")
            raise
        assert self._read_memory() - self._memory < GROWTH
        assert '"internal error"' not in self._daemon.audit_text()

    def _read_gauges(self) -> dict[str, float]:
        return {key: value for key, value in self._daemon.metrics().items() if key.startswith(GAUGES)}

    def _open(self) -> list[str]:
        """Return what is behind each descriptor."""
        return sorted(os.readlink(link) for link in (self._proc / "fd").iterdir() if link.is_symlink())

    def _read_memory(self) -> int:
        return int((self._proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def state_of(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return what is in *folder*, by name, with contents and times."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = status.st_ino, status.st_mode, status.st_mtime_ns, content
    return found
