"""
The daemon over a storage that hangs: opening a file whose name starts with "hang-" waits until the file "go" is there.

    python slow_daemon.py CONFIG
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ftpsd.start import serve
from ftpsd.storage.base import Source
from ftpsd.storage.jail import LocalJail
from ftpsd.values.path import VirtualPath

config = Path(sys.argv[1])
open_source = LocalJail.open_source


def hanging(self: LocalJail, path: VirtualPath, offset: int = 0) -> Source:
    """Open a file, some of them only when told to."""
    while path.name.startswith("hang-") and not (config.parent / "go").exists():
        time.sleep(0.02)
    return open_source(self, path, offset)


LocalJail.open_source = hanging  # type: ignore[method-assign]
sys.exit(serve(config))
