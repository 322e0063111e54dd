"""A clamd with one signature, written by hand, and how long it takes for a file by itself."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench.ground import Ground
from bench.measure import BenchError

# Seconds.
PATIENCE = 60.0
PIECE = 1 << 20
GREETING = b"zINSTREAM\0"


@contextmanager
def clamd(ground: Ground) -> Iterator[Path]:
    """Run one for the length of a block; yields its socket. Raises: BenchError where it is not installed."""
    program = shutil.which("clamd")
    if program is None:
        raise BenchError("clamd is not installed (clamav-daemon)")
    folder = ground.directory / "clamd"
    (folder / "db").mkdir(parents=True, exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / "db" / "bench.ndb").write_text(f"Bench-Signature:0:*:{b'no file of a benchmark has this in it'.hex()}\n")
    path = folder / "socket"
    config = folder / "clamd.conf"
    config.write_text(
        f"LocalSocket {path}\nDatabaseDirectory {folder / 'db'}\nTemporaryDirectory {folder / 'tmp'}\nForeground yes\n"
        f"User {pwd.getpwuid(os.geteuid()).pw_name}\nStreamMaxLength 1900M\nMaxFileSize 1900M\nMaxScanSize 3900M\n"
        # It remembers what it has found clean by a digest: each scan here is one of a file that it has not seen before.
        "MaxScanTime 0\nAlertExceedsMax yes\nSelfCheck 0\nDisableCache yes\n"
    )
    with open(folder / "log", "ab") as log:
        process = subprocess.Popen(
            [program, "--config-file", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        end = time.monotonic() + PATIENCE
        while not path.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise BenchError(f"clamd does not start, see {folder / 'log'}")
            time.sleep(0.1)
        yield path
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def scan(path: Path, file: Path, times: int = 1) -> float:
    """Return how many seconds the clamd at *path* takes for *file*, so many *times* at once, as fast as it is taken."""
    started = time.monotonic()
    with ThreadPoolExecutor(times) as threads:
        said = [*threads.map(lambda _: _said(path, file), range(times))]
    if set(said) != {b"stream: OK\0"}:
        raise BenchError(f"clamd says {said!r}")
    return time.monotonic() - started


def _said(path: Path, file: Path) -> bytes:
    """Return what the clamd at *path* says of *file*."""
    with socket.socket(socket.AF_UNIX) as connection, open(file, "rb", buffering=0) as source:
        connection.settimeout(PATIENCE * 5)
        connection.connect(str(path))
        connection.sendall(GREETING)
        while piece := source.read(PIECE):
            connection.sendall(len(piece).to_bytes(4, "big"))
            connection.sendall(piece)
        connection.sendall(bytes(4))
        return connection.recv(200)
