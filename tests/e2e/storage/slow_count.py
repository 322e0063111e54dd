"""
The daemon on a disk that is slow to tell what is on it: counting a home waits until the file "go" is there.

    python slow_count.py CONFIG
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ftpsd.start import serve

config = Path(sys.argv[1])
scandir = os.scandir


def slow(*arguments: Any) -> Any:
    """Read a directory, in the threads that walk through whole trees only when told to."""
    while threading.current_thread().name.startswith("ftpsd-upkeep") and not (config.parent / "go").exists():
        time.sleep(0.02)
    return scandir(*arguments)


os.scandir = slow  # type: ignore[assignment]
sys.exit(serve(config))
