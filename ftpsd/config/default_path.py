"""The configuration file that commands take where none is named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

DEFAULT_CONFIG: Final = Path("/etc/ftpsd/ftpsd.yaml")
CONFIG_VARIABLE: Final = "FTPSD_CONFIG"


def default_config(environ: Mapping[str, str] | None = None) -> Path:
    """Return the file that FTPSD_CONFIG names, or the usual one."""
    named = (os.environ if environ is None else environ).get(CONFIG_VARIABLE)
    return Path(named) if named else DEFAULT_CONFIG
