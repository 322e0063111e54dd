"""
The switch of a user: whether a login is possible at all.
"""

from __future__ import annotations

from pathlib import Path

from ftpsd.config.editing.edit import locked


def set_enabled(path: Path, name: str, is_enabled: bool) -> bool:
    """
    Enable or disable the user called *name* in the users file at *path*; return whether that changed anything.

    Sessions that are there end with the next reload. Blocks.

    Raises: EditRefused, ConfigErrors.
    """
    with locked(path) as file:
        file.require(name)
        if file.entry(name).enabled == is_enabled:
            return False
        file.set(name, {"enabled": is_enabled})
        file.save()
    return True
